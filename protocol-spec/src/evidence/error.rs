//! Why evidence was refused.

use super::document::DocumentError;
use super::policy::{PinStoreError, PolicyMismatch};
use super::report::Time;
use super::{CertificateError, Check, CoseError, Report, SignedPolicy, hex::Hex};
use core::fmt;
use std::sync::Arc;

/// The check that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppraisalError {
    /// Check `encoding`.
    #[error("the evidence does not decode: {0}")]
    Encoding(#[from] EncodingError),
    /// Check `cose`.
    #[error("the document is not a COSE_Sign1 structure: {0}")]
    Cose(#[from] CoseError),
    /// Check `document`.
    #[error("the payload is not an attestation document: {0}")]
    Document(#[from] DocumentError),
    /// Check `root`.
    #[error("the root certificate is not the trust anchor: SHA-256 expected {expected}, found {found}",
        expected = Hex(expected), found = Hex(found))]
    Root {
        /// SHA-256 of the anchor.
        expected: [u8; 32],
        /// SHA-256 of the root that came with the document.
        found: [u8; 32],
    },
    /// Check `certificates`.
    #[error("the certificate path is not valid: {0}")]
    Certificates(#[from] CertificateError),
    /// Check `signature`.
    #[error("the signature of the document does not verify")]
    Signature,
    /// Check `timestamp`.
    #[error("the document is not recent: {0}")]
    Timestamp(#[from] TimestampError),
    /// Check `nonce`.
    #[error("the evidence was not made for this challenge: {0}")]
    Nonce(#[from] NonceError),
    /// Check `key-config`: the document's user data is not the hash of the key configuration.
    #[error("the document does not vouch for the key configuration")]
    KeyConfig,
    /// Check `key-lifetime`.
    #[error("the keys end at {end}, which is not within 24 hours from {made}, when the document was made",
        end = Time(*not_after_ms), made = Time(*timestamp_ms))]
    KeyLifetime {
        /// When the keys end, in milliseconds since 1970.
        not_after_ms: u64,
        /// When the document was made, in milliseconds since 1970.
        timestamp_ms: u64,
    },
    /// Check `key-lifetime`: the answer took so long that what it proves is over.
    #[error("it proved something until {until}, and now it is {now}",
        until = Time(*valid_until_ms), now = Time(*now_ms))]
    Stale {
        /// When it ended, in milliseconds since 1970.
        valid_until_ms: u64,
        /// The time of the appraisal, in milliseconds since 1970.
        now_ms: u64,
    },
    /// Check `configuration`.
    #[error("the proxy configuration is not the one that the key configuration names")]
    Configuration,
    /// Check `manifest`.
    #[error("the manifest is not the one that the key configuration names")]
    Manifest,
    /// Check `debug-mode`.
    #[error("the enclave is not measured: {0}")]
    DebugMode(#[from] DebugModeError),
    /// Check `policy`: the enclave is not one that the policy names.
    #[error("the enclave does not satisfy the policy: {0}")]
    Policy(#[from] PolicyMismatch),
    /// Check `policy`: the signed policy has expired since it was loaded.
    #[error("the policy has expired: {policy}, and now it is {now}", now = Time(*now_ms))]
    PolicyExpired {
        /// The policy.
        policy: Arc<SignedPolicy>,
        /// The time of the appraisal, in milliseconds since 1970.
        now_ms: u64,
    },
    /// Check `policy`: the store of pins failed, so nothing can be compared or recorded.
    #[error("the store of pins failed: {0}")]
    PinStore(#[from] PinStoreError),
}

impl AppraisalError {
    /// The check that failed.
    pub fn check(&self) -> Check {
        match self {
            Self::Encoding(_) => Check::Encoding,
            Self::Cose(_) => Check::Cose,
            Self::Document(_) => Check::Document,
            Self::Root { .. } => Check::Root,
            Self::Certificates(_) => Check::Certificates,
            Self::Signature => Check::Signature,
            Self::Timestamp(_) => Check::Timestamp,
            Self::Nonce(_) => Check::Nonce,
            Self::KeyConfig => Check::KeyConfig,
            Self::KeyLifetime { .. } | Self::Stale { .. } => Check::KeyLifetime,
            Self::Configuration => Check::Configuration,
            Self::Manifest => Check::Manifest,
            Self::DebugMode(_) => Check::DebugMode,
            Self::Policy(_) | Self::PolicyExpired { .. } | Self::PinStore(_) => Check::Policy,
        }
    }

    /// What the person in front of the client can do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Encoding(_) => {
                "Check that the address is that of a STEVE proxy of version 3; something between \
                 may have answered in its place."
            }
            Self::Cose(_) | Self::Document(_) => {
                "The proxy did not send an attestation document of a Nitro enclave, or it was \
                 changed on the way. Do not use this endpoint."
            }
            Self::Root { .. } => {
                "This is not a Nitro enclave of AWS, or it runs with a development root. Do not \
                 use this endpoint."
            }
            Self::Certificates(_) | Self::Timestamp(_) => {
                "Check this computer's clock, then ask for fresh evidence. If it fails again, the \
                 endpoint serves old evidence."
            }
            Self::Signature | Self::KeyConfig | Self::Configuration | Self::Manifest => {
                "Parts of the evidence do not belong together: it was changed on the way. Do not \
                 use this endpoint."
            }
            Self::Nonce(_) => {
                "The endpoint answered with evidence made for somebody else. Ask again with a new \
                 challenge; if it fails again, do not use this endpoint."
            }
            Self::KeyLifetime { .. } => {
                "Ask for fresh evidence. If it fails again, the proxy announces keys for longer than \
                 a day, or keys that it should have erased."
            }
            Self::Stale { .. } => "The answer took too long. Ask for fresh evidence.",
            Self::DebugMode(_) => {
                "The enclave was started in debug mode and its memory can be read from outside. \
                 Start it without debug mode."
            }
            Self::Policy(_) => {
                "Another image runs than the policy names. If it is a new release, take its PCR \
                 values from a build you trust and add them to the policy."
            }
            Self::PolicyExpired { .. } => {
                "Get the owner's current policy file; without one, nothing vouches for any enclave."
            }
            Self::PinStore(_) => "Make the store of pins readable and writable.",
        }
    }
}

