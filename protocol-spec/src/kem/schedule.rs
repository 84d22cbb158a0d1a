//! The key schedule of HPKE for contexts that only export, in base mode (RFC 9180, Sections 4 and 5).

use crate::suite::Kem;
use hkdf::{Hkdf, HkdfExtract};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// A secret of 32 bytes, in one place on the heap.
pub(super) type Secret = Box<Zeroizing<[u8; 32]>>;

pub(super) const VERSION: &[u8] = b"HPKE-v1";
const HKDF_SHA256: u16 = 1;
const EXPORT_ONLY: u16 = 0xffff;
const MODE_BASE: &[u8] = &[0];

/// `suite_id` inside of a KEM.
pub(super) fn kem_suite(kem: Kem) -> Vec<u8> {
    [b"KEM", &(kem as u16).to_be_bytes()[..]].concat()
}

fn hpke_suite(kem: Kem) -> Vec<u8> {
    let ids = [kem as u16, HKDF_SHA256, EXPORT_ONLY].map(u16::to_be_bytes);
    [b"HPKE", ids.as_flattened()].concat()
}

/// `LabeledExtract`, to be finalised.
fn labeled(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> HkdfExtract<Sha256> {
    let mut context = HkdfExtract::new(Some(salt));
    for part in [VERSION, suite, label, ikm] {
        context.input_ikm(part);
    }
    context
}

/// `LabeledExtract` of something secret.
pub(super) fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Hkdf<Sha256> {
    let (mut prk, hkdf) = labeled(suite, salt, label, ikm).finalize();
    prk.as_mut_slice().zeroize();
    hkdf
}

/// `LabeledExpand` to 32 bytes.
pub(super) fn expand(
    suite: &[u8],
    prk: &Hkdf<Sha256>,
    label: &[u8],
    info: &[u8],
    out: &mut [u8; 32],
) {
    prk.expand_multi_info(&[&32_u16.to_be_bytes(), VERSION, suite, label, info], out)
        .expect("32 bytes are within the limit of HKDF-Expand");
}

/// A context, good for exporting secrets and nothing else.
pub(super) struct Context {
    suite: Vec<u8>,
    exporter: Secret,
}

impl Context {
    /// `KeySchedule` without a PSK.
    pub(super) fn new(kem: Kem, shared_secret: &[u8; 32], info: &[u8]) -> Self {
        let suite = hpke_suite(kem);
        let psk_id_hash = labeled(&suite, b"", b"psk_id_hash", b"").finalize().0;
        let info_hash = labeled(&suite, b"", b"info_hash", info).finalize().0;
        let context = [MODE_BASE, &psk_id_hash, &info_hash].concat();
        let secret = extract(&suite, shared_secret, b"secret", b"");
        let mut exporter: Secret = Box::default();
        expand(&suite, &secret, b"exp", &context, &mut exporter);
        Self { suite, exporter }
    }

    /// `Context.Export`.
    pub(super) fn export(&self, context: &[u8], out: &mut [u8; 32]) {
        let prk = Hkdf::from_prk(self.exporter.as_slice()).expect("32 bytes are a PRK");
        expand(&self.suite, &prk, b"sec", context, out);
    }
}
