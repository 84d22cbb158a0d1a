use http::StatusCode;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use serde_json::json;
use std::time::Duration;
use steve_protocol::head::HeadError;
use steve_sdk::{ChannelError, Error, InvalidRequest, ResetCode};

/// Marks the gateway's own answers: the proxy takes fields of this name space away from the app.
const MARK: HeaderName = HeaderName::from_static("steve-gateway");

/// Why a request gets an answer of the gateway's own.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Stable, for programs.
    pub(super) code: &'static str,
    /// A sentence for people.
    message: String,
    /// What comes after the request on its connection may be part of it.
    closes: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), closes: false }
    }

    pub(super) fn malformed(message: &str) -> Self {
        let refusal = Self::new(StatusCode::BAD_REQUEST, "malformed_request", message);
        Self { closes: true, ..refusal }
    }

    pub(super) fn transfer_coding() -> Self {
        let message = "the only transfer coding supported is chunked, once";
        let refusal = Self::new(StatusCode::NOT_IMPLEMENTED, "transfer_coding", message);
        Self { closes: true, ..refusal }
    }

    pub(super) fn connect() -> Self {
        let message = "the method CONNECT is not supported";
        Self::new(StatusCode::NOT_IMPLEMENTED, "connect_not_supported", message)
    }

    pub(super) fn version() -> Self {
        let message = "HTTP/1.0 cannot tell a response that broke off from a complete one; use \
                       HTTP/1.1 or HTTP/2";
        Self::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "http_version", message)
    }

    pub(super) fn host(address: impl std::fmt::Display) -> Self {
        let message = format!("the request is for another host; use http://{address}");
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message)
    }

    pub(super) fn head_too_large(limit: u32) -> Self {
        let message = format!("the head is longer than {limit} bytes (--max-head-size)");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", message)
    }

    pub(super) fn connections(limit: usize) -> Self {
        let message = format!("more than {limit} connections at once (--max-connections)");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message)
    }

    pub(super) fn requests(limit: usize) -> Self {
        let message = format!("more than {limit} requests at once (--max-requests)");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_requests", message)
    }

    pub(super) fn timeout(after: Duration) -> Self {
        let message = format!("no response within {after:?} (--timeout)");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
    }

    /// The fields and the body of the answer.
    pub(super) fn answer(&self) -> Response<String> {
        let body = json!({ "error": self.code, "message": self.message });
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(MARK, HeaderValue::from_static(self.code));
        if self.closes {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = Response::new(format!("{body}\n"));
        *response.status_mut() = self.status;
        *response.headers_mut() = fields;
        response
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let code = code(error);
        let status = match code {
            "timeout" => StatusCode::GATEWAY_TIMEOUT,
            "head_too_large" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "invalid_request" => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, code, error.to_string())
    }
}

/// The stable name of a failure.
pub(super) fn code(error: &Error) -> &'static str {
    match error {
        _ if error.is_policy_refusal() => "policy_refused",
        _ if error.is_evidence_invalid() => "evidence_invalid",
        Error::Timeout { .. } => "timeout",
        Error::Channel(ChannelError::Reset { code: ResetCode::TIMEOUT }) => "timeout",
        Error::Channel(ChannelError::Reset { .. }) => "reset",
        Error::Transport { connect: true, .. } => "unreachable",
        Error::Transport { .. } => "transport_failed",
        Error::Outer { .. } => "outer_status",
        Error::NotSteve { .. } => "not_steve",
        Error::InvalidRequest(InvalidRequest::Head(HeadError::TooLarge)) => "head_too_large",
        Error::InvalidRequest(_) | Error::RequestBody(_) => "invalid_request",
        _ if error.is_channel() => "channel_failed",
        _ => "failed",
    }
}
