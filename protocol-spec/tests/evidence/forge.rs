//! Makes certificate paths and attestation documents, good ones and any bad ones, independently of
//! the code under test.

use core::time::Duration;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use p384::elliptic_curve::Generate;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, SerialNumber, SignatureAlgorithm,
};
use sha2::{Digest, Sha256};
use steve_protocol::evidence::{AppraisalError, AttestationDocument, TrustAnchor};

/// The time of every document here, in milliseconds.
pub(crate) const NOW_MS: u64 = 1_800_000_000_123;
/// The same in seconds, rounded down.
pub(crate) const NOW: u64 = NOW_MS / 1000;

/// A P-384 key that may claim to be of another algorithm.
#[derive(Clone)]
pub(crate) struct Key {
    secret: SigningKey,
    /// As in the certificate of its holder.
    pub(crate) point: Vec<u8>,
    /// Of the holder's public key.
    pub(crate) algorithm: &'static SignatureAlgorithm,
    /// Sign with SHA-256 instead of SHA-384.
    pub(crate) sha256: bool,
}

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        let secret = SigningKey::generate_from_rng(&mut ChaCha20Rng::from_seed([seed; 32]));
        let point = secret.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret, point, algorithm: &rcgen::PKCS_ECDSA_P384_SHA384, sha256: false }
    }

    /// The same point in 49 bytes.
    pub(crate) fn compressed(&self) -> Vec<u8> {
        self.secret.verifying_key().to_sec1_point(true).as_bytes().to_vec()
    }

    pub(crate) fn cose(&self, payload: &[u8]) -> Vec<u8> {
        let sig_structure =
            [&b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40"[..], &cbor::bytes(payload)].concat();
        let signature: Signature = self.secret.sign(&sig_structure);
        let signature = cbor::bytes(&signature.to_bytes());
        [&b"\x84\x44\xa1\x01\x38\x22\xa0"[..], &cbor::bytes(payload), &signature].concat()
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// What signs: the algorithm named in the certificate is the one used.
struct Pen<'a>(&'a Key);

impl rcgen::PublicKeyData for Pen<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        if self.0.sha256 { &rcgen::PKCS_ECDSA_P256_SHA256 } else { &rcgen::PKCS_ECDSA_P384_SHA384 }
    }
}

impl rcgen::SigningKey for Pen<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = if self.0.sha256 {
            // A hash has at least half the length of the field: pad to it as SHA-384 would be.
            let mut hash = [0; 48];
            hash[16..].copy_from_slice(&Sha256::digest(message));
            let signature: Signature = self.0.secret.sign_prehash(&hash).unwrap();
            signature.to_der()
        } else {
            self.0.secret.sign(message)
        };
        Ok(signature.as_bytes().to_vec())
    }
}

/// What a certificate says, to be changed at will.
#[derive(Clone)]
pub(crate) struct Cert {
    pub(crate) subject: DistinguishedName,
    pub(crate) issuer: DistinguishedName,
    pub(crate) key: Key,
    pub(crate) issuer_key: Key,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) is_ca: IsCa,
    pub(crate) key_usages: Vec<KeyUsagePurpose>,
    pub(crate) extensions: Vec<CustomExtension>,
    /// Changes the part that is signed, before it is signed.
    pub(crate) patch: fn(&mut Vec<u8>),
}

impl Cert {
    pub(crate) fn der(&self) -> Vec<u8> {
        let time = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject.clone();
        params.not_before = time(self.not_before);
        params.not_after = time(self.not_after);
        params.serial_number = Some(SerialNumber::from(1));
        params.is_ca = self.is_ca;
        params.key_usages = self.key_usages.clone();
        params.custom_extensions = self.extensions.clone();
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20]);
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = self.issuer.clone();
        let issuer = Issuer::from_params(&issuer, Pen(&self.issuer_key));
        let der = params.signed_by(&self.key, &issuer).unwrap().der().to_vec();
        self.patched(&der)
    }

    fn patched(&self, der: &[u8]) -> Vec<u8> {
        let (tbs, rest) = der::split(der::content(der));
        let (algorithm, _) = der::split(rest);
        let mut tbs = tbs.to_vec();
        (self.patch)(&mut tbs);
        let signature = rcgen::SigningKey::sign(&Pen(&self.issuer_key), &tbs).unwrap();
        let signature = der::tlv(3, &[&[0][..], &signature].concat());
        der::tlv(0x30, &[&tbs, algorithm, &signature].concat())
    }
}

pub(crate) fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Forge");
    name.push(DnType::CommonName, common_name);
    name
}

pub(crate) fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

/// A path from the root (first) to the leaf (last), valid from one hour before to one hour after
/// [`NOW`], of AWS's shape.
pub(crate) fn path() -> Vec<Cert> {
    path_of(&[None, Some(2), Some(1), Some(0)])
}

/// A path with one CA per path length constraint, and a leaf.
pub(crate) fn path_of(path_lens: &[Option<u8>]) -> Vec<Cert> {
    let count = path_lens.len();
    let keys: Vec<_> = (0..=count).map(|position| Key::new(position as u8 + 1)).collect();
    let cert = |position: usize, is_ca, usages: &[KeyUsagePurpose]| Cert {
        subject: name(&format!("{position}")),
        issuer: name(&format!("{}", position.saturating_sub(1))),
        key: keys[position].clone(),
        issuer_key: keys[position.saturating_sub(1)].clone(),
        not_before: NOW - 3600,
        not_after: NOW + 3600,
        is_ca,
        key_usages: usages.to_vec(),
        extensions: Vec::new(),
        patch: |_| (),
    };
    let mut certs: Vec<_> = path_lens
        .iter()
        .enumerate()
        .map(|(position, path_len)| {
            let constraints = match path_len {
                Some(path_len) => BasicConstraints::Constrained(*path_len),
                None => BasicConstraints::Unconstrained,
            };
            cert(position, IsCa::Ca(constraints), &[KeyUsagePurpose::KeyCertSign])
        })
        .collect();
    certs.push(cert(count, IsCa::ExplicitNoCa, &[KeyUsagePurpose::DigitalSignature]));
    certs
}

