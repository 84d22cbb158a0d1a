//! What the proxy makes of a request for the app, which is private to it.

use crate::upstream::AppProtocol;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use inbound::Rest;
use steve_protocol::head::{RequestHead, Trailers};

#[rustfmt::skip]
#[path = "../../proxy/src/stream/request.rs"]
#[allow(dead_code, reason = "the proxy uses the rest")]
mod request;

/// The part of the proxy's module that [`request`] uses.
mod answer {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum AppError {
        MalformedRequest,
        NotImplemented,
    }
}

/// The same.
mod inbound {
    use bytes::Bytes;

    pub(crate) struct Rest {
        pub(crate) declared: Option<u64>,
        pub(crate) connection: Vec<Bytes>,
        pub(crate) complete: bool,
    }
}

/// A request as the app gets it.
#[derive(Debug)]
pub struct AppRequest {
    /// Method, authority and path.
    pub line: [String; 3],
    /// Fields.
    pub fields: HeaderMap,
    /// The length of the body, if that ends it.
    pub declared: Option<u64>,
    /// Fields behind the body.
    pub trailers: Option<HeaderMap>,
}

/// The session's binding, and as the app gets it.
pub fn binding() -> ([u8; 32], String) {
    let binding = [0xfb; 32];
    (binding, BASE64_URL_SAFE_NO_PAD.encode(binding))
}

/// Converts a request; none if the proxy answers it itself.
pub fn convert(
    head: &RequestHead,
    complete: bool,
    http2: bool,
    trailers: &Trailers,
) -> Option<AppRequest> {
    let protocol = if http2 { AppProtocol::Http2 } else { AppProtocol::Http1 };
    let converted = request::AppHead::new(head, complete, &binding().0, protocol);
    let (app, Rest { declared, connection, complete: all }) = converted.ok()?;
    assert_eq!(all, complete);
    let line =
        [app.method.as_str().to_owned(), app.authority.to_string(), app.path.as_str().to_owned()];
    let trailers = request::trailers(trailers, &connection);
    Some(AppRequest { line, fields: app.headers, declared, trailers })
}
