use crate::error::InvalidRequest;
use crate::idempotency::{self, IdempotencyKey};
use crate::informational::OnInformational;
use crate::origin::Origin;
use crate::request_body::RequestBody;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, UPGRADE};
use http::{HeaderValue, Method, request};
use http_body::Body;
use steve_protocol::head::{
    BodyLength, HeadError, HopByHop, RequestHead, ResponseHead, encode_request,
};
use steve_protocol::shaping::{FIELD, Shaping};

/// A request's head, encoded: what every attempt at it sends.
pub(crate) struct Prepared {
    head: Bytes,
    method: Method,
    body_length: BodyLength,
    /// The values of `connection`, which is not in the head itself.
    connection: Vec<HeaderValue>,
    expects_continue: bool,
    shaping: Shaping,
    on_informational: Option<OnInformational>,
}

impl Prepared {
    /// Turns a request's head into that of a stream to `origin`.
    ///
    /// Fields that end at a hop are left out; `host` must name the origin. A body of known length
    /// gets a `content-length`.
    pub(crate) fn new(
        origin: &Origin,
        parts: request::Parts,
        body: &RequestBody,
    ) -> Result<Self, InvalidRequest> {
        Self::build(origin, parts, body, false)
    }

    /// The same for a request that asks for an upgrade: its `upgrade` field stays.
    pub(crate) fn for_upgrade(
        origin: &Origin,
        parts: request::Parts,
    ) -> Result<Self, InvalidRequest> {
        if !parts.headers.contains_key(UPGRADE) {
            return Err(HeadError::Upgrade.into());
        }
        if parts.extensions.get::<IdempotencyKey>().is_some() {
            return Err(InvalidRequest::KeyOfUpgrade);
        }
        Self::build(origin, parts, &RequestBody::empty(), true)
    }

    fn build(
        origin: &Origin,
        mut parts: request::Parts,
        body: &RequestBody,
        upgrades: bool,
    ) -> Result<Self, InvalidRequest> {
        if parts.method == Method::CONNECT {
            return Err(InvalidRequest::Connect);
        }
        let path = origin.path_of(&parts.uri)?;
        let headers = &mut parts.headers;
        if !headers.get_all(HOST).iter().all(|host| origin.is_host(host.as_bytes())) {
            return Err(InvalidRequest::Host(origin.authority().to_owned()));
        }
        headers.remove(HOST);
        if let Some(value) = parts.extensions.get().and_then(IdempotencyKey::value) {
            headers.insert(idempotency::FIELD, value);
        }
        if let Some(length) = body.size_hint().exact()
            && !headers.contains_key(CONTENT_LENGTH)
            && (length > 0 || expects_body(&parts.method))
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }

        let shaping = parts.extensions.remove::<Shaping>().unwrap_or_default();
        if !shaping.is_none()
            && let Ok(wish) = HeaderValue::try_from(shaping.to_string())
        {
            headers.entry(FIELD).or_insert(wish);
        }
        let connection: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
        let hop_by_hop = HopByHop::new(connection.iter().map(HeaderValue::as_bytes));
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .filter(|(name, value)| {
                (upgrades && *name == UPGRADE.as_str()) || !hop_by_hop.drops(name, value)
            })
            .collect::<Vec<_>>();
        let expects_continue = !body.is_end_stream()
            && fields.iter().any(|(name, value)| {
                *name == EXPECT.as_str() && value.eq_ignore_ascii_case(b"100-continue")
            });
        let method = parts.method.as_str();
        let head =
            encode_request(method, origin.scheme(), origin.authority(), &path, fields.into_iter())?;
        let decoded = RequestHead::decode(head.clone())?;
        if let (Some(declared), Some(length)) = (decoded.content_length(), body.size_hint().exact())
            && declared != length
        {
            return Err(InvalidRequest::ContentLength);
        }
        let body_length = BodyLength::of_request(&decoded);
        Ok(Self {
            head,
            method: parts.method,
            body_length,
            connection,
            expects_continue,
            shaping,
            on_informational: parts.extensions.remove(),
        })
    }

    /// The content of the HEAD frame.
    pub(crate) fn head(&self) -> &Bytes {
        &self.head
    }

    /// Holds the body to the length that the head declares.
    pub(super) fn body_length(&self) -> BodyLength {
        self.body_length
    }

    /// The caller's `connection` fields: they take fields away from the trailers too.
    pub(super) fn connection(&self) -> &[HeaderValue] {
        &self.connection
    }

    /// The body is not to be sent before the app wants it.
    pub(crate) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// How the request is padded and coalesced.
    pub(crate) fn shaping(&self) -> Shaping {
        self.shaping
    }

    pub(crate) fn on_informational(&self) -> Option<&OnInformational> {
        self.on_informational.as_ref()
    }

    pub(super) fn is_head_request(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The length of the response's body, if its head says that.
    pub(crate) fn response_length(&self, head: &ResponseHead) -> Option<u64> {
        head.content_length().filter(|_| !self.is_head_request())
    }
}

