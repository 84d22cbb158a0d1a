//! Responses that the proxy makes itself, inside the channel (SPEC.md, Section 13.3).

use crate::idempotent::{KeyError, MalformedKey};
use steve_protocol::frame::Output;
use steve_protocol::head::{HeadError, encode_response};
use steve_protocol::stream::{MessageSealer, Response, SealError};

/// Why the app's response is not what the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppError {
    MalformedRequest,
    HeadTooLarge,
    TooManyFields,
    NotImplemented,
    Unreachable,
    MalformedResponse,
    Timeout,
    Key(KeyError),
}

impl AppError {
    /// Status and error code.
    pub(crate) fn parts(self) -> (u16, &'static str) {
        match self {
            Self::MalformedRequest => (400, "malformed_request"),
            Self::HeadTooLarge | Self::TooManyFields => (431, "head_too_large"),
            Self::NotImplemented => (501, "not_implemented"),
            Self::Unreachable => (502, "app_unreachable"),
            Self::MalformedResponse => (502, "app_malformed_response"),
            Self::Timeout => (504, "app_timeout"),
            Self::Key(KeyError::Mismatch) => (422, "idempotency_mismatch"),
            Self::Key(KeyError::Full) => (503, "idempotency_full"),
            Self::Key(KeyError::TooLarge) => (413, "idempotency_too_large"),
            Self::Key(KeyError::ResponseGone) => (500, "idempotency_response_gone"),
        }
    }

    /// What metrics and logs call it: the host reads them, and need not know what became of a key.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Key(_) => "idempotency",
            _ => self.parts().1,
        }
    }

    /// The limit that was reached.
    fn option(self) -> Option<&'static str> {
        match self {
            Self::HeadTooLarge => Some("--max-head-size"),
            Self::TooManyFields => Some("--max-head-fields"),
            Self::Timeout => Some("--app-response-timeout"),
            Self::Key(KeyError::Full) => Some("--max-idempotent-requests"),
            Self::Key(KeyError::TooLarge) => Some("--max-idempotent-body"),
            _ => None,
        }
    }

    /// Seals the whole response; `bodiless` when it answers a HEAD request, or what may be one.
    pub(super) fn seal(
        self,
        bodiless: bool,
        sealer: &mut MessageSealer<Response>,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        let (status, code) = self.parts();
        let body = match self.option() {
            Some(option) => format!(r#"{{"error":"{code}","option":"{option}"}}"#),
            None => format!(r#"{{"error":"{code}"}}"#),
        };
        let length = body.len().to_string();
        let fields: [(&str, &[u8]); 4] = [
            ("cache-control", b"no-store"),
            ("steve-error", code.as_bytes()),
            ("content-type", b"application/json"),
            ("content-length", length.as_bytes()),
        ];
        let count = if bodiless { 2 } else { fields.len() };
        let head = encode_response(status, fields.into_iter().take(count));
        sealer.head(&head.unwrap_or_default(), bodiless, out)?;
        if bodiless { Ok(()) } else { sealer.data(body.as_bytes(), true, out) }
    }
}

impl From<MalformedKey> for AppError {
    fn from(MalformedKey: MalformedKey) -> Self {
        Self::MalformedRequest
    }
}

impl From<HeadError> for AppError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooLarge => Self::HeadTooLarge,
            _ => Self::MalformedRequest,
        }
    }
}
