//! What an appraisal yields.

use super::{PcrTrust, Pcrs, Report};
use crate::key_config::{Instance, KeyConfig};
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

/// Evidence that passed every check made of it.
///
/// By itself it does not start a handshake: [`VerifiedEnclave`] does, and only the appraisal of
/// challenged evidence yields one.
#[derive(Clone, Debug)]
pub struct AppraisedEvidence {
    pub(super) key_config: KeyConfig,
    pub(super) pcrs: Pcrs,
    pub(super) module_id: String,
    pub(super) timestamp_ms: u64,
    pub(super) configuration: Vec<u8>,
    pub(super) manifest: Vec<u8>,
    pub(super) trust: Option<PcrTrust>,
    pub(super) report: Report,
}

impl AppraisedEvidence {
    /// The attested key configuration.
    pub fn key_config(&self) -> &KeyConfig {
        &self.key_config
    }

    /// Names the proxy process: as long as it is the same, the proxy remembers what it did.
    pub fn instance(&self) -> Instance {
        self.key_config.fields().instance
    }

    /// The measurements of the enclave.
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }

    /// The NSM's name for the enclave: instance id and enclave id.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the NSM made the document, in milliseconds since 1970 on its clock.
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// The effective proxy configuration, JSON as received. Its hash is attested.
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// The application manifest as received. Its hash is attested.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// Why the measurements are trusted; `None` when there was nothing to compare them with.
    pub fn trust(&self) -> Option<&PcrTrust> {
        self.trust.as_ref()
    }

    /// Every check, and what is not proven.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// An enclave whose fresh evidence passed every check: the only thing a handshake starts from.
///
/// [`Appraiser::appraise`](super::Appraiser::appraise) makes it and nothing else does. Clones are
/// cheap. What was verified is reached through [`AppraisedEvidence`], to which it dereferences.
///
/// ```compile_fail
/// use steve_protocol::evidence::{AppraisedEvidence, VerifiedEnclave};
///
/// fn row_02_an_audit_does_not_start_handshakes(audited: AppraisedEvidence) -> VerifiedEnclave {
///     VerifiedEnclave::new(audited, u64::MAX)
/// }
/// ```
#[derive(Clone)]
pub struct VerifiedEnclave(Arc<Inner>);

struct Inner {
    evidence: AppraisedEvidence,
    valid_until_ms: u64,
}

impl VerifiedEnclave {
    pub(super) fn new(evidence: AppraisedEvidence, valid_until_ms: u64) -> Self {
        Self(Arc::new(Inner { evidence, valid_until_ms }))
    }

    /// Handshakes may start before this time: milliseconds since 1970, on the clock that the
    /// appraisal was given.
    pub fn valid_until_ms(&self) -> u64 {
        self.0.valid_until_ms
    }
}

impl Deref for VerifiedEnclave {
    type Target = AppraisedEvidence;

    fn deref(&self) -> &AppraisedEvidence {
        &self.0.evidence
    }
}

impl fmt::Debug for VerifiedEnclave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedEnclave")
            .field("module_id", &self.module_id)
            .field("valid_until_ms", &self.0.valid_until_ms)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}
