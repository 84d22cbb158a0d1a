//! The certificate path of a document (SPEC.md, Section 7, check `certificates`).
//!
//! Two readers have to agree. `webpki` validates the path from the leaf to the root: signatures,
//! validity, CA flags, path lengths, name constraints, critical extensions. It ignores the order of
//! the list, keyUsage, and everything about the root; the rules on those are checked here on the
//! certificates as `x509-cert` reads them, together with what gives an error a position.

use super::es384::{self, Es384, Verifier};
use core::fmt;
use core::time::Duration;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error as WebpkiError, KeyUsage as Purpose};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::time::Time;

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// Most CAs in a path: `webpki` takes no more than a root and 6, but of others with equal names it
/// tries all orders before it says so.
const MAX_CAS: usize = 7;
/// anyExtendedKeyUsage, 2.5.29.37.0: a certificate limited to other purposes is not for us.
const ANY_PURPOSE: Purpose = Purpose::required_if_present(&[0x55, 0x1d, 0x25, 0x00]);

/// Why the certificate path is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateError {
    /// Which certificate: 0 is the root, the last one the leaf. `None` when the path as a whole is at
    /// fault, or a signature somewhere in it.
    pub position: Option<usize>,
    /// What is wrong.
    pub problem: CertificateProblem,
}

impl core::error::Error for CertificateError {}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(0) => write!(f, "the root {}", self.problem),
            Some(position) => write!(f, "certificate {position} (0 is the root) {}", self.problem),
            None => write!(f, "a certificate of the path {}", self.problem),
        }
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The path has more than 7 CAs.
    #[error("is one CA more than a path may have")]
    TooMany,
    /// Not the DER of a certificate.
    #[error("is malformed")]
    Malformed,
    /// Not X.509 version 3.
    #[error("is not of X.509 version 3")]
    Version,
    /// Not ECDSA with SHA-384 on P-384.
    #[error("uses an algorithm other than ECDSA with SHA-384 on P-384")]
    Algorithm,
    /// The public key is not an uncompressed point of the curve.
    #[error("has a public key that is not a point of P-384")]
    PublicKey,
    /// The issuer is not the subject of the certificate before it.
    #[error("is not issued by the certificate before it")]
    Issuer,
    /// Validity has not begun.
    #[error("is not valid yet")]
    NotYetValid,
    /// Validity is over.
    #[error("has expired")]
    Expired,
    /// basicConstraints is missing, occurs twice or does not decode.
    #[error("has no valid basicConstraints")]
    BasicConstraints,
    /// A CA certificate without the CA flag.
    #[error("is not a CA")]
    NotCa,
    /// The leaf has the CA flag.
    #[error("is a CA in the place of the leaf")]
    CaAsLeaf,
    /// More CA certificates follow than pathLenConstraint allows.
    #[error("does not allow as many CAs below it")]
    PathLen,
    /// keyUsage is missing, occurs twice, does not decode, or lacks keyCertSign (CAs) or
    /// digitalSignature (leaf).
    #[error("has no keyUsage that allows what it is used for")]
    KeyUsage,
    /// An extension that is critical and unknown.
    #[error("has a critical extension that is unknown")]
    CriticalExtension,
    /// The signature does not verify under the key of its issuer.
    #[error("has a signature that does not verify")]
    Signature,
    /// Path validation refused it for another reason.
    #[error("was refused by path validation")]
    Refused,
}

impl CertificateProblem {
    pub(super) fn at(self, position: usize) -> CertificateError {
        CertificateError { position: Some(position), problem: self }
    }
}

impl From<WebpkiError> for CertificateProblem {
    fn from(error: WebpkiError) -> Self {
        match error {
            WebpkiError::BadDer | WebpkiError::BadDerTime | WebpkiError::TrailingData(_) => {
                Self::Malformed
            }
            WebpkiError::CertExpired { .. } => Self::Expired,
            WebpkiError::CertNotValidYet { .. } => Self::NotYetValid,
            WebpkiError::InvalidSignatureForPublicKey => Self::Signature,
            WebpkiError::PathLenConstraintViolated => Self::PathLen,
            WebpkiError::SignatureAlgorithmMismatch
            | WebpkiError::UnsupportedSignatureAlgorithmContext(_)
            | WebpkiError::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::Algorithm,
            WebpkiError::UnsupportedCertVersion => Self::Version,
            WebpkiError::UnsupportedCriticalExtension => Self::CriticalExtension,
            _ => Self::Refused,
        }
    }
}

