//! Attestation documents: decoded, and verified (SPEC.md, Section 7, checks `cose` to `signature`).

use super::certificates::{self, Leaf};
use super::cose::CoseSign1;
use super::document::Document;
use super::es384::{RustCrypto, Verifier};
use super::{AppraisalError, DebugModeError, Pcrs, TimestampError, TrustAnchor, pcr};
use sha2::{Digest, Sha256};

/// A decoded attestation document. It may say anything: nothing is verified.
///
/// Good for showing what a document claims. [`verify`](Self::verify) makes more of it.
#[derive(Clone, Debug)]
pub struct UnverifiedDocument<'a> {
    pub(super) cose: CoseSign1<'a>,
    pub(super) document: Document<'a>,
}

impl<'a> UnverifiedDocument<'a> {
    /// Decodes a document of up to 16384 bytes: checks `cose` and `document`.
    pub fn decode(input: &'a [u8]) -> Result<Self, AppraisalError> {
        let cose = CoseSign1::decode(input)?;
        let document = Document::decode(cose.payload)?;
        Ok(Self { cose, document })
    }

    /// The NSM's name for the enclave: instance id and enclave id.
    pub fn module_id(&self) -> &'a str {
        self.document.module_id
    }

    /// When the document claims to have been made, in milliseconds since 1970.
    pub fn timestamp_ms(&self) -> u64 {
        self.document.timestamp_ms
    }

    /// The measurements claimed.
    pub fn pcrs(&self) -> &Pcrs {
        &self.document.pcrs
    }

    /// Until when the signing certificate claims to be valid, in milliseconds since 1970.
    pub fn leaf_not_after_ms(&self) -> Result<u64, AppraisalError> {
        let Document { certificate, cabundle, .. } = &self.document;
        Ok(certificates::not_after_ms(certificate).map_err(|error| error.at(cabundle.len()))?)
    }

    /// SHA-256 of the DER of the root certificate it comes with.
    pub fn root_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.root()).into()
    }

    /// Verifies that the document was signed by an NSM under `anchor`: checks `root`, `certificates`
    /// and `signature`, with the certificates valid at `now_ms` or at the document's own time,
    /// whichever is later (milliseconds since 1970).
    pub fn verify(
        &self,
        anchor: &TrustAnchor,
        now_ms: u64,
    ) -> Result<AttestationDocument, AppraisalError> {
        self.check_root(anchor)?;
        let leaf = self.check_certificates(now_ms, &RustCrypto)?;
        self.check_signature(&leaf, &RustCrypto)?;
        Ok(self.verified(&leaf))
    }

    pub(super) fn check_root(&self, anchor: &TrustAnchor) -> Result<(), AppraisalError> {
        anchor
            .check(self.root())
            .map_err(|found| AppraisalError::Root { expected: *anchor.sha256(), found })
    }

    pub(super) fn check_certificates(
        &self,
        now_ms: u64,
        verifier: &dyn Verifier,
    ) -> Result<Leaf<'a>, AppraisalError> {
        let Document { cabundle, certificate, timestamp_ms, .. } = &self.document;
        let at_ms = now_ms.max(*timestamp_ms);
        Ok(certificates::validate(cabundle, certificate, at_ms, verifier)?)
    }

    pub(super) fn check_signature(
        &self,
        leaf: &Leaf<'_>,
        verifier: &dyn Verifier,
    ) -> Result<(), AppraisalError> {
        if leaf.verify(&self.cose.signed_bytes(), self.cose.signature, verifier) {
            Ok(())
        } else {
            Err(AppraisalError::Signature)
        }
    }

    pub(super) fn verified(&self, leaf: &Leaf<'_>) -> AttestationDocument {
        let Document { module_id, timestamp_ms, pcrs, public_key, user_data, nonce, .. } =
            &self.document;
        AttestationDocument {
            module_id: (*module_id).to_owned(),
            timestamp_ms: *timestamp_ms,
            pcrs: pcrs.clone(),
            public_key: public_key.map(<[u8]>::to_vec),
            user_data: user_data.map(<[u8]>::to_vec),
            nonce: nonce.map(<[u8]>::to_vec),
            not_after_ms: leaf.not_after_ms,
        }
    }

    fn root(&self) -> &'a [u8] {
        self.document.cabundle.first().copied().unwrap_or_default()
    }
}

/// An attestation document that an NSM under the given trust anchor has signed.
///
/// This says nothing yet about freshness, about what image runs, or about keys: see
/// [`Appraiser`](super::Appraiser), which checks all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationDocument {
    pub(super) module_id: String,
    pub(super) timestamp_ms: u64,
    pub(super) pcrs: Pcrs,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    not_after_ms: u64,
}

impl AttestationDocument {
    /// Decodes and verifies: the checks `cose`, `document`, `root`, `certificates` and `signature`.
    ///
    /// `now_ms` is the time in milliseconds since 1970. To look at an old document, pass its own
    /// timestamp.
    pub fn verify(input: &[u8], anchor: &TrustAnchor, now_ms: u64) -> Result<Self, AppraisalError> {
        UnverifiedDocument::decode(input)?.verify(anchor, now_ms)
    }

    /// Check `timestamp`: made at most `max_age_ms` ago, and at most `max_skew_ms` in the future.
    pub fn check_timestamp(
        &self,
        now_ms: u64,
        max_age_ms: u64,
        max_skew_ms: u64,
    ) -> Result<(), TimestampError> {
        let age_ms = now_ms.saturating_sub(self.timestamp_ms);
        if age_ms > max_age_ms {
            return Err(TimestampError::TooOld { age_ms, max_age_ms });
        }
        let ahead_ms = self.timestamp_ms.saturating_sub(now_ms);
        if ahead_ms > max_skew_ms {
            return Err(TimestampError::InFuture { ahead_ms, max_skew_ms });
        }
        Ok(())
    }

    /// Check `debug-mode`: PCR0, PCR1 and PCR2 are there and not all zero.
    pub fn check_debug_mode(&self) -> Result<(), DebugModeError> {
        pcr::MANDATORY.into_iter().try_for_each(|index| match self.pcrs.get(index) {
            None => Err(DebugModeError::Missing(index)),
            Some(value) if value.is_zero() => Err(DebugModeError::Zero(index)),
            Some(_) => Ok(()),
        })
    }

    /// The NSM's name for the enclave: instance id and enclave id.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the NSM made the document, in milliseconds since 1970 on its clock.
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// The measurements of the enclave.
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }

    /// What the enclave gave as its public key: up to 1024 bytes. STEVE leaves it away.
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// What the enclave gave as user data: up to 512 bytes.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// What the enclave gave as nonce: up to 512 bytes.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// Until when all its certificates are valid, inclusive, in milliseconds since 1970.
    pub fn not_after_ms(&self) -> u64 {
        self.not_after_ms
    }
}