/// An attestation document: CBOR keys and values, to be changed at will.
#[derive(Clone)]
pub(crate) struct Doc {
    pub(crate) root_sha256: [u8; 32],
    pub(crate) signer: Key,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) indefinite: bool,
}

impl Doc {
    /// A good document under these certificates.
    pub(crate) fn new(certs: &[Cert]) -> Self {
        let signer = certs.last().unwrap().key.clone();
        Self::from_ders(&certs.iter().map(Cert::der).collect::<Vec<_>>(), signer)
    }

    pub(crate) fn from_ders(ders: &[Vec<u8>], signer: Key) -> Self {
        let (leaf, cabundle) = ders.split_last().unwrap();
        let pcrs: Vec<_> =
            (0..16).map(|i| (cbor::uint(i), cbor::bytes(&[i as u8 + 1; 48]))).collect();
        let bundle: Vec<_> = cabundle.iter().map(|der| cbor::bytes(der)).collect();
        let mut doc = Self {
            root_sha256: Sha256::digest(&cabundle[0]).into(),
            signer,
            fields: Vec::new(),
            indefinite: false,
        };
        doc.set("module_id", cbor::text("i-0-enc0"));
        doc.set("digest", cbor::text("SHA384"));
        doc.set("timestamp", cbor::uint(NOW_MS));
        doc.set("pcrs", cbor::map(&pcrs));
        doc.set("certificate", cbor::bytes(leaf));
        doc.set("cabundle", cbor::array(&bundle));
        doc.set("public_key", cbor::NULL.to_vec());
        doc.set("user_data", cbor::NULL.to_vec());
        doc.set("nonce", cbor::NULL.to_vec());
        doc
    }

    /// Replaces a field, or adds it.
    pub(crate) fn set(&mut self, key: &str, value: Vec<u8>) {
        let key = cbor::text(key);
        match self.fields.iter_mut().find(|(present, _)| *present == key) {
            Some((_, present)) => *present = value,
            None => self.fields.push((key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        let key = cbor::text(key);
        self.fields.retain(|(present, _)| *present != key);
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        if self.indefinite { cbor::indefinite_map(&self.fields) } else { cbor::map(&self.fields) }
    }

    pub(crate) fn sign(&self) -> Vec<u8> {
        self.signer.cose(&self.payload())
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::dangerous_from_sha256(self.root_sha256)
    }

    pub(crate) fn verify_at(&self, now_ms: u64) -> Result<AttestationDocument, AppraisalError> {
        AttestationDocument::verify(&self.sign(), &self.anchor(), now_ms)
    }

    pub(crate) fn verify(&self) -> Result<AttestationDocument, AppraisalError> {
        self.verify_at(NOW_MS)
    }
}

/// Just enough CBOR.
pub(crate) mod cbor {
    pub(crate) const NULL: &[u8] = &[0xf6];

    pub(crate) fn head(major: u8, value: u64) -> Vec<u8> {
        let major = major << 5;
        match value {
            0..24 => vec![major | value as u8],
            24..0x100 => vec![major | 24, value as u8],
            0x100..=0xffff => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
            0x1_0000..=0xffff_ffff => [&[major | 26][..], &(value as u32).to_be_bytes()].concat(),
            _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
        }
    }

    pub(crate) fn uint(value: u64) -> Vec<u8> {
        head(0, value)
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
        [head(2, bytes.len() as u64), bytes.to_vec()].concat()
    }

    pub(crate) fn text(text: &str) -> Vec<u8> {
        [head(3, text.len() as u64), text.as_bytes().to_vec()].concat()
    }

    pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
        [head(4, items.len() as u64), items.concat()].concat()
    }

    pub(crate) fn indefinite_array(items: &[Vec<u8>]) -> Vec<u8> {
        [vec![0x9f], items.concat(), vec![0xff]].concat()
    }

    pub(crate) fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        [head(5, entries.len() as u64), pairs(entries)].concat()
    }

    pub(crate) fn indefinite_map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        [vec![0xbf], pairs(entries), vec![0xff]].concat()
    }

    fn pairs(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        entries.iter().flat_map(|(key, value)| [key.clone(), value.clone()].concat()).collect()
    }
}

/// Just enough DER.
mod der {
    /// The first item with its header, and what follows it.
    pub(super) fn split(input: &[u8]) -> (&[u8], &[u8]) {
        let (header, len) = header(input);
        input.split_at(header + len)
    }

    pub(super) fn content(input: &[u8]) -> &[u8] {
        let (header, len) = header(input);
        &input[header..header + len]
    }

    pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            len @ 0..128 => out.push(len as u8),
            len @ 128..256 => out.extend([0x81, len as u8]),
            len => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend(content);
        out
    }

    fn header(input: &[u8]) -> (usize, usize) {
        match input[1] {
            len @ 0..=0x80 => (2, usize::from(len)),
            0x81 => (3, usize::from(input[2])),
            _ => (4, usize::from(input[2]) << 8 | usize::from(input[3])),
        }
    }
}