/// A leaf whose path to the root is valid.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    der: &'a [u8],
    /// End of its validity, inclusive, in milliseconds since 1970.
    pub(super) not_after_ms: u64,
}

impl Leaf<'_> {
    /// Whether `signature` (r and s, 48 bytes each) over `message` was made with the leaf's key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8], verifier: &dyn Verifier) -> bool {
        EndEntityCert::try_from(&CertificateDer::from(self.der))
            .and_then(|leaf| leaf.verify_signature(&Es384::cose(verifier), message, signature))
            .is_ok()
    }
}

/// Validates the path `cabundle` (root first), `certificate` at a time in milliseconds since 1970.
///
/// The caller has compared the root with the trust anchor.
pub(super) fn validate<'a>(
    cabundle: &[&'a [u8]],
    certificate: &'a [u8],
    at_ms: u64,
    verifier: &dyn Verifier,
) -> Result<Leaf<'a>, CertificateError> {
    if cabundle.len() > MAX_CAS {
        return Err(CertificateProblem::TooMany.at(MAX_CAS));
    }
    let ders: Vec<_> =
        cabundle.iter().chain([&certificate]).map(|der| CertificateDer::from(*der)).collect();
    let leaf_position = cabundle.len();
    let mut issuer = None;
    let mut not_after_ms = u64::MAX;
    for (position, der) in ders.iter().enumerate() {
        let fail = |problem: CertificateProblem| problem.at(position);
        EndEntityCert::try_from(der).map_err(|error| fail(error.into()))?;
        let parsed = Certificate::from_der(der).map_err(|_| fail(CertificateProblem::Malformed))?;
        let tbs = parsed.tbs_certificate();
        if issuer.as_ref().unwrap_or(tbs.subject()) != tbs.issuer() {
            return Err(fail(CertificateProblem::Issuer));
        }
        check_form(&parsed, verifier).map_err(fail)?;
        not_after_ms = not_after_ms.min(check_validity(&parsed, at_ms).map_err(fail)?);
        let below = leaf_position.checked_sub(position + 1);
        check_role(&parsed, below).map_err(fail)?;
        issuer = Some(tbs.subject().clone());
    }
    check_self_signature(&ders[0], verifier).map_err(|problem| problem.at(0))?;
    validate_path(&ders, at_ms, verifier)
        .map_err(|problem| CertificateError { position: None, problem })?;
    Ok(Leaf { der: certificate, not_after_ms })
}

/// X.509 v3, a P-384 key, an ECDSA with SHA-384 signature, and no critical extension but those two
/// that `check_role` looks at.
fn check_form(
    certificate: &Certificate,
    verifier: &dyn Verifier,
) -> Result<(), CertificateProblem> {
    let tbs = certificate.tbs_certificate();
    if tbs.version() != Version::V3 {
        return Err(CertificateProblem::Version);
    }
    for algorithm in [certificate.signature_algorithm(), tbs.signature()] {
        if algorithm.oid != ECDSA_WITH_SHA384 || algorithm.parameters.is_some() {
            return Err(CertificateProblem::Algorithm);
        }
    }
    let key = &tbs.subject_public_key_info().algorithm;
    let curve = key.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
    if key.oid != EC_PUBLIC_KEY || curve != Some(SECP384R1) {
        return Err(CertificateProblem::Algorithm);
    }
    let point = tbs.subject_public_key_info().subject_public_key.as_bytes();
    if !point.is_some_and(|point| es384::is_public_key(point, verifier)) {
        return Err(CertificateProblem::PublicKey);
    }
    let known = [BasicConstraints::OID, KeyUsage::OID];
    let mut extensions = tbs.extensions().into_iter().flatten();
    if extensions.any(|extension| extension.critical && !known.contains(&extension.extn_id)) {
        return Err(CertificateProblem::CriticalExtension);
    }
    Ok(())
}

