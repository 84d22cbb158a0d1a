//! Trust anchors (SPEC.md, Section 7, check `root`).

use super::hex::Hex;
use core::fmt;
use sha2::{Digest, Sha256};

/// A root certificate, by the SHA-256 of its DER.
///
/// There is one for production, [`AWS_NITRO_ROOT_G1`](Self::AWS_NITRO_ROOT_G1). Others exist only
/// with the cargo feature `dangerous-trust-anchor`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TrustAnchor([u8; 32]);

impl TrustAnchor {
    /// AWS Nitro Enclaves Root-G1, valid from 2019 to 2049.
    pub const AWS_NITRO_ROOT_G1: Self = Self([
        0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06,
        0x31, 0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79,
        0xbb, 0x5b,
    ]);

    /// Another root. Whoever holds its key can make evidence for anything.
    #[cfg(feature = "dangerous-trust-anchor")]
    pub const fn dangerous_from_sha256(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// SHA-256 of the DER of the root certificate.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is AWS's root.
    pub fn is_aws(&self) -> bool {
        *self == Self::AWS_NITRO_ROOT_G1
    }

    /// Errors with the hash found unless `root` is the anchor's certificate.
    pub(super) fn check(&self, root: &[u8]) -> Result<(), [u8; 32]> {
        let found: [u8; 32] = Sha256::digest(root).into();
        if found == self.0 { Ok(()) } else { Err(found) }
    }
}

impl fmt::Display for TrustAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_aws() {
            f.write_str("AWS Nitro Enclaves Root-G1")
        } else {
            write!(f, "a root that is not AWS's, SHA-256 {}", Hex(&self.0))
        }
    }
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustAnchor({})", Hex(&self.0))
    }
}
