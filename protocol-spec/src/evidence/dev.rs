//! A development stand-in for the NSM and its PKI. It proves nothing.
//!
//! [`DevAuthority`] signs attestation documents in the NSM's format under a certificate path of the
//! shape of AWS's: root (30 years), region (20 days), zone (6 days), instance (1 day), enclave
//! (3 hours). Whoever holds it can attest anything, so clients accept it only through
//! [`Appraiser::dangerous_with_anchor`](super::Appraiser::dangerous_with_anchor), and the cargo feature
//! `dangerous-dev-attester` has no place in a release.

use super::hex::Hex;
#[cfg(feature = "signed-policy")]
pub use super::policy_file::{PolicySigner, policy_file};
use super::{Pcr, Pcrs, TrustAnchor, cose};
use core::convert::Infallible;
use core::time::Duration;
use minicbor::Encoder;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use p384::elliptic_curve::Generate;
use rand_core::CryptoRng;
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber,
};
use sha2::{Digest, Sha256, Sha384};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const ROOT_LIFETIME: u64 = 30 * 365 * DAY;
const LEAF_LIFETIME: u64 = 3 * HOUR;
/// 9999-12-31T23:59:59Z, the last second that a certificate can name.
const END_OF_TIME: u64 = 253_402_300_799;
const ZONE: &str = "us-east-1.dev.steve.invalid";

/// The authority cannot issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// A certificate could not be made.
    #[error("cannot issue a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The document could not be encoded.
    #[error("cannot encode the document: {0}")]
    Encoding(String),
    /// What was to be attested is longer than the NSM allows.
    #[error("user data and nonce are up to 512 bytes, the public key up to 1024")]
    TooLong,
}

impl From<minicbor::encode::Error<Infallible>> for DevError {
    fn from(error: minicbor::encode::Error<Infallible>) -> Self {
        Self::Encoding(error.to_string())
    }
}

/// What to attest besides the measurements, as in the NSM's `Attestation` request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Up to 512 bytes; STEVE: [`user_data`](super::user_data).
    pub user_data: Option<&'a [u8]>,
    /// Up to 512 bytes; STEVE: root of the tree of challenges.
    pub nonce: Option<&'a [u8]>,
    /// Up to 1024 bytes; STEVE: none.
    pub public_key: Option<&'a [u8]>,
}

/// PCR0 to PCR15 of an enclave that does not exist: SHA-384 of "steve development PCR0" and so on
/// for the first three, zero for the others.
pub fn pcrs() -> Pcrs {
    let value = |index: u8| match index {
        0..=2 => Sha384::digest(format!("steve development PCR{index}")).into(),
        _ => [0; super::PCR_LEN],
    };
    (0..16).map(|index| (index, Pcr::from(value(index)))).collect()
}

/// A root, its intermediates and an enclave's signing key, all in memory and erased on drop.
pub struct DevAuthority {
    root: Ca,
    root_der: Vec<u8>,
    region: Ca,
    zone: Ca,
    instance: Ca,
    leaf: Key,
    leaf_name: DistinguishedName,
    module_id: String,
    indefinite: bool,
    leaf_lifetime: u64,
}

