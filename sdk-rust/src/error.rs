use crate::origin::OriginError;
use http::StatusCode;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use steve_protocol::evidence::{AppraisalError, Refusal};
use steve_protocol::handshake::HandshakeError;
use steve_protocol::head::HeadError;
use steve_protocol::stream::{ResetCode, SealError, StreamError};

/// Any error of the crate, made shareable.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What was being done when an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Fetching evidence from the proxy.
    Evidence,
    /// Agreeing on session keys with the enclave.
    Handshake,
    /// Sending a request, or waiting for the head of its response.
    Request,
    /// Reading the body of a response.
    ResponseBody,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evidence => "fetching evidence",
            Self::Handshake => "the handshake",
            Self::Request => "sending the request",
            Self::ResponseBody => "reading the response body",
        })
    }
}

/// Why a request has no response, or a response no end.
///
/// Errors hold no plaintext and no secrets, and are cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request cannot be sent as it is; nothing was sent.
    #[error("the request is not valid: {0}")]
    InvalidRequest(#[from] InvalidRequest),
    /// The caller's request body gave an error. The request was reset.
    #[error("the request body could not be read: {0}")]
    RequestBody(SharedError),
    /// The network or the outer TLS failed.
    #[error("the connection failed while {stage}: {source}")]
    Transport {
        /// While doing what.
        stage: Stage,
        /// No connection was made at all.
        connect: bool,
        /// The cause.
        source: SharedError,
    },
    /// An outer HTTP answer other than success. Whoever forwards the traffic can forge it, so it
    /// is a hint and proves nothing.
    #[error("{}", OuterDisplay(*.stage, *.status, .code.as_deref()))]
    Outer {
        /// While doing what.
        stage: Stage,
        /// The outer status.
        status: StatusCode,
        /// The error code in the answer, if it has one.
        code: Option<String>,
    },
    /// An unauthenticated answer is longer than it may be, or otherwise not what the protocol says.
    #[error("the answer while {stage} is not a STEVE answer: {reason}")]
    NotSteve {
        /// While doing what.
        stage: Stage,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The evidence does not show an enclave that the policy accepts. Nothing was sent to it.
    #[error(transparent)]
    Evidence(#[from] Refusal),
    /// No session keys could be agreed on with the verified enclave. No request was sent, except one
    /// that went along with the handshake: nobody knows whether the app got it.
    #[error("the handshake with the enclave failed: {0}")]
    Handshake(HandshakeError),
    /// The encrypted channel was cut, changed or reset.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Something took longer than the client was configured to wait.
    #[error("no progress within {after:?} while {stage}")]
    Timeout {
        /// While doing what.
        stage: Stage,
        /// The time waited.
        after: Duration,
    },
    /// A request with an [`IdempotencyKey`](crate::IdempotencyKey) may have been executed, and nothing
    /// tells whether it was.
    #[error("nobody knows whether the app executed the request: {reason}{}", Because(.cause))]
    OutcomeUnknown {
        /// Why that cannot be found out.
        reason: UnknownOutcome,
        /// The proxy process that may have executed it, and which alone can tell.
        instance: [u8; 16],
        /// What became of the last attempt; none if that was made before, with
        /// [`for_instance`](crate::IdempotencyKey::for_instance).
        cause: Option<Arc<Error>>,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    NoEntropy,
    /// A task of the client itself ended early: it panicked, or the runtime is shutting down.
    #[error("the client failed: {0}")]
    Internal(SharedError),
    /// The response body is not UTF-8, but text was asked for.
    #[error("the response body is not UTF-8 text")]
    NotText,
}

/// Why it cannot be found out whether a request was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownOutcome {
    /// Another one would execute it once more.
    #[error("the enclave that it was sent to was restarted, or another one answers")]
    OtherInstance,
    /// The same request with the same key will tell.
    #[error("the enclave could not be asked again")]
    NoAnswer,
}

struct Because<'a>(&'a Option<Arc<Error>>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |cause| write!(f, "; {cause}"))
    }
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The URI has another origin than the client.
    #[error("its URI names another origin than the client's, {0}; use one client per origin")]
    OtherOrigin(String),
    /// The URI is neither a path nor an absolute URI.
    #[error("its URI is neither a path beginning with \"/\" nor an absolute URI")]
    Uri,
    /// A `host` field differs from the origin's authority.
    #[error("its \"host\" field is not the origin's authority, {0}; leave the field out")]
    Host(String),
    /// A `content-length` field differs from the length of the body.
    #[error("its \"content-length\" field is not the length of its body; leave the field out")]
    ContentLength,
    /// What goes through an upgraded connection cannot be executed once.
    #[error("a request to upgrade cannot have an idempotency key")]
    KeyOfUpgrade,
    /// The protocol does not carry CONNECT.
    #[error("the method CONNECT cannot be used")]
    Connect,
    /// The head breaks a rule of the protocol.
    #[error("its head: {0}")]
    Head(#[from] HeadError),
    /// The builder was given something that is no method, URI or field.
    #[error("{0}")]
    Http(String),
}

