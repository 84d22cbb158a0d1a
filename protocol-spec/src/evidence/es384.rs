//! ECDSA with SHA-384 on P-384, the one signature algorithm of attestation documents.

use super::cose::SIGNATURE_LEN;
use core::fmt::Debug;
use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{Signature, VerifyingKey};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode, Reader, SliceReader};

/// Length of an uncompressed point in bytes.
const POINT_LEN: usize = 97;
/// What an uncompressed point begins with (SEC 1, Section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Verifies signatures, or stands in for what does. Public keys are uncompressed points by their
/// form; signatures are r and s in 48 bytes each.
pub(super) trait Verifier: Debug + Send + Sync {
    /// Whether the point is one of the curve. May be left to `verify`, for keys that sign.
    fn is_on_curve(&self, public_key: &[u8]) -> bool;

    /// Whether the signature is valid. Not for a point that is not one of the curve.
    fn verify(&self, public_key: &[u8], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool;
}

/// Verifies here and now.
#[derive(Debug)]
pub(super) struct RustCrypto;

impl Verifier for RustCrypto {
    fn is_on_curve(&self, public_key: &[u8]) -> bool {
        VerifyingKey::from_sec1_bytes(public_key).is_ok()
    }

    fn verify(&self, public_key: &[u8], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        VerifyingKey::from_sec1_bytes(public_key)
            .and_then(|key| key.verify(message, &Signature::from_slice(signature)?))
            .is_ok()
    }
}

/// Whether `point` is an uncompressed point of the curve other than its identity.
pub(super) fn is_public_key(point: &[u8], verifier: &dyn Verifier) -> bool {
    is_uncompressed(point) && verifier.is_on_curve(point)
}

fn is_uncompressed(point: &[u8]) -> bool {
    point.len() == POINT_LEN && point[0] == UNCOMPRESSED
}

/// The algorithm, for signatures written in one of two ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Es384<'a> {
    form: Form,
    verifier: &'a dyn Verifier,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Certificate,
    Cose,
}

impl<'a> Es384<'a> {
    /// Signatures of certificates: a DER sequence of two integers (RFC 5480).
    pub(super) fn certificate(verifier: &'a dyn Verifier) -> Self {
        Self { form: Form::Certificate, verifier }
    }

    /// Signatures of COSE: r and s in 48 bytes each (RFC 9053, Section 2.1).
    pub(super) fn cose(verifier: &'a dyn Verifier) -> Self {
        Self { form: Form::Cose, verifier }
    }
}

impl SignatureVerificationAlgorithm for Es384<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let signature = match self.form {
            Form::Certificate => from_der(signature),
            Form::Cose => signature.try_into().ok(),
        }
        .ok_or(InvalidSignature)?;
        if is_uncompressed(public_key) && self.verifier.verify(public_key, message, &signature) {
            Ok(())
        } else {
            Err(InvalidSignature)
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}

/// r and s in 48 bytes each, if `signature` is the DER of two unsigned integers that fit.
fn from_der(signature: &[u8]) -> Option<[u8; SIGNATURE_LEN]> {
    let mut reader = SliceReader::new(signature).ok()?;
    let integers: Result<[UintRef<'_>; 2], x509_cert::der::Error> =
        reader.sequence(|integers: &mut SliceReader<'_>| {
            Ok([UintRef::decode(integers)?, UintRef::decode(integers)?])
        });
    let integers = integers.ok()?;
    reader.finish().ok()?;
    let mut fixed = [0; SIGNATURE_LEN];
    for (half, integer) in fixed.chunks_exact_mut(SIGNATURE_LEN / 2).zip(integers) {
        let bytes = integer.as_bytes();
        let start = half.len().checked_sub(bytes.len())?;
        half[start..].copy_from_slice(bytes);
    }
    Some(fixed)
}
