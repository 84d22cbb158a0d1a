//! Failures that a test asks for while the module runs.

use aws_nitro_enclaves_nsm_api::api::ErrorCode;
use serde::Deserialize;
use std::io::ErrorKind::NotFound;
use std::path::PathBuf;
use std::time::Duration;

/// How requests are to be treated.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Failure {
    latency_ms: u64,
    /// The answer to every request.
    pub(crate) error: Option<ErrorCode>,
}

impl Failure {
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }
}

/// The file that says it.
pub(crate) struct Control(PathBuf);

impl Control {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// What holds now. A file that does not say it is a mistake of the test: every request fails.
    pub(crate) fn read(&self) -> Failure {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == NotFound => return Failure::default(),
            Err(error) => return self.unusable(&error),
        };
        serde_json::from_str(&text).unwrap_or_else(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> Failure {
        eprintln!("{}: {error}", self.0.display());
        Failure { error: Some(ErrorCode::InternalError), ..Failure::default() }
    }
}
