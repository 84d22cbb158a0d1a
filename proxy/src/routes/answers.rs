//! Every answer outside the channel (SPEC.md, Sections 11 and 13.1).

use crate::body::OuterBody;
use crate::evidence::Encoded;
use crate::limits::RETRY_AFTER;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER as RETRY_AFTER_FIELD,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Response, StatusCode};

pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const STREAM: HeaderValue = HeaderValue::from_static("application/vnd.steve.stream");
const EVIDENCE: HeaderValue = HeaderValue::from_static("application/vnd.steve.evidence");

/// A refusal outside the channel. Nothing of it is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    E2eRequired,
    NotFound,
    MethodNotAllowed(&'static str),
    Timeout,
    /// Whatever depends on a secret: unknown key, session or stream, or it does not open (row 24).
    Unrecognized,
    /// A tunnel for a web page of another origin.
    OriginNotAllowed,
    /// A request for the tunnel that is no WebSocket handshake.
    UpgradeRequired,
    Unavailable,
}

impl Refusal {
    /// The status and the error code.
    pub(crate) fn code(self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Self::E2eRequired => (StatusCode::FORBIDDEN, "e2e_required"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Unrecognized => (StatusCode::UNPROCESSABLE_ENTITY, "unrecognized"),
            Self::OriginNotAllowed => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::UpgradeRequired => (StatusCode::UPGRADE_REQUIRED, "upgrade_required"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }

    /// The whole response.
    pub(crate) fn response(self) -> Response<OuterBody> {
        let (status, code) = self.code();
        let body = OuterBody::Whole(format!(r#"{{"error":"{code}"}}"#).into());
        let mut response = answer(status, JSON, NO_STORE, body);
        match self {
            Self::MethodNotAllowed(allow) => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Unavailable => {
                let seconds = HeaderValue::from_static(RETRY_AFTER);
                response.headers_mut().insert(RETRY_AFTER_FIELD, seconds);
            }
            Self::UpgradeRequired => {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}

/// A small JSON answer that nobody keeps.
pub(crate) fn json(status: StatusCode, body: &'static str) -> Response<OuterBody> {
    answer(status, JSON, NO_STORE, OuterBody::Whole(Bytes::from_static(body.as_bytes())))
}

/// Evidence; unchallenged evidence may be cached for a minute.
pub(crate) fn evidence(encoded: Encoded, cacheable: bool) -> Response<OuterBody> {
    let Encoded { own, shared } = encoded;
    let cache = if cacheable { HeaderValue::from_static("public, max-age=60") } else { NO_STORE };
    answer(StatusCode::OK, EVIDENCE, cache, OuterBody::Evidence { own, shared })
}

/// The one answer of the stream resource, whatever is inside.
pub(crate) fn stream(body: OuterBody) -> Response<OuterBody> {
    answer(StatusCode::OK, STREAM, NO_STORE, body)
}

/// An answer without content.
pub(crate) fn empty(status: StatusCode) -> Response<OuterBody> {
    let mut response = Response::new(OuterBody::Whole(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// An answer with this content type and cache control.
pub(crate) fn answer(
    status: StatusCode,
    content_type: HeaderValue,
    cache: HeaderValue,
    body: OuterBody,
) -> Response<OuterBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}
