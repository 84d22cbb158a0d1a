//! When a request may be sent again without asking the caller (SPEC.md, Section 13.4).

use crate::error::{ChannelError, Error, Stage};
use std::time::Duration;
use steve_protocol::stream::ResetCode;

/// How often a request is sent in total, an early one included.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

const BACK_OFF: Duration = Duration::from_millis(200);

/// Put into the extensions of a request: the caller allows to send it again although the app may
/// have got it.
///
/// Without it, that is done for safe methods only (GET, HEAD, OPTIONS, TRACE). PUT and DELETE are
/// idempotent, but that is not enough against a host that misbehaves: it can hold a request back,
/// forge a failure, let the repetition and later requests pass, and then let go of the first one.
///
/// So the caller promises that no harm is done when the app executes the request more than once,
/// *and* when it executes it late: after requests that were sent after it, and at any time until the
/// session ends, even though this request was answered long ago. An old value that overwrites a
/// newer one is harm; requests that carry an idempotency key or a precondition (`if-match`), which
/// the app checks, are what this is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idempotent;

/// What is known of a failed attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// Counted from 1.
    pub(crate) number: u32,
    /// A byte of the stream may have left the client.
    pub(crate) sent: bool,
    /// May be sent again although the app may have got it: by method or by the caller's word.
    pub(crate) repeatable: bool,
    /// The whole body can be sent, once more if it was sent.
    pub(crate) replayable: bool,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Fail,
    RetryAfter(Duration),
}

/// Decides on the failure of an attempt that gave no response head.
pub(crate) fn decide(attempt: Attempt, error: &Error) -> Decision {
    if attempt.number >= MAX_ATTEMPTS || !attempt.replayable {
        return Decision::Fail;
    }
    let may_repeat = !attempt.sent || attempt.repeatable || error.is_not_dispatched();
    if may_repeat && is_transient(error) {
        Decision::RetryAfter(delay(attempt.number, error))
    } else {
        Decision::Fail
    }
}

/// Could another attempt fare better?
fn is_transient(error: &Error) -> bool {
    match error {
        Error::Transport { connect, .. } => !connect,
        // By then the handshake was tried with new evidence.
        Error::Outer { stage: Stage::Handshake, status, .. } if status.as_u16() == 422 => false,
        Error::Outer { status, .. } => matches!(status.as_u16(), 408 | 422 | 502 | 503 | 504),
        Error::Channel(ChannelError::Truncated) => true,
        Error::Channel(ChannelError::Reset { code }) => {
            code.not_dispatched() || matches!(*code, ResetCode::TRUNCATED | ResetCode::LIMIT)
        }
        _ => false,
    }
}

fn delay(number: u32, error: &Error) -> Duration {
    let at_once = match error {
        Error::Outer { status, .. } => status.as_u16() == 422,
        Error::Channel(ChannelError::Reset { code }) => {
            matches!(*code, ResetCode::SESSION_ENDING | ResetCode::LIMIT)
        }
        Error::Channel(_) | Error::Transport { .. } => true,
        _ => false,
    };
    if at_once { Duration::ZERO } else { BACK_OFF * number }
}

/// True when the session must not be used for further streams.
pub(crate) fn ends_session(error: &Error) -> bool {
    match error {
        Error::Outer { stage: Stage::Request, status, code } => match status.as_u16() {
            422 => true,
            // An intermediary's own: it does not reach the enclave.
            502..=504 => code.as_deref() != Some("unavailable"),
            _ => false,
        },
        Error::Channel(ChannelError::Reset { code }) => {
            matches!(*code, ResetCode::SESSION_ENDING | ResetCode::DRAINING | ResetCode::LIMIT)
        }
        Error::Channel(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use steve_protocol::stream::StreamError;

    const POST: Attempt = Attempt { number: 1, sent: true, repeatable: false, replayable: true };
    const GET: Attempt = Attempt { repeatable: true, ..POST };

    fn outer(status: u16) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Error::Outer { stage: Stage::Request, status, code: None }
    }

    fn reset(code: ResetCode) -> Error {
        ChannelError::Reset { code }.into()
    }

    fn broken(connect: bool) -> Error {
        Error::transport(Stage::Request, connect, "broken")
    }

    fn retries(attempt: Attempt, error: &Error) -> bool {
        decide(attempt, error) != Decision::Fail
    }

    #[test]
    fn row_08_unauthenticated_hints_never_repeat_an_unsafe_request() {
        for error in
            [outer(422), outer(503), outer(408), broken(false), ChannelError::Truncated.into()]
        {
            assert!(!retries(POST, &error), "{error}");
            assert!(retries(GET, &error), "{error}");
            assert!(retries(Attempt { sent: false, ..POST }, &error), "{error}");
        }
    }

    #[test]
    fn a_handshake_refused_with_new_evidence_is_final() {
        let refused = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            Error::Outer { stage: Stage::Handshake, status, code: None }
        };
        assert!(!retries(Attempt { sent: false, ..GET }, &refused(422)));
        assert!(retries(Attempt { sent: false, ..POST }, &refused(503)));
    }

    #[test]
    fn authenticated_refusals_repeat_any_request() {
        for code in [0x0101, 0x0102, 0x0103, 0x01ff] {
            assert!(retries(POST, &reset(ResetCode::from_u16(code))), "{code:x}");
        }
        for code in 0x0201..=0x0207 {
            assert!(!retries(POST, &reset(ResetCode::from_u16(code))), "{code:x}");
        }
        assert!(retries(GET, &reset(ResetCode::TRUNCATED)));
        assert!(!retries(GET, &reset(ResetCode::APP_FAILED)));
    }

    #[test]
    fn never_without_the_whole_body_and_never_for_ever() {
        for error in [outer(422), reset(ResetCode::REFUSED), broken(false)] {
            assert!(!retries(Attempt { replayable: false, ..GET }, &error));
            assert!(retries(Attempt { number: MAX_ATTEMPTS - 1, ..GET }, &error));
            assert!(!retries(Attempt { number: MAX_ATTEMPTS, ..GET }, &error));
        }
    }

    #[test]
    fn what_a_repetition_would_not_help_or_would_hide_is_final() {
        let tampered = ChannelError::Tampered(StreamError::OutOfOrder).into();
        for error in [tampered, broken(true), outer(403), outer(404), Error::NoEntropy] {
            assert!(!retries(GET, &error), "{error}");
        }
    }

    #[test]
    fn sessions_end_with_doubt() {
        assert!(ends_session(&outer(422)));
        assert!(ends_session(&reset(ResetCode::SESSION_ENDING)));
        assert!(ends_session(&ChannelError::Tampered(StreamError::OutOfOrder).into()));
        assert!(ends_session(&outer(502)) && ends_session(&outer(503)));
        let (stage, status) = (Stage::Request, StatusCode::SERVICE_UNAVAILABLE);
        let busy = Error::Outer { stage, status, code: Some("unavailable".into()) };
        assert!(!ends_session(&busy));
        assert!(!ends_session(&reset(ResetCode::REFUSED)));
        assert!(!ends_session(&reset(ResetCode::APP_FAILED)));
    }
}