/// Why the encrypted channel gave no whole message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The response was cut off: do not use the part that arrived as if it were the whole.
    #[error("the response is truncated: it ended without the enclave's end mark")]
    Truncated,
    /// The response was changed on its way, or is not the protocol's.
    #[error("the response was tampered with or is malformed: {0}")]
    Tampered(StreamError),
    /// The enclave ended the exchange, authenticated.
    #[error("the enclave reset the exchange: {code}{}", if .code.not_dispatched() {
        "; the app did not get the request"
    } else {
        "; the app may have got the request"
    })]
    Reset {
        /// Its reason.
        code: ResetCode,
    },
    /// The request could not be encrypted.
    #[error("the request could not be sealed: {0}")]
    Seal(#[from] SealError),
}

impl From<StreamError> for ChannelError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Truncated => Self::Truncated,
            other => Self::Tampered(other),
        }
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        Self::Channel(error.into())
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Channel(error.into())
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl Error {
    pub(crate) fn transport(stage: Stage, connect: bool, source: impl Into<BoxError>) -> Self {
        Self::Transport { stage, connect, source: SharedError::new(source) }
    }

    /// True when an enclave answered that the caller's own rules do not admit: its measurements do
    /// not satisfy the policy, the policy has expired, or it offers none of the allowed suites.
    pub fn is_policy_refusal(&self) -> bool {
        match self {
            Self::Evidence(refusal) => matches!(
                refusal.error(),
                AppraisalError::Policy(_) | AppraisalError::PolicyExpired { .. }
            ),
            Self::Handshake(error) => *error == HandshakeError::NoCommonSuite,
            _ => false,
        }
    }

    /// True when the evidence is not valid, whatever the policy says.
    pub fn is_evidence_invalid(&self) -> bool {
        let Self::Evidence(refusal) = self else { return false };
        !self.is_policy_refusal() && !matches!(refusal.error(), AppraisalError::PinStore(_))
    }

    /// True when the network, the outer TLS or an outer HTTP answer failed, or time ran out.
    pub fn is_transport(&self) -> bool {
        match self {
            Self::Transport { .. }
            | Self::Outer { .. }
            | Self::NotSteve { .. }
            | Self::Timeout { .. } => true,
            Self::OutcomeUnknown { cause: Some(cause), .. } => cause.is_transport(),
            _ => false,
        }
    }

    /// True when the handshake or the encrypted channel failed: cut, changed or reset.
    pub fn is_channel(&self) -> bool {
        match self {
            Self::Channel(_) => true,
            Self::OutcomeUnknown { cause: Some(cause), .. } => cause.is_channel(),
            Self::Handshake(error) => *error != HandshakeError::NoCommonSuite,
            _ => false,
        }
    }

    /// True when the message of the enclave says, authenticated, that the app did not get the request.
    pub fn is_not_dispatched(&self) -> bool {
        matches!(self, Self::Channel(ChannelError::Reset { code }) if code.not_dispatched())
    }

    /// Why the evidence was refused, with the outcome of every check.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Evidence(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// Somebody else's error, shared. Its text includes its causes.
#[derive(Clone)]
pub struct SharedError(Arc<dyn StdError + Send + Sync>);

impl SharedError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

struct OuterDisplay<'a>(Stage, StatusCode, Option<&'a str>);

impl fmt::Display for OuterDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(stage, status, code) = self;
        write!(f, "the server answered HTTP {} while {stage}", status.as_u16())?;
        if let Some(code) = code {
            write!(f, " ({code})")?;
        }
        f.write_str(match (status.as_u16(), stage) {
            (404 | 405, _) => "; is the URL that of a STEVE service?",
            (422, _) => "; the enclave may have been restarted",
            (503, _) => "; it is overloaded or not ready, try again later",
            _ => "",
        })
    }
}

/// Why a client was not made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is not an origin.
    #[error(transparent)]
    Url(#[from] OriginError),
    /// Without a policy every enclave would do.
    #[error(
        "no policy: pin the measurements of the enclave, or give a pin store for trust on first use"
    )]
    NoPolicy,
    /// Pinned profiles and trust on first use exclude each other.
    #[error("both pinned measurements and a pin store were given: choose one")]
    TwoPolicies,
    /// The list of allowed suites is empty.
    #[error("the list of allowed suites is empty")]
    NoSuites,
    /// A certificate for the outer TLS does not parse.
    #[error("the root certificate for the outer TLS is not valid: {0}")]
    TlsRoot(String),
    /// The outer TLS cannot be set up.
    #[error("the outer TLS cannot be set up: {0}")]
    Tls(String),
    /// The attestation root does not parse.
    #[error("the attestation root is not valid: {0}")]
    AttestationRoot(String),
}
