//! ECDSA with SHA-384 on P-384, the one signature algorithm of attestation documents.

use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{DerSignature, Signature, VerifyingKey};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

/// Length of an uncompressed point in bytes.
const POINT_LEN: usize = 97;

/// The key, if `point` is an uncompressed point of the curve other than its identity.
pub(super) fn public_key(point: &[u8]) -> Option<VerifyingKey> {
    if point.len() != POINT_LEN {
        return None;
    }
    VerifyingKey::from_sec1_bytes(point).ok()
}

/// How a signature is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Es384 {
    /// Signatures of certificates: a DER sequence of two integers (RFC 5480).
    Certificate,
    /// Signatures of COSE: r and s in 48 bytes each (RFC 9053, Section 2.1).
    Cose,
}

impl SignatureVerificationAlgorithm for Es384 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = self::public_key(public_key).ok_or(InvalidSignature)?;
        match self {
            Self::Certificate => DerSignature::try_from(signature)
                .and_then(|signature| key.verify(message, &signature)),
            Self::Cose => Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature)),
        }
        .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}
