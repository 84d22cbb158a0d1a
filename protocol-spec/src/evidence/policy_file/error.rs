//! Why a policy file is refused.

use super::{KeyId, MAX_POLICY_FILE_LEN, MAX_POLICY_SIGNATURE_LEN};
use crate::evidence::report::Time;

/// A policy file must not be used. The client keeps what it had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The file is longer than [`MAX_POLICY_FILE_LEN`].
    #[error("the policy file is longer than {MAX_POLICY_FILE_LEN} bytes")]
    TooLong,
    /// The signature file is not what `minisign` writes.
    #[error("the signature file cannot be used: {0}")]
    SignatureFormat(#[from] SignatureFormatError),
    /// Signed with a key that is not one of the owner's.
    #[error("the policy is signed with key {found}, but the owner's keys are {}", list(.pinned))]
    UnknownSigner {
        /// The key that the signature names.
        found: KeyId,
        /// The owner's keys.
        pinned: Vec<KeyId>,
    },
    /// The signature is not one of this file by the key that it names.
    #[error(
        "the signature by key {signer} does not verify: the file is not the one that was signed"
    )]
    Signature {
        /// The key that the signature names.
        signer: KeyId,
    },
    /// The file is signed, and the signature's comment was changed.
    #[error("the trusted comment of the signature by key {signer} does not verify")]
    TrustedComment {
        /// The key that the signature names.
        signer: KeyId,
    },
    /// Signed, but of another format.
    #[error("the file is signed, but in format version {found} of policies; this client knows 1")]
    FormatVersion {
        /// Its version of the format.
        found: u64,
    },
    /// Signed, but no policy.
    #[error("the file is signed, but is not a policy: {0}")]
    Content(String),
    /// The owner's policy for something else.
    #[error("the policy is for \"{found}\", not for \"{expected}\"")]
    Namespace {
        /// The client's.
        expected: String,
        /// The file's.
        found: String,
    },
    /// Older than this client was told to accept.
    #[error("the policy has version {version}, but {minimum} is the lowest that is accepted")]
    BelowMinimum {
        /// The file's.
        version: u64,
        /// The client's.
        minimum: u64,
    },
    /// Older than one that was accepted before.
    #[error("the policy has version {version}, but version {seen} has been accepted before")]
    Rollback {
        /// The file's.
        version: u64,
        /// The highest on record.
        seen: u64,
    },
    /// Of one version there are two files.
    #[error(
        "the policy has version {version}, and another file of that version has been accepted \
         before; the owner has to raise the version with every change"
    )]
    Reused {
        /// Of both.
        version: u64,
    },
    /// Its time is over.
    #[error("policy version {version} of signer {signer} expired at {at}, and now it is {now}",
        at = Time(*expires_ms), now = Time(*now_ms))]
    Expired {
        /// The file's.
        version: u64,
        /// The key that signed it.
        signer: KeyId,
        /// When, in milliseconds since 1970.
        expires_ms: u64,
        /// The time given, in milliseconds since 1970.
        now_ms: u64,
    },
}

/// How a signature file differs from what `minisign -S` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFormatError {
    /// It is longer than [`MAX_POLICY_SIGNATURE_LEN`].
    #[error("it is longer than {MAX_POLICY_SIGNATURE_LEN} bytes")]
    TooLong,
    /// It is not four lines of text that begin as they should.
    #[error("it is not the four lines that minisign writes")]
    Lines,
    /// One of the two signatures is not base64 of its length.
    #[error("line {line} is not the base64 encoding of a signature")]
    Base64 {
        /// 2 or 4.
        line: u8,
    },
    /// Algorithm `Ed`: the signature is of the file itself and not of its hash.
    #[error("it was made in minisign's legacy mode; sign again without -l")]
    Legacy,
    /// An algorithm that is not minisign's.
    #[error("it is of an unknown algorithm")]
    Algorithm,
}

fn list(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::to_string).collect::<Vec<_>>().join(" and ")
}
