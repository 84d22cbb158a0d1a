use super::report::{PcrDifference, Report};
use crate::error::{BuildError, ChannelError, Error, Stage as Doing};
use steve_protocol::evidence::{AppraisalError, Refusal};
use steve_protocol::handshake::HandshakeError;
use steve_protocol::stream::SealError;

/// What was being done when an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
#[non_exhaustive]
pub enum Stage {
    /// Making a policy or a client. Nothing was sent.
    Setup,
    /// Fetching or appraising evidence.
    Evidence,
    /// Agreeing on session keys with the enclave.
    Handshake,
    /// Sending a request, or waiting for the head of its response.
    Request,
    /// Reading the body of a response.
    Response,
}

/// Why there is no client, no response, or no end of a response.
///
/// Every variant has a code, which is stable, lower case words joined by "-", the same as in the
/// JavaScript client; the stage; and a text for people. None holds plaintext or secrets.
#[derive(Clone, Debug, thiserror::Error, uniffi::Error)]
#[non_exhaustive]
pub enum SteveError {
    /// What the caller gave cannot be used; nothing was sent. Codes: `invalid-options`,
    /// `invalid-policy`, `invalid-request`.
    #[error("{text}")]
    Invalid {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
    /// The evidence does not show an enclave that the policy accepts. Nothing was sent to it. Codes:
    /// `evidence-` and the check of SPEC.md, Section 7 that failed, so `evidence-policy` for other
    /// measurements; `pin-store` if the file for trust on first use cannot be used.
    #[error("{text}")]
    Refused {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
        /// Every check.
        report: Box<Report>,
        /// Where the measurements differ from each profile; empty unless that is the reason.
        differences: Vec<PcrDifference>,
    },
    /// The network, the outer TLS or an outer HTTP answer failed. Whoever forwards the traffic can
    /// cause that: it proves nothing. Codes: `transport`, `outer-status`, `not-steve`.
    #[error("{text}")]
    Transport {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
    /// Something took longer than the options allow. Code: `timeout`.
    #[error("{text}")]
    Timeout {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
    /// The handshake or the encrypted channel failed. Do not use what arrived of a response as if it
    /// were the whole. Codes: `truncated`, `tampered`, `reset`, `key-limit`, `handshake-` and more.
    #[error("{text}")]
    Channel {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
        /// The enclave says, authenticated, that the app did not get the request.
        not_dispatched: bool,
    },
    /// The source of the request body failed; the request was reset. Code: `request-body`.
    #[error("{text}")]
    RequestBody {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
    /// A request with an idempotency key may have been executed, and nothing tells whether it was.
    /// Code: `outcome-unknown`.
    #[error("{text}")]
    OutcomeUnknown {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
        /// The proxy process that may have executed it, for
        /// [`IdempotencyKey::from_bytes`](super::IdempotencyKey::from_bytes).
        instance: Vec<u8>,
    },
    /// The response body is longer than the limit given. Code: `too-large`.
    #[error("{text}")]
    TooLarge {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
    /// The client or the response was closed. Code: `closed`.
    #[error("{text}")]
    Closed {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
    /// The client or the operating system failed. Code: `internal`.
    #[error("{text}")]
    Internal {
        /// What went wrong.
        code: String,
        /// While doing what.
        stage: Stage,
        /// For people.
        text: String,
    },
}

impl SteveError {
    pub(super) fn invalid(code: &str, text: impl ToString) -> Self {
        let stage = if code == "invalid-request" { Stage::Request } else { Stage::Setup };
        Self::Invalid { code: code.to_owned(), stage, text: text.to_string() }
    }

    pub(super) fn closed(stage: Stage) -> Self {
        let what = if stage == Stage::Response { "response" } else { "client" };
        Self::Closed { code: "closed".to_owned(), stage, text: format!("the {what} is closed") }
    }

    pub(super) fn internal(stage: Stage, text: &str) -> Self {
        Self::Internal { code: "internal".to_owned(), stage, text: text.to_owned() }
    }

    pub(super) fn too_large(limit: u64) -> Self {
        let text = format!("the response body is longer than {limit} bytes");
        Self::TooLarge { code: "too-large".to_owned(), stage: Stage::Response, text }
    }

    /// `stage` is where the error came up, if it does not say that itself.
    pub(super) fn new(error: &Error, stage: Stage) -> Self {
        let text = error.to_string();
        let transport = |code: &str, doing: &Doing, text| Self::Transport {
            code: code.to_owned(),
            stage: Stage::of(*doing),
            text,
        };
        let channel = |code: &str, stage, text| Self::Channel {
            code: code.to_owned(),
            stage,
            text,
            not_dispatched: error.is_not_dispatched(),
        };
        match error {
            Error::InvalidRequest(_) => Self::invalid("invalid-request", text),
            Error::RequestBody(_) => {
                Self::RequestBody { code: "request-body".to_owned(), stage, text }
            }
            Error::Transport { stage, .. } => transport("transport", stage, text),
            Error::Outer { stage, .. } => transport("outer-status", stage, text),
            Error::NotSteve { stage, .. } => transport("not-steve", stage, text),
            Error::Evidence(refusal) => Self::refused(refusal, text),
            Error::Handshake(error) => channel(handshake_code(error), Stage::Handshake, text),
            Error::Channel(error) => channel(channel_code(error), stage, text),
            Error::Timeout { stage, .. } => {
                Self::Timeout { code: "timeout".to_owned(), stage: Stage::of(*stage), text }
            }
            Error::OutcomeUnknown { instance, .. } => Self::OutcomeUnknown {
                code: "outcome-unknown".to_owned(),
                stage,
                text,
                instance: instance.to_vec(),
            },
            Error::NoEntropy | Error::Internal(_) | Error::NotText => Self::internal(stage, &text),
        }
    }

    fn refused(refusal: &Refusal, text: String) -> Self {
        let (code, differences) = match refusal.error() {
            AppraisalError::PinStore(_) => ("pin-store".to_owned(), Vec::new()),
            AppraisalError::Policy(mismatch) => {
                ("evidence-policy".to_owned(), PcrDifference::all(mismatch))
            }
            other => (format!("evidence-{}", other.check()), Vec::new()),
        };
        let report = Box::new(Report::of(refusal.report()));
        Self::Refused { code, stage: Stage::Evidence, text, report, differences }
    }
}

impl From<BuildError> for SteveError {
    fn from(error: BuildError) -> Self {
        Self::invalid("invalid-options", error)
    }
}

impl Stage {
    fn of(doing: Doing) -> Self {
        match doing {
            Doing::Evidence => Self::Evidence,
            Doing::Handshake => Self::Handshake,
            Doing::Request => Self::Request,
            Doing::ResponseBody => Self::Response,
        }
    }
}

fn handshake_code(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::EvidenceExpired => "handshake-evidence-expired",
        HandshakeError::KemInvalid => "handshake-invalid-key",
        HandshakeError::Malformed => "handshake-malformed",
        HandshakeError::NoCommonSuite => "handshake-no-common-suite",
        HandshakeError::UnexpectedEarlyAnswer => "handshake-unexpected-early-answer",
        _ => "handshake-not-confirmed",
    }
}

fn channel_code(error: &ChannelError) -> &'static str {
    match error {
        ChannelError::Truncated => "truncated",
        ChannelError::Tampered(_) => "tampered",
        ChannelError::Reset { .. } => "reset",
        ChannelError::Seal(SealError::UsageLimitReached(_)) => "key-limit",
        ChannelError::Seal(_) => "invalid-request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SharedError;
    use steve_protocol::stream::ResetCode;

    #[test]
    fn errors_keep_their_stage_and_text() {
        let error = Error::transport(Doing::Handshake, true, "no route");
        let SteveError::Transport { code, stage, text } = SteveError::new(&error, Stage::Request)
        else {
            panic!("{error}")
        };
        assert_eq!(
            (code.as_str(), stage, text),
            ("transport", Stage::Handshake, error.to_string())
        );
        let error = Error::Internal(SharedError::new("panicked"));
        let SteveError::Internal { stage, .. } = SteveError::new(&error, Stage::Response) else {
            panic!("{error}")
        };
        assert_eq!(stage, Stage::Response);
    }

    #[test]
    fn resets_say_whether_the_app_got_the_request() {
        for code in [ResetCode::CANCELLED, ResetCode::REFUSED] {
            let error = Error::Channel(ChannelError::Reset { code });
            let converted = SteveError::new(&error, Stage::Request);
            let SteveError::Channel { not_dispatched, .. } = converted else { panic!("{error}") };
            assert_eq!(not_dispatched, code.not_dispatched(), "{code}");
        }
    }
}
