use super::body::{BodySource, Pump};
use super::error::{Stage, SteveError};
use crate::early::Early;
use crate::idempotency;
use crate::request_body;
use crate::retry::Idempotent;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use std::sync::Arc;
use steve_protocol::shaping::Shaping;

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Header {
    /// Its name; lower case in responses.
    pub name: String,
    /// Its value. Each character is one byte, as in `fetch`: U+00E9 is the byte E9.
    pub value: String,
}

/// The body of a request.
#[derive(uniffi::Enum)]
pub enum RequestBody {
    /// All of it, which can be sent again if a rule allows that.
    Bytes {
        /// It.
        bytes: Vec<u8>,
    },
    /// What a source gives, once.
    Stream {
        /// Where it comes from.
        source: Arc<dyn BodySource>,
    },
}

/// What else a request may say. Everything has a default.
#[derive(Clone, Default, uniffi::Record)]
pub struct RequestOptions {
    /// Promises that no harm is done when the app executes the request more than once, or late.
    #[uniffi(default = false)]
    pub idempotent: bool,
    /// Has the enclave execute the request once, however often it is sent with this key.
    #[uniffi(default = None)]
    pub idempotency_key: Option<Arc<IdempotencyKey>>,
    /// Whether the request may go along with a handshake. For a method that is not safe, true is a
    /// promise that no harm is done when it is executed late.
    #[uniffi(default = None)]
    pub early: Option<bool>,
    /// Pads request and response otherwise than the client's options say.
    #[uniffi(default = None)]
    pub padding: Option<String>,
}

/// Identifies one request to one enclave process, which executes it once while it lives, however often
/// it is sent with this key. It is a secret of this client.
#[derive(Debug, uniffi::Object)]
pub struct IdempotencyKey(idempotency::IdempotencyKey);

#[uniffi::export]
impl IdempotencyKey {
    /// A new key of the operating system's random numbers.
    #[uniffi::constructor]
    pub fn random() -> Result<Arc<Self>, SteveError> {
        let key = idempotency::IdempotencyKey::random();
        key.map(|key| Arc::new(Self(key))).map_err(|error| SteveError::new(&error, Stage::Setup))
    }

    /// A key that was kept: its 32 bytes, and the 16 bytes of the proxy process that the request may
    /// have been sent to, [`Enclave::instance`](super::Enclave::instance). It is sent to no other.
    #[uniffi::constructor(default(instance = None))]
    pub fn from_bytes(bytes: Vec<u8>, instance: Option<Vec<u8>>) -> Result<Arc<Self>, SteveError> {
        let bytes = bytes.try_into().map_err(|_| invalid("an idempotency key has 32 bytes"))?;
        let mut key = idempotency::IdempotencyKey::from_bytes(bytes);
        if let Some(instance) = instance {
            let instance = instance.try_into().map_err(|_| invalid("an instance has 16 bytes"))?;
            key = key.for_instance(instance);
        }
        Ok(Arc::new(Self(key)))
    }

    /// What to keep, in a place that is as secret as the request: 32 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }
}

/// A request of the crate, and what moves its body.
pub(super) fn request(
    method: &str,
    path: &str,
    headers: Vec<Header>,
    body: Option<RequestBody>,
    options: RequestOptions,
) -> Result<(Request<request_body::RequestBody>, Pump), SteveError> {
    let (body, pump) = match body {
        None => (request_body::RequestBody::empty(), Pump::idle()),
        Some(RequestBody::Bytes { bytes }) => (bytes.into(), Pump::idle()),
        Some(RequestBody::Stream { source }) => Pump::new(source),
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(invalid)?;
    *request.uri_mut() = path.parse::<Uri>().map_err(invalid)?;
    for Header { name, value } in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
        request.headers_mut().append(name, encode(&value)?);
    }
    let extensions = request.extensions_mut();
    if options.idempotent {
        extensions.insert(Idempotent);
    }
    if let Some(key) = options.idempotency_key {
        extensions.insert(key.0.clone());
    }
    if let Some(early) = options.early {
        extensions.insert(Early(early));
    }
    if let Some(padding) = options.padding {
        extensions.insert(padding.parse::<Shaping>().map_err(invalid)?);
    }
    Ok((request, pump))
}

/// The fields in their order.
pub(super) fn headers(map: &HeaderMap) -> Vec<Header> {
    let fields = map.iter().map(|(name, value)| Header {
        name: name.as_str().to_owned(),
        value: value.as_bytes().iter().copied().map(char::from).collect(),
    });
    fields.collect()
}

fn encode(value: &str) -> Result<HeaderValue, SteveError> {
    let bytes: Result<Vec<u8>, _> = value.chars().map(u8::try_from).collect();
    let bytes = bytes.map_err(|_| invalid("a field value has a character above U+00FF"))?;
    HeaderValue::try_from(bytes).map_err(invalid)
}

fn invalid(error: impl ToString) -> SteveError {
    SteveError::invalid(
        "invalid-request",
        format!("the request is not valid: {}", error.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_values_are_bytes() {
        let header = Header { name: "x-name".to_owned(), value: "caf\u{e9}".to_owned() };
        let made = request("GET", "/", vec![header.clone()], None, RequestOptions::default());
        let (request, _) = made.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(request.headers()["x-name"], HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(headers(request.headers()), [header]);
    }

    #[test]
    fn keys_are_kept_as_bytes_and_not_shown() {
        let key = IdempotencyKey::random().unwrap();
        let kept = IdempotencyKey::from_bytes(key.to_bytes(), Some(vec![1; 16])).unwrap();
        assert_eq!(kept.to_bytes(), key.to_bytes());
        assert!(!format!("{key:?}").contains("bytes"));
        assert!(IdempotencyKey::from_bytes(vec![0; 31], None).is_err());
        assert!(IdempotencyKey::from_bytes(vec![0; 32], Some(vec![0; 15])).is_err());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let plain = RequestOptions::default;
        let padding = RequestOptions { padding: Some("much".to_owned()), ..plain() };
        let header = |name: &str, value: &str| {
            vec![Header { name: name.to_owned(), value: value.to_owned() }]
        };
        for (method, path, headers, options) in [
            ("G T", "/", vec![], plain()),
            ("GET", "a b", vec![], plain()),
            ("GET", "/", header("x y", "z"), plain()),
            ("GET", "/", header("x", "a\r\nb: c"), plain()),
            ("GET", "/", header("x", "\u{20ac}"), plain()),
            ("GET", "/", vec![], padding),
        ] {
            let Err(error) = request(method, path, headers, None, options) else { panic!() };
            let SteveError::Invalid { code, .. } = &error else { panic!("{error}") };
            assert_eq!(code, "invalid-request", "{error}");
        }
    }
}