/// Until when a certificate claims to be valid.
pub(super) fn not_after_ms(der: &[u8]) -> Result<u64, CertificateProblem> {
    let parsed = Certificate::from_der(der).map_err(|_| CertificateProblem::Malformed)?;
    Ok(ms(parsed.tbs_certificate().validity().not_after))
}

fn ms(time: Time) -> u64 {
    u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
}

/// Both ends of the period are inclusive. Gives notAfter in milliseconds.
fn check_validity(certificate: &Certificate, at_ms: u64) -> Result<u64, CertificateProblem> {
    let validity = certificate.tbs_certificate().validity();
    if at_ms < ms(validity.not_before) {
        return Err(CertificateProblem::NotYetValid);
    }
    let not_after_ms = ms(validity.not_after);
    if at_ms > not_after_ms {
        return Err(CertificateProblem::Expired);
    }
    Ok(not_after_ms)
}

/// `below` is the number of CAs that follow this one, or `None` for the leaf.
fn check_role(certificate: &Certificate, below: Option<usize>) -> Result<(), CertificateProblem> {
    let tbs = certificate.tbs_certificate();
    // Errors when the extension occurs twice or does not decode.
    let (_, constraints) = tbs
        .get_extension::<BasicConstraints>()
        .ok()
        .flatten()
        .ok_or(CertificateProblem::BasicConstraints)?;
    let (_, usage) =
        tbs.get_extension::<KeyUsage>().ok().flatten().ok_or(CertificateProblem::KeyUsage)?;
    let usable = match below {
        None if constraints.ca => return Err(CertificateProblem::CaAsLeaf),
        None => usage.digital_signature(),
        Some(_) if !constraints.ca => return Err(CertificateProblem::NotCa),
        Some(below) => {
            if constraints.path_len_constraint.is_some_and(|max| usize::from(max) < below) {
                return Err(CertificateProblem::PathLen);
            }
            usage.key_cert_sign()
        }
    };
    usable.then_some(()).ok_or(CertificateProblem::KeyUsage)
}

fn check_self_signature(
    root: &CertificateDer<'_>,
    verifier: &dyn Verifier,
) -> Result<(), CertificateProblem> {
    let signed = SliceReader::new(root).and_then(|mut reader| {
        reader.sequence(|certificate: &mut SliceReader<'_>| {
            let tbs = certificate.tlv_bytes()?;
            AnyRef::decode(certificate)?;
            let signature = x509_cert::der::asn1::BitStringRef::decode(certificate)?;
            Ok((tbs, signature.as_bytes().unwrap_or_default()))
        })
    });
    let (tbs, signature) =
        signed.map_err(|_: x509_cert::der::Error| CertificateProblem::Malformed)?;
    let algorithm = Es384::certificate(verifier);
    EndEntityCert::try_from(root)?.verify_signature(&algorithm, tbs, signature)?;
    Ok(())
}

/// Path validation by webpki, which has to find exactly the path given.
fn validate_path(
    ders: &[CertificateDer<'_>],
    at_ms: u64,
    verifier: &dyn Verifier,
) -> Result<(), CertificateProblem> {
    let [root, intermediates @ .., leaf] = ders else {
        return Err(CertificateProblem::Refused);
    };
    let anchor = webpki::anchor_from_trusted_cert(root)?;
    let in_order = |path: &webpki::VerifiedPath<'_>| {
        let found = path.intermediate_certificates().map(|found| found.der());
        if found.rev().eq(intermediates.iter().cloned()) {
            Ok(())
        } else {
            Err(WebpkiError::UnknownIssuer)
        }
    };
    EndEntityCert::try_from(leaf)?.verify_for_usage(
        &[&Es384::certificate(verifier)],
        &[anchor],
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_millis(at_ms)),
        ANY_PURPOSE,
        None,
        Some(&in_order),
    )?;
    Ok(())
}
