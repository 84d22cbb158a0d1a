//! Challenge: what makes evidence fresh (SPEC.md, Section 6.1).

use core::fmt;
use rand_core::CryptoRng;

/// Length of a challenge in bytes.
pub const CHALLENGE_LEN: usize = 32;

/// 32 unpredictable bytes that a client sends to get evidence made for it.
///
/// Make one for every evidence request and appraise the answer with it. It is not secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Challenge([u8; CHALLENGE_LEN]);

impl Challenge {
    /// A fresh challenge. `rng` must be cryptographically secure.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; CHALLENGE_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8; CHALLENGE_LEN] {
        &self.0
    }
}

impl From<[u8; CHALLENGE_LEN]> for Challenge {
    fn from(bytes: [u8; CHALLENGE_LEN]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Challenge {
    type Error = core::array::TryFromSliceError;

    /// Errors unless `bytes` is exactly 32 bytes.
    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", super::hex::Hex(&self.0))
    }
}
