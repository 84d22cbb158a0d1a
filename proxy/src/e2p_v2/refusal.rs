use super::buffer::Full;
use super::cbor::Malformed;
use super::exchange::InvalidKey;
use super::schedule::NotAuthentic;
use crate::body::OuterBody;
use crate::evidence::NoEvidence;
use crate::limits::RETRY_AFTER;
use crate::routes::answers;
use http::header::{ALLOW, RETRY_AFTER as RETRY_AFTER_FIELD};
use http::{HeaderValue, Response, StatusCode};

/// An answer outside the channel. To clients the first four end the session, the others only the
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The body is not what it must be, or was not sealed with the session's key.
    Protocol,
    /// There is no such session, or no longer.
    UnknownSession,
    /// The sequence was used, or is older than what is remembered.
    Replayed,
    NotConfirmed,
    NotFound,
    MethodNotAllowed,
    /// The body took too long.
    Timeout,
    TooLarge,
    /// No room, no evidence, or shutdown.
    Unavailable,
}

impl Refusal {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Protocol => {
                (StatusCode::BAD_REQUEST, "protocol_error", r#"{"error":"protocol_error"}"#)
            }
            Self::UnknownSession => {
                (StatusCode::UNAUTHORIZED, "unknown_session", r#"{"error":"unknown_session"}"#)
            }
            Self::Replayed => (StatusCode::CONFLICT, "replayed", r#"{"error":"replayed"}"#),
            Self::NotConfirmed => {
                (StatusCode::TOO_EARLY, "not_confirmed", r#"{"error":"not_confirmed"}"#)
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", r#"{"error":"not_found"}"#),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                r#"{"error":"method_not_allowed"}"#,
            ),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", r#"{"error":"timeout"}"#),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", r#"{"error":"too_large"}"#)
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", r#"{"error":"unavailable"}"#)
            }
        }
    }

    /// What metrics call it.
    pub(crate) fn code(self) -> &'static str {
        self.parts().1
    }

    /// The whole response.
    pub(super) fn response(self) -> Response<OuterBody> {
        let (status, _, body) = self.parts();
        let mut response = answers::json(status, body);
        let headers = response.headers_mut();
        match self {
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Unavailable => {
                headers.insert(RETRY_AFTER_FIELD, HeaderValue::from_static(RETRY_AFTER));
            }
            _ => {}
        }
        response
    }
}

impl From<Malformed> for Refusal {
    fn from(Malformed: Malformed) -> Self {
        Self::Protocol
    }
}

impl From<InvalidKey> for Refusal {
    fn from(InvalidKey: InvalidKey) -> Self {
        Self::Protocol
    }
}

impl From<NotAuthentic> for Refusal {
    fn from(NotAuthentic: NotAuthentic) -> Self {
        Self::Protocol
    }
}

impl From<NoEvidence> for Refusal {
    fn from(NoEvidence: NoEvidence) -> Self {
        Self::Unavailable
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::TooLarge => Self::TooLarge,
            Full::NoRoom => Self::Unavailable,
        }
    }
}
