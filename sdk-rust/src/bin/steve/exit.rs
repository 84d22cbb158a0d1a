use crate::manifest::ManifestRefusal;
use std::fmt;
use std::process::ExitCode;
use steve_sdk::{Error, PolicyLoadError};

/// What `steve --help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
   0  success
   2  wrong usage, or a file that cannot be read or written
   3  the policy refuses the enclave: other measurements, another manifest, or no allowed suite;
      or a signed policy is itself refused: signature, signer, namespace, version or expiry
   4  the evidence is not valid
   5  the network, the outer TLS or the outer HTTP failed, or time ran out
   6  the encrypted channel failed: truncated, tampered with or reset
  22  the app's HTTP status is 400 or more, with --fail";

/// Why the command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments or files.
    Usage(String),
    /// The client.
    Client(Error),
    /// `--policy`.
    Policy(PolicyLoadError),
    /// `--expect-manifest` or `--source`.
    Manifest(ManifestRefusal),
    /// `--fail`.
    Status(u16),
    /// `doctor` found so many.
    Problems(usize),
    /// Nobody reads standard output any more.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }

    /// A failure to write output.
    pub(crate) fn output(to: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Usage(format!("cannot write {to}: {error}")),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Client(error) => client_code(error),
            Self::Policy(PolicyLoadError::Store(_)) => 2,
            Self::Policy(_) | Self::Manifest(_) => 3,
            Self::Status(_) => 22,
            Self::Problems(_) => 1,
            Self::BrokenPipe => 0,
        })
    }
}

fn client_code(error: &Error) -> u8 {
    match error {
        _ if error.is_policy_refusal() => 3,
        _ if error.is_evidence_invalid() => 4,
        _ if error.is_transport() => 5,
        _ if error.is_channel() => 6,
        _ => 2,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Client(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Manifest(refusal) => refusal.fmt(f),
            Self::Status(status) => write!(f, "the app answered HTTP {status}"),
            Self::Problems(1) => f.write_str("there is 1 problem"),
            Self::Problems(count) => write!(f, "there are {count} problems"),
            Self::BrokenPipe => f.write_str("standard output is closed"),
        }
    }
}
