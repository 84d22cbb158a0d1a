//! HPKE (RFC 9180) in base mode with export-only contexts, over the two KEMs of the suites.
//!
//! HPKE gives the secrets; the frames of this protocol carry the data. It is computed by one of two
//! back ends, which the tests hold against each other: with AWS-LC, which takes half the time, or by
//! the crate `hpke` where there is no C compiler.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
#[cfg(any(not(feature = "aws-lc-rs"), test))]
mod hpke_crate;
#[cfg(feature = "aws-lc-rs")]
mod schedule;

#[cfg(feature = "aws-lc-rs")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc-rs"))]
use hpke_crate as backend;

use crate::suite::Kem;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// A public or encapsulated key is not valid for the KEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid KEM key or encapsulation")]
pub struct KemError;

/// A KEM key pair. The private key stays in one place on the heap, and is erased when the pair is
/// dropped.
pub struct KeyPair {
    private: backend::PrivateKey,
    public: Vec<u8>,
}

impl KeyPair {
    /// Generates a fresh pair.
    pub fn generate(kem: Kem, rng: &mut impl CryptoRng) -> Self {
        let (private, public) = backend::PrivateKey::generate(kem, rng);
        Self { private, public }
    }

    /// The encoded public key, Npk bytes.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// `SetupBaseR(enc, private key, info)`.
    pub fn receive(&self, enc: &[u8], info: &[u8]) -> Result<Exporter, KemError> {
        self.private.receive(enc, info).map(Exporter)
    }

    /// The private key, for test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_private_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.private.to_bytes())
    }
}

/// `SetupBaseS(public key, info)`: the encapsulated key and the context.
pub fn send(
    kem: Kem,
    public_key: &[u8],
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Exporter), KemError> {
    backend::send(kem, public_key, info, rng).map(|(enc, context)| (enc, Exporter(context)))
}

/// One end of an HPKE context, good for exporting secrets and nothing else.
pub struct Exporter(backend::Context);

impl Exporter {
    /// `Context.Export(context, 32)` (RFC 9180, Section 5.3).
    pub fn export(&self, context: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        self.0.export(context, &mut out);
        out
    }
}

#[cfg(all(test, feature = "aws-lc-rs"))]
mod tests;
