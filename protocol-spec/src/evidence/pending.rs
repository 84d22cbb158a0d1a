//! Appraisals whose signatures are verified elsewhere.

use super::appraiser::Sent;
use super::cose::SIGNATURE_LEN;
use super::es384::Verifier;
use super::{Appraiser, Challenge, Refusal, VerifiedEnclave};
use std::sync::{Mutex, PoisonError};

/// A signature that an appraisal depends on: ECDSA with SHA-384 on P-384.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key of whoever is said to have signed: an uncompressed point (SEC 1, Section 2.3.3) of 97
    /// bytes, which may not be one of the curve.
    pub public_key: Vec<u8>,
    /// What is signed.
    pub message: Vec<u8>,
    /// r and s in 48 bytes each.
    pub signature: [u8; SIGNATURE_LEN],
}

/// An appraisal that waits for verdicts on signatures, for platforms that verify them faster than the
/// code here, and asynchronously. [`Appraiser::begin`] makes it.
///
/// The evidence is read twice. The first reading collects signatures, and decides nothing. The second
/// one is the appraisal: every check in its order, where a signature counts as valid only if key,
/// message and signature are those of one with the verdict `true`.
#[derive(Debug)]
pub struct PendingAppraisal {
    appraiser: Appraiser,
    evidence: Vec<u8>,
    challenge: Challenge,
    sent_ms: u64,
    origin: String,
    now_ms: u64,
    signatures: Vec<Signed>,
}

impl PendingAppraisal {
    pub(super) fn new(
        appraiser: Appraiser,
        evidence: Vec<u8>,
        challenge: Challenge,
        sent_ms: u64,
        origin: String,
        now_ms: u64,
    ) -> Self {
        let collector = Collector::default();
        // What fails here fails in the appraisal as well, which says why.
        let _ = appraiser.read_signatures(&evidence, now_ms, &collector);
        let signatures = collector.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self { appraiser, evidence, challenge, sent_ms, origin, now_ms, signatures }
    }

    /// What is to be verified. Empty when the evidence is refused before signatures matter.
    pub fn signatures(&self) -> &[Signed] {
        &self.signatures
    }

    /// Appraises, as [`Appraiser::appraise`] does. `verdicts` says of each signature, in the order of
    /// [`signatures`](Self::signatures), whether it was verified and is valid under a public key that
    /// is a point of the curve. A missing verdict is `false`.
    pub fn finish(self, verdicts: &[bool]) -> Result<VerifiedEnclave, Refusal> {
        let Self { appraiser, evidence, challenge, sent_ms, origin, now_ms, signatures } = self;
        let valid = signatures.into_iter().zip(verdicts).filter(|(_, verdict)| **verdict);
        let verdicts = Verdicts(valid.map(|(signed, _)| signed).collect());
        let sent = Sent::new(&challenge, sent_ms, now_ms);
        appraiser.appraise_with(&evidence, sent, &origin, now_ms, &verdicts)
    }
}

/// Collects signatures. That it agrees to them means nothing.
#[derive(Debug, Default)]
struct Collector(Mutex<Vec<Signed>>);

impl Verifier for Collector {
    fn is_on_curve(&self, _: &[u8]) -> bool {
        true
    }

    fn verify(&self, public_key: &[u8], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        let (public_key, message) = (public_key.to_vec(), message.to_vec());
        let signed = Signed { public_key, message, signature: *signature };
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !collected.contains(&signed) {
            collected.push(signed);
        }
        true
    }
}

/// The signatures that are valid.
#[derive(Debug)]
struct Verdicts(Vec<Signed>);

impl Verifier for Verdicts {
    /// Every key of a document has to have a valid signature; one off the curve has none.
    fn is_on_curve(&self, _: &[u8]) -> bool {
        true
    }

    fn verify(&self, public_key: &[u8], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        self.0.iter().any(|valid| {
            valid.public_key == public_key
                && valid.message == message
                && valid.signature == *signature
        })
    }
}
