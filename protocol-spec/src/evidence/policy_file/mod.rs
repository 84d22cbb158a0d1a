//! Policies in files that the app's owner signs (SPEC.md, Section 7.2).

#[cfg(feature = "signed-policy")]
mod content;
#[cfg(feature = "signed-policy")]
mod error;
#[cfg(feature = "signed-policy")]
mod minisign;
#[cfg(feature = "signed-policy")]
mod owner;
#[cfg(all(feature = "signed-policy", feature = "dangerous-dev-attester"))]
mod signer;

#[cfg(feature = "signed-policy")]
pub use error::{PolicyFileError, SignatureFormatError};
#[cfg(feature = "signed-policy")]
pub use minisign::{SignerKey, SignerKeyError};
#[cfg(feature = "signed-policy")]
pub use owner::{PolicyOwner, PolicyOwnerError};
#[cfg(all(feature = "signed-policy", feature = "dangerous-dev-attester"))]
pub use signer::{PolicySigner, policy_file};

use super::PcrProfile;
use super::report::Time;
use core::fmt;

/// Longest policy file, in bytes.
pub const MAX_POLICY_FILE_LEN: usize = 65_536;
/// Longest signature file, in bytes.
pub const MAX_POLICY_SIGNATURE_LEN: usize = 16_384;
/// Most profiles in a policy file.
pub const MAX_POLICY_PROFILES: usize = 64;

/// The policy in a file whose signature and rules hold: what `PolicyOwner::verify` yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPolicy {
    signer: KeyId,
    namespace: String,
    seen: SeenPolicy,
    expires_ms: u64,
    profiles: Vec<LabelledProfile>,
    trusted_comment: String,
    earlier_on_record: bool,
}

impl SignedPolicy {
    /// The key that signed it.
    pub fn signer(&self) -> KeyId {
        self.signer
    }

    /// The app or service it is for.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its version, which grows with every change.
    pub fn version(&self) -> u64 {
        self.seen.version
    }

    /// From when it must not be used, in milliseconds since 1970.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// The profiles, of which an enclave must satisfy one as a whole. There is at least one.
    pub fn profiles(&self) -> &[LabelledProfile] {
        &self.profiles
    }

    /// The comment that the signature covers, as the signing tool wrote it.
    pub fn trusted_comment(&self) -> &str {
        &self.trusted_comment
    }

    /// What to remember of it, so that no older one is accepted later.
    pub fn seen(&self) -> SeenPolicy {
        self.seen
    }

    /// Whether there was a record to compare its version with. Without one it may be an old policy.
    pub fn earlier_on_record(&self) -> bool {
        self.earlier_on_record
    }
}

impl fmt::Display for SignedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signer, expires_ms, .. } = self;
        let (version, expires) = (self.version(), Time(*expires_ms));
        write!(f, "policy version {version} of signer {signer}, which expires at {expires}")
    }
}

/// A profile of a signed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledProfile {
    /// The owner's name for it: 1 to 64 printable ASCII characters.
    pub label: Option<String>,
    /// The expected values.
    pub profile: PcrProfile,
}

/// What a client remembers of the newest policy it has accepted in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenPolicy {
    /// Its version.
    pub version: u64,
    /// SHA-256 of the file: of one version there is one file.
    pub sha256: [u8; 32],
}

/// Which key of a minisign user: 8 bytes that name it and prove nothing.
///
/// Displayed as `minisign` does, as a number in hexadecimal whose first byte is the lowest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

impl From<[u8; 8]> for KeyId {
    fn from(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
