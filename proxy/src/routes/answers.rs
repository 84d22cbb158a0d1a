//! Every answer outside the channel (SPEC.md, Sections 11 and 13.1).

use crate::body::OuterBody;
use crate::evidence::Encoded;
use crate::limits::RETRY_AFTER;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER as RETRY_AFTER_FIELD};
use http::{HeaderValue, Response, StatusCode};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
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
    NotImplemented,
    Unavailable,
}

impl Refusal {
    /// The code that the client sees.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::E2eRequired => "e2e_required",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::Unrecognized => "unrecognized",
            Self::NotImplemented => "not_implemented",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::E2eRequired => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unrecognized => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole response.
    pub(crate) fn response(self) -> Response<OuterBody> {
        let body = format!(r#"{{"error":"{}"}}"#, self.code());
        let mut response = answer(self.status(), JSON, NO_STORE, OuterBody::Whole(body.into()));
        match self {
            Self::MethodNotAllowed(allow) => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Unavailable => {
                let seconds = HeaderValue::from_static(RETRY_AFTER);
                response.headers_mut().insert(RETRY_AFTER_FIELD, seconds);
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

fn answer(
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