/// True for methods whose requests say that they have no body (RFC 9110, Section 8.6).
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn prepare(
        build: impl FnOnce(request::Builder) -> request::Builder,
        body: &'static str,
    ) -> Result<RequestHead, InvalidRequest> {
        let origin = Origin::parse("https://app.example.com").unwrap();
        let (parts, ()) = build(Request::builder()).body(()).unwrap().into_parts();
        let prepared = Prepared::new(&origin, parts, &body.into())?;
        Ok(RequestHead::decode(prepared.head).unwrap())
    }

    fn names(head: &RequestHead) -> Vec<&str> {
        head.fields().iter().map(|line| line.name()).collect()
    }

    #[test]
    fn row_21_only_end_to_end_fields_go_in() {
        let head = prepare(
            |request| {
                request
                    .uri("/path?query")
                    .header("Host", "app.example.com:443")
                    .header("Connection", "close, X-Hop")
                    .header("X-Hop", "1")
                    .header("TE", "gzip")
                    .header("Upgrade", "h2c")
                    .header("Transfer-Encoding", "chunked")
                    .header("Accept", "text/plain")
            },
            "",
        )
        .unwrap();
        assert_eq!(names(&head), ["accept"]);
        assert_eq!(head.path(), "/path?query");
        assert_eq!(head.authority(), "app.example.com");
    }

    #[test]
    fn a_body_of_known_length_has_a_content_length() {
        let post = |request: request::Builder| request.method("POST").uri("/");
        assert_eq!(prepare(post, "body").unwrap().content_length(), Some(4));
        assert_eq!(prepare(post, "").unwrap().content_length(), Some(0));
        assert_eq!(prepare(|request| request.uri("/"), "").unwrap().content_length(), None);
        let wrong = |request| post(request).header("content-length", "5");
        assert_eq!(prepare(wrong, "body"), Err(InvalidRequest::ContentLength));
    }

    #[test]
    fn row_25_asks_for_what_it_does_itself_unless_the_caller_asks() {
        let wish = |own: Option<&str>| {
            let head = prepare(
                |request| {
                    let shaping: Shaping = "padme, coalesce=50".parse().unwrap();
                    let request = request.uri("/").extension(shaping);
                    own.into_iter().fold(request, |request, own| request.header(FIELD, own))
                },
                "",
            );
            head.unwrap().fields().all(FIELD).cloned().collect::<Vec<_>>()
        };
        assert_eq!(wish(None), ["padme, coalesce=50"]);
        assert_eq!(wish(Some("block=64")), ["block=64"]);
        assert_eq!(names(&prepare(|request| request.uri("/"), "").unwrap()), [""; 0]);
    }

    #[test]
    fn refuses_another_host_and_connect() {
        let host = |request: request::Builder| request.uri("/").header("host", "evil.example.com");
        assert!(matches!(prepare(host, ""), Err(InvalidRequest::Host(_))));
        let connect = |request: request::Builder| request.method("CONNECT").uri("/");
        assert_eq!(prepare(connect, ""), Err(InvalidRequest::Connect));
    }
}