/// Which part of the evidence does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The Evidence structure (SPEC.md, Section 6.3).
    #[error("not an Evidence structure of version 3 within its limits")]
    Evidence,
    /// The key configuration (SPEC.md, Section 5).
    #[error("the key configuration breaks a rule of its format")]
    KeyConfig,
}

/// How a timestamp is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// Made too long ago.
    #[error("made {age_ms} ms ago, {max_age_ms} ms are allowed")]
    TooOld {
        /// Its age in milliseconds.
        age_ms: u64,
        /// Greatest age allowed, in milliseconds.
        max_age_ms: u64,
    },
    /// Made later than now.
    #[error("made {ahead_ms} ms in the future, {max_skew_ms} ms are allowed")]
    InFuture {
        /// How far ahead, in milliseconds.
        ahead_ms: u64,
        /// Greatest skew allowed, in milliseconds.
        max_skew_ms: u64,
    },
}

/// How evidence fails to answer the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NonceError {
    /// The evidence claims to answer no challenge, and one was sent.
    #[error("it answers no challenge")]
    Unchallenged,
    /// The evidence claims to answer a challenge, and none was sent.
    #[error("it answers a challenge, and none was sent")]
    Challenged,
    /// `tree_size` is above 65536, or `leaf_index` is not below it.
    #[error("the place in the tree is out of bounds")]
    OutOfBounds,
    /// The document has no nonce of 32 bytes.
    #[error("the document has no nonce of 32 bytes")]
    NotAHash,
    /// The path does not lead from this challenge to the nonce.
    #[error("the challenge is not in the tree that the document answers")]
    NotIncluded,
}

/// How the mandatory PCRs fail to be a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DebugModeError {
    /// A mandatory PCR is not in the document.
    #[error("PCR{0} is missing")]
    Missing(u8),
    /// A mandatory PCR is all zero.
    #[error("PCR{0} is all zero, as in debug mode")]
    Zero(u8),
}

/// Evidence was refused: why, and how far the appraisal came.
#[derive(Clone)]
pub struct Refusal(Box<(AppraisalError, Report)>);

impl Refusal {
    pub(super) fn new(error: AppraisalError, report: Report) -> Self {
        Self(Box::new((error, report)))
    }

    /// The check that failed, and why.
    pub fn error(&self) -> &AppraisalError {
        &self.0.0
    }

    /// Every check up to the one that failed.
    pub fn report(&self) -> &Report {
        &self.0.1
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error();
        write!(f, "evidence refused by check `{}`: {error}. {}", error.check(), error.advice())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("error", self.error()).finish_non_exhaustive()
    }
}

impl core::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(self.error())
    }
}
