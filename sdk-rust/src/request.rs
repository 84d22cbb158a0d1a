use crate::body::Body;
use crate::client::Client;
use crate::early::Early;
use crate::error::{Error, InvalidRequest};
use crate::idempotency::IdempotencyKey;
use crate::informational::OnInformational;
use crate::request_body::RequestBody;
use crate::retry::Idempotent;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use steve_protocol::shaping::Shaping;

/// A request in the making; see [`Client::get`] and its siblings.
#[must_use = "a request does nothing before it is sent"]
pub struct RequestBuilder {
    client: Client,
    request: Result<Request<RequestBody>, InvalidRequest>,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, uri: &str) -> Self {
        let request = uri.parse::<Uri>().map_err(|_| InvalidRequest::Uri).map(|uri| {
            let mut request = Request::new(RequestBody::empty());
            *request.method_mut() = method;
            *request.uri_mut() = uri;
            request
        });
        Self { client, request }
    }

    /// Adds a field.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: std::fmt::Display>,
        V: TryInto<HeaderValue, Error: std::fmt::Display>,
    {
        self.change(|request| {
            let name = name.try_into().map_err(|error| InvalidRequest::Http(error.to_string()))?;
            let value =
                value.try_into().map_err(|error| InvalidRequest::Http(error.to_string()))?;
            request.headers_mut().append(name, value);
            Ok(())
        })
    }

    /// Sets the body: bytes, text, or a [`RequestBody`].
    pub fn body(self, body: impl Into<RequestBody>) -> Self {
        self.change(|request| {
            *request.body_mut() = body.into();
            Ok(())
        })
    }

    /// Sets the body to a JSON value, and `content-type` if it is not set yet.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.change(|request| {
            *request.body_mut() = value.to_string().into();
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().entry(CONTENT_TYPE).or_insert(json);
            Ok(())
        })
    }

    /// Promises that no harm is done when the app executes the request more than once, or late; see
    /// [`Idempotent`].
    pub fn idempotent(self) -> Self {
        self.change(|request| {
            request.extensions_mut().insert(Idempotent);
            Ok(())
        })
    }

    /// Has the enclave execute the request once, however often it is sent with this key; see
    /// [`IdempotencyKey`].
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        self.change(|request| {
            request.extensions_mut().insert(key);
            Ok(())
        })
    }

    /// Says whether the request may go along with a handshake. For a method that is not safe that is a
    /// promise; see [`Early`].
    pub fn early(self, early: bool) -> Self {
        self.change(|request| {
            request.extensions_mut().insert(Early(early));
            Ok(())
        })
    }

    /// Pads this request and its response otherwise than
    /// [`ClientBuilder::padding`](crate::ClientBuilder::padding) says.
    pub fn padding(self, padding: impl Into<Shaping>) -> Self {
        self.change(|request| {
            request.extensions_mut().insert(padding.into());
            Ok(())
        })
    }

    /// Calls `callback` with the status and fields of every informational response that comes before
    /// the response; see [`OnInformational`].
    pub fn on_informational(
        self,
        callback: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.change(|request| {
            request.extensions_mut().insert(OnInformational::new(callback));
            Ok(())
        })
    }

    /// Sends the request; gives the response as soon as its head is there.
    pub async fn send(self) -> Result<Response<Body>, Error> {
        self.client.request(self.request?).await
    }

    fn change(
        mut self,
        change: impl FnOnce(&mut Request<RequestBody>) -> Result<(), InvalidRequest>,
    ) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(error) = change(request)
        {
            self.request = Err(error);
        }
        self
    }
}