impl DevAuthority {
    /// Makes an authority whose root is valid for 30 years from one day before `now_ms`
    /// (milliseconds since 1970).
    ///
    /// The same random bytes and time give the same authority.
    pub fn new(rng: &mut impl CryptoRng, now_ms: u64) -> Result<Self, DevError> {
        let mut ids = [0; 17];
        rng.fill_bytes(&mut ids);
        let (instance_id, enclave_id) = ids.split_at(9);
        let instance_id = format!("i-{:.17}", Hex(instance_id).to_string());
        let module_id = format!("{instance_id}-enc{}", Hex(enclave_id));
        let mut ca = |name: String, path_len: Option<u8>, lifetime| {
            Ok::<_, DevError>(Ca {
                key: Key::new(rng),
                name: distinguished(&name)?,
                path_len,
                lifetime,
            })
        };
        let root = ca("dev.steve.invalid".into(), None, ROOT_LIFETIME)?;
        let region = ca(format!("region.{ZONE}"), Some(2), 20 * DAY)?;
        let zone = ca(format!("zonal.{ZONE}"), Some(1), 6 * DAY)?;
        let instance = ca(format!("{instance_id}.{ZONE}"), Some(0), DAY)?;
        let leaf = Key::new(rng);
        let root_not_before = (now_ms / 1000).saturating_sub(DAY);
        let root_der = root.params(root_not_before).self_signed(&root.key)?.der().to_vec();
        let leaf_name = distinguished(&format!("{module_id}.{ZONE}"))?;
        Ok(Self {
            root,
            root_der,
            region,
            zone,
            instance,
            leaf,
            leaf_name,
            module_id,
            indefinite: false,
            leaf_lifetime: LEAF_LIFETIME,
        })
    }

    /// Whether documents give their maps no length in advance, as CBOR also allows. Without this: no.
    #[must_use]
    pub fn indefinite_length_maps(mut self, indefinite: bool) -> Self {
        self.indefinite = indefinite;
        self
    }

    /// For how long the enclave's certificates are valid, in whole seconds. Without this: 3 hours.
    #[must_use]
    pub fn leaf_lifetime(mut self, lifetime: Duration) -> Self {
        self.leaf_lifetime = lifetime.as_secs().max(2);
        self
    }

    /// DER of the root certificate.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// SHA-256 of [`root_der`](Self::root_der).
    pub fn root_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.root_der).into()
    }

    /// The trust anchor for this root.
    pub fn trust_anchor(&self) -> TrustAnchor {
        TrustAnchor::dangerous_from_sha256(self.root_sha256())
    }

    /// The NSM's name for the enclave that the documents speak of.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Signs a document, made at `now_ms` (milliseconds since 1970), in the NSM's format.
    ///
    /// Certificates are renewed as time goes by: each is used for the first half of its lifetime.
    pub fn attest(
        &self,
        pcrs: &Pcrs,
        request: &Request<'_>,
        now_ms: u64,
    ) -> Result<Vec<u8>, DevError> {
        let over = |field: Option<&[u8]>, max| field.is_some_and(|bytes| bytes.len() > max);
        if over(request.user_data, 512)
            || over(request.nonce, 512)
            || over(request.public_key, 1024)
        {
            return Err(DevError::TooLong);
        }
        let now = now_ms / 1000;
        let region = self.root.issue(&self.region, now)?;
        let zone = self.region.issue(&self.zone, now)?;
        let instance = self.zone.issue(&self.instance, now)?;
        let leaf = self.instance.sign(&self.leaf_params(now), &self.leaf)?;

        let mut payload = Encoder::new(Vec::with_capacity(5000));
        self.begin_map(&mut payload, 9)?.str("module_id")?.str(&self.module_id)?;
        payload.str("digest")?.str("SHA384")?.str("timestamp")?.u64(now_ms)?;
        self.begin_map(payload.str("pcrs")?, pcrs.len())?;
        for (index, value) in pcrs.iter() {
            payload.u8(index)?.bytes(value.as_bytes())?;
        }
        self.end_map(&mut payload)?;
        payload.str("certificate")?.bytes(&leaf)?;
        payload.str("cabundle")?.array(4)?;
        for ca in [&self.root_der, &region, &zone, &instance] {
            payload.bytes(ca)?;
        }
        let Request { user_data, nonce, public_key } = *request;
        for (name, field) in
            [("public_key", public_key), ("user_data", user_data), ("nonce", nonce)]
        {
            payload.str(name)?;
            match field {
                Some(bytes) => payload.bytes(bytes)?,
                None => payload.null()?,
            };
        }
        self.end_map(&mut payload)?;
        self.leaf.cose_sign1(&payload.into_writer())
    }

    fn begin_map<'a>(
        &self,
        out: &'a mut Encoder<Vec<u8>>,
        length: usize,
    ) -> Result<&'a mut Encoder<Vec<u8>>, DevError> {
        Ok(if self.indefinite { out.begin_map()? } else { out.map(length as u64)? })
    }

    fn end_map(&self, out: &mut Encoder<Vec<u8>>) -> Result<(), DevError> {
        if self.indefinite {
            out.end()?;
        }
        Ok(())
    }

    fn leaf_params(&self, now: u64) -> CertificateParams {
        let not_before = slot(now, self.leaf_lifetime);
        let mut params = params(&self.leaf_name, &self.leaf, not_before, self.leaf_lifetime);
        // As AWS's leaves: CA flag absent, keyUsage (digitalSignature, nonRepudiation) not critical.
        let mut constraints = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]);
        constraints.set_criticality(true);
        let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 6, 0xc0]);
        params.custom_extensions = vec![constraints, usage];
        params
    }
}

