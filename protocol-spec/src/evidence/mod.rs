//! Evidence and its appraisal (SPEC.md, Sections 6 and 7).
//!
//! A proxy builds a [`MerkleTree`] over the [`Challenge`]s it has received, has the NSM attest its
//! root and [`user_data`] of its key configuration, and answers each client with [`Evidence`]. A client gives
//! that to its [`Appraiser`], which makes every check of Section 7 in order and yields a
//! [`VerifiedEnclave`], or a [`Refusal`]; both carry a [`Report`] of each check and of what is not
//! proven.
//!
//! Every input is untrusted: decoding borrows, checks bounds before it allocates, and never panics.

mod anchor;
mod appraiser;
mod attestation;
mod cbor;
mod certificates;
mod challenge;
mod cose;
#[cfg(feature = "dangerous-dev-attester")]
pub mod dev;
mod document;
mod enclave;
mod encoding;
mod error;
mod es384;
mod hex;
pub mod merkle;
mod pcr;
mod pending;
mod policy;
mod policy_file;
mod report;

pub use anchor::TrustAnchor;
pub use appraiser::{Appraiser, DEFAULT_MAX_CLOCK_SKEW_MS, DEFAULT_MAX_EVIDENCE_AGE_MS};
pub use attestation::{AttestationDocument, UnverifiedDocument};
pub use certificates::{CertificateError, CertificateProblem};
pub use challenge::{CHALLENGE_LEN, Challenge};
pub use cose::CoseError;
pub use document::{DocumentError, DocumentField, FieldError, MAX_DOCUMENT_LEN};
pub use enclave::{AppraisedEvidence, VerifiedEnclave};
pub use encoding::{Evidence, MAX_EVIDENCE_LEN};
pub use error::{
    AppraisalError, DebugModeError, EncodingError, NonceError, Refusal, TimestampError,
};
pub use merkle::MerkleTree;
pub use pcr::{PCR_LEN, Pcr, PcrDifference, PcrFormatError, PcrProfile, Pcrs, ProfileError};
pub use pending::{PendingAppraisal, Signed};
pub use policy::{PcrTrust, Pin, PinStore, PinStoreError, Policy, PolicyError, PolicyMismatch};
pub use policy_file::{
    KeyId, LabelledProfile, MAX_POLICY_FILE_LEN, MAX_POLICY_PROFILES, MAX_POLICY_SIGNATURE_LEN,
    SeenPolicy, SignedPolicy,
};
#[cfg(feature = "signed-policy")]
pub use policy_file::{
    PolicyFileError, PolicyOwner, PolicyOwnerError, SignatureFormatError, SignerKey, SignerKeyError,
};
pub use report::{Check, CheckReport, NotProven, Outcome, Report};

use crate::key_config::KeyConfig;

/// Separates the user data of STEVE's documents from that of others.
pub const USER_DATA_LABEL: &[u8; 18] = b"steve/3 key config";

/// What the proxy gives the NSM as `user_data`: the label and the hash of the key configuration.
pub fn user_data(key_config: &KeyConfig) -> [u8; 50] {
    let mut user_data = [0; 50];
    let (label, hash) = user_data.split_at_mut(USER_DATA_LABEL.len());
    label.copy_from_slice(USER_DATA_LABEL);
    hash.copy_from_slice(&key_config.hash());
    user_data
}
