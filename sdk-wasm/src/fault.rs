//! What JavaScript catches.

use crate::appraisal::{not_proven, report_lines};
use steve_protocol::evidence::{AppraisalError, Refusal};
use steve_protocol::handshake::HandshakeError;
use steve_protocol::head::HeadError;
use steve_protocol::stream::{SealError, StreamError};
use wasm_bindgen::prelude::wasm_bindgen;

/// Something failed: a stable code, and words for a person.
#[wasm_bindgen]
pub struct Fault {
    code: String,
    message: String,
    report: Vec<String>,
    not_proven: Vec<String>,
}

#[wasm_bindgen]
impl Fault {
    /// Stable: lower case words joined by "-".
    #[wasm_bindgen(getter)]
    pub fn code(&self) -> String {
        self.code.clone()
    }

    /// For a person; holds no plaintext and no secrets.
    #[wasm_bindgen(getter)]
    pub fn message(&self) -> String {
        self.message.clone()
    }

    /// Refused evidence: four strings for each check, as
    /// [`Enclave::report`](crate::Enclave::report) gives them. Otherwise empty.
    #[wasm_bindgen(getter)]
    pub fn report(&self) -> Vec<String> {
        self.report.clone()
    }

    /// Refused evidence: what is not proven. Otherwise empty.
    #[wasm_bindgen(getter, js_name = notProven)]
    pub fn not_proven(&self) -> Vec<String> {
        self.not_proven.clone()
    }
}

impl Fault {
    pub(crate) fn new(code: impl Into<String>, message: impl ToString) -> Self {
        let (code, message) = (code.into(), message.to_string());
        Self { code, message, report: Vec::new(), not_proven: Vec::new() }
    }

    pub(crate) fn policy(message: impl ToString) -> Self {
        Self::new("invalid-policy", message)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.error() {
            AppraisalError::PinStore(_) => "pin-store".to_owned(),
            error => format!("evidence-{}", error.check()),
        };
        Self {
            report: report_lines(refusal.report()),
            not_proven: not_proven(refusal.report()),
            ..Self::new(code, &refusal)
        }
    }
}

impl From<HandshakeError> for Fault {
    fn from(error: HandshakeError) -> Self {
        let code = match error {
            HandshakeError::EvidenceExpired => "handshake-evidence-expired",
            HandshakeError::KemInvalid => "handshake-invalid-key",
            HandshakeError::Malformed => "handshake-malformed",
            HandshakeError::NoCommonSuite => "handshake-no-common-suite",
            HandshakeError::UnexpectedEarlyAnswer => "handshake-unexpected-early-answer",
            _ => "handshake-not-confirmed",
        };
        Self::new(code, format_args!("the handshake with the enclave failed: {error}"))
    }
}

impl From<HeadError> for Fault {
    fn from(error: HeadError) -> Self {
        Self::new("invalid-request", format_args!("the request is not valid: its head: {error}"))
    }
}

impl From<SealError> for Fault {
    fn from(error: SealError) -> Self {
        let code = match error {
            SealError::UsageLimitReached(_) => "key-limit",
            SealError::OutOfOrder | SealError::HeadTooLarge => "invalid-request",
        };
        Self::new(code, format_args!("the request could not be sealed: {error}"))
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Truncated => Self::new(
                "truncated",
                "the response is truncated: it ended without the enclave's end mark",
            ),
            error => Self::new(
                "tampered",
                format_args!("the response was tampered with or is malformed: {error}"),
            ),
        }
    }
}