struct Ca {
    key: Key,
    name: DistinguishedName,
    path_len: Option<u8>,
    /// Seconds.
    lifetime: u64,
}

impl Ca {
    /// Issues the certificate that `subject` uses at `now`, in seconds since 1970.
    fn issue(&self, subject: &Self, now: u64) -> Result<Vec<u8>, DevError> {
        let mut params = subject.params(slot(now, subject.lifetime));
        params.use_authority_key_identifier_extension = true;
        self.sign(&params, &subject.key)
    }

    fn sign(&self, params: &CertificateParams, subject: &Key) -> Result<Vec<u8>, DevError> {
        let own = self.params(0);
        let issuer = Issuer::from_params(&own, &self.key);
        Ok(params.signed_by(subject, &issuer)?.der().to_vec())
    }

    fn params(&self, not_before: u64) -> CertificateParams {
        let mut params = params(&self.name, &self.key, not_before, self.lifetime);
        params.is_ca = IsCa::Ca(match self.path_len {
            Some(path_len) => BasicConstraints::Constrained(path_len),
            None => BasicConstraints::Unconstrained,
        });
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        params
    }
}

fn params(
    name: &DistinguishedName,
    key: &Key,
    not_before: u64,
    lifetime: u64,
) -> CertificateParams {
    let time = |seconds: u64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.min(END_OF_TIME))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = name.clone();
    params.not_before = time(not_before);
    params.not_after = time(not_before.saturating_add(lifetime));
    let serial = Sha256::new().chain_update(&key.point).chain_update(not_before.to_be_bytes());
    params.serial_number = Some(SerialNumber::from_slice(&serial.finalize()[..16]));
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    params
}

/// When a certificate used at `now` was issued: a new one at every half of its lifetime.
fn slot(now: u64, lifetime: u64) -> u64 {
    now - now % (lifetime / 2)
}

fn distinguished(common_name: &str) -> Result<DistinguishedName, DevError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, DnValue::PrintableString(PrintableString::try_from("US")?));
    name.push(DnType::OrganizationName, "STEVE development, not Amazon");
    name.push(DnType::CommonName, common_name);
    Ok(name)
}

/// A P-384 key. `SigningKey` erases itself on drop.
struct Key {
    secret: SigningKey,
    point: Vec<u8>,
}

impl Key {
    fn new(rng: &mut impl CryptoRng) -> Self {
        let secret = SigningKey::generate_from_rng(rng);
        let point = secret.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret, point }
    }

    fn identifier(&self) -> Vec<u8> {
        Sha256::digest(&self.point)[..20].to_vec()
    }

    fn cose_sign1(&self, payload: &[u8]) -> Result<Vec<u8>, DevError> {
        let signature: Signature = self.secret.sign(&cose::sig_structure(payload));
        let mut out = Encoder::new(Vec::with_capacity(payload.len() + 112));
        out.array(4)?
            .bytes(cose::PROTECTED_HEADER)?
            .map(0)?
            .bytes(payload)?
            .bytes(&signature.to_bytes())?;
        Ok(out.into_writer())
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P384_SHA384
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self.secret.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}
