//! The back end with X25519 by AWS-LC, and with keys of X-Wing that are expanded once.
//!
//! Everything random is drawn as the crate `hpke` draws it, so that both give the same.

use super::KemError;
pub(super) use super::schedule::Context;
use super::schedule::{Secret, VERSION, expand, extract, kem_suite};
use crate::suite::Kem;
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519, agree};
use ml_kem::{Decapsulate, DecapsulationKey768, EncapsulationKey768, KeyExport};
use rand_core::CryptoRng;
use sha3::{Digest, Sha3_256};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use zeroize::{Zeroize, Zeroizing};

const X25519_LEN: usize = 32;
const XWING_LABEL: &[u8; 6] = br"\.//^\";

/// A Diffie-Hellman key pair. AWS-LC erases its private key.
struct X25519Key {
    private: agreement::PrivateKey,
    public: [u8; X25519_LEN],
}

impl X25519Key {
    fn new(private: &Secret) -> Self {
        let private = agreement::PrivateKey::from_private_key(&X25519, private.as_slice())
            .expect("32 bytes are a private key");
        let encoded = private.compute_public_key().expect("every private key has a public one");
        let mut public = [0; X25519_LEN];
        public.copy_from_slice(encoded.as_ref());
        Self { private, public }
    }

    /// `DeriveKeyPair` of a random string (RFC 9180, Section 7.1.3).
    fn generate(rng: &mut impl CryptoRng) -> (Secret, Self) {
        let suite = kem_suite(Kem::X25519);
        let mut ikm = Zeroizing::new([0; X25519_LEN]);
        rng.fill_bytes(ikm.as_mut());
        let prk = extract(&suite, b"", b"dkp_prk", ikm.as_slice());
        let mut private: Secret = Box::default();
        expand(&suite, &prk, b"sk", b"", &mut private);
        // As the crate `hpke` encodes it (RFC 7748, Section 5).
        private[0] &= 0b1111_1000;
        private[31] = private[31] & 0b0111_1111 | 0b0100_0000;
        let key = Self::new(&private);
        (private, key)
    }

    /// An error also for an all-zero result (RFC 9180, Section 7.1.4).
    fn agree(&self, peer: &[u8]) -> Result<Secret, KemError> {
        // AWS-LC takes keys in DER, too.
        let peer: &[u8; X25519_LEN] = peer.try_into().map_err(|_| KemError)?;
        agree(&self.private, UnparsedPublicKey::new(&X25519, peer), KemError, |shared| {
            let mut secret: Secret = Box::default();
            secret.copy_from_slice(shared.get(..X25519_LEN).ok_or(KemError)?);
            Ok(secret)
        })
    }
}

/// X25519 inside of X-Wing, where an all-zero result is not refused (SPEC.md, Appendix A). That is the
/// one reason for AWS-LC to refuse a key of the right length.
fn agree_in_xwing(key: &X25519Key, peer: &[u8; X25519_LEN]) -> Secret {
    key.agree(peer).unwrap_or_default()
}

/// `ExtractAndExpand` (RFC 9180, Section 4.1).
fn extract_and_expand(dh: &Secret, enc: &[u8], public: &[u8]) -> Secret {
    let suite = kem_suite(Kem::X25519);
    let prk = extract(&suite, b"", b"eae_prk", dh.as_slice());
    let mut shared: Secret = Box::default();
    expand(&suite, &prk, b"shared_secret", &[enc, public].concat(), &mut shared);
    shared
}

/// A private key, with what follows from it.
pub(super) struct PrivateKey {
    #[cfg(feature = "dangerous-dev-attester")]
    encoded: Secret,
    expanded: Expanded,
}

enum Expanded {
    X25519(X25519Key),
    XWing(Box<XWingKey>),
}

struct XWingKey {
    ml_kem: DecapsulationKey768,
    x25519: X25519Key,
}

impl PrivateKey {
    /// A fresh key, and the encoded public key. Made as the crate `hpke` makes it.
    pub(super) fn generate(kem: Kem, rng: &mut impl CryptoRng) -> (Self, Vec<u8>) {
        match kem {
            Kem::X25519 => {
                let (encoded, key) = X25519Key::generate(rng);
                let public = key.public.to_vec();
                (Self::new(encoded, Expanded::X25519(key)), public)
            }
            Kem::XWing => {
                let encoded = xwing_private(rng);
                let key = XWingKey::new(&encoded);
                let ml_kem = key.ml_kem.encapsulation_key().to_bytes();
                let public = [ml_kem.as_slice(), &key.x25519.public].concat();
                (Self::new(encoded, Expanded::XWing(Box::new(key))), public)
            }
        }
    }

    #[cfg_attr(not(feature = "dangerous-dev-attester"), expect(unused_variables))]
    fn new(encoded: Secret, expanded: Expanded) -> Self {
        Self {
            #[cfg(feature = "dangerous-dev-attester")]
            encoded,
            expanded,
        }
    }

    /// The encoded private key.
    #[cfg(feature = "dangerous-dev-attester")]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.encoded.to_vec()
    }

    /// `SetupBaseR`.
    pub(super) fn receive(&self, enc: &[u8], info: &[u8]) -> Result<Context, KemError> {
        match &self.expanded {
            Expanded::X25519(key) => {
                let dh = key.agree(enc)?;
                let shared = extract_and_expand(&dh, enc, &key.public);
                Ok(Context::new(Kem::X25519, &shared, info))
            }
            Expanded::XWing(key) => {
                let (ct_m, ct_x) = split(enc)?;
                let ct_m = ct_m.try_into().map_err(|_| KemError)?;
                let mut ss_m = key.ml_kem.decapsulate(ct_m);
                let ss_x = agree_in_xwing(&key.x25519, ct_x);
                let shared = combine(&ss_m, &ss_x, ct_x, &key.x25519.public);
                ss_m.zeroize();
                Ok(Context::new(Kem::XWing, &shared, info))
            }
        }
    }
}

/// `DeriveKeyPair` of a random string (draft-ietf-hpke-pq, Section 4).
fn xwing_private(rng: &mut impl CryptoRng) -> Secret {
    let mut ikm = Zeroizing::new([0; 32]);
    rng.fill_bytes(ikm.as_mut());
    let suite = kem_suite(Kem::XWing);
    let label = b"DeriveKeyPair";
    let (label_len, len) = [label.len(), 32].map(|len| (len as u16).to_be_bytes()).into();
    let mut shake = Shake256::default();
    for part in [ikm.as_slice(), VERSION, &suite, &label_len, label, &len] {
        shake.update(part);
    }
    let mut private: Secret = Box::default();
    shake.finalize_xof().read(private.as_mut_slice());
    private
}

impl XWingKey {
    /// Expands a private key (draft-connolly-cfrg-xwing-kem, Section 5.2).
    fn new(private: &Secret) -> Self {
        let mut shake = Shake256::default();
        shake.update(private.as_slice());
        let mut expanded = shake.finalize_xof();
        let mut seed = ml_kem::Seed::default();
        expanded.read(&mut seed);
        let mut x25519: Secret = Box::default();
        expanded.read(x25519.as_mut_slice());
        let key =
            Self { ml_kem: DecapsulationKey768::from_seed(seed), x25519: X25519Key::new(&x25519) };
        seed.zeroize();
        key
    }
}

/// The part of ML-KEM and that of X25519, which comes last.
fn split(encoded: &[u8]) -> Result<(&[u8], &[u8; X25519_LEN]), KemError> {
    encoded.split_last_chunk().ok_or(KemError)
}

/// The combiner of X-Wing (draft-connolly-cfrg-xwing-kem, Section 5.3).
fn combine(ss_m: &[u8], ss_x: &Secret, ct_x: &[u8], pk_x: &[u8]) -> Secret {
    let mut hash = Sha3_256::new();
    for part in [ss_m, ss_x.as_slice(), ct_x, pk_x, XWING_LABEL] {
        Digest::update(&mut hash, part);
    }
    let mut shared: Secret = Box::default();
    let out: &mut [u8; 32] = &mut shared;
    hash.finalize_into(out.into());
    shared
}

/// `SetupBaseS`: the encapsulated key and the context.
pub(super) fn send(
    kem: Kem,
    public_key: &[u8],
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Context), KemError> {
    let (enc, shared) = match kem {
        Kem::X25519 => {
            let (_, ephemeral) = X25519Key::generate(rng);
            let dh = ephemeral.agree(public_key)?;
            let shared = extract_and_expand(&dh, &ephemeral.public, public_key);
            (ephemeral.public.to_vec(), shared)
        }
        Kem::XWing => {
            let (pk_m, pk_x) = split(public_key)?;
            let pk_m = pk_m.try_into().map_err(|_| KemError)?;
            let pk_m = EncapsulationKey768::new(pk_m).map_err(|_| KemError)?;
            let (mut for_m, mut for_x) = (ml_kem::B32::default(), Secret::default());
            rng.fill_bytes(&mut for_m);
            rng.fill_bytes(for_x.as_mut_slice());
            let (ct_m, mut ss_m) = pk_m.encapsulate_deterministic(&for_m);
            for_m.zeroize();
            let ephemeral = X25519Key::new(&for_x);
            let ss_x = agree_in_xwing(&ephemeral, pk_x);
            let shared = combine(&ss_m, &ss_x, &ephemeral.public, pk_x);
            ss_m.zeroize();
            ([ct_m.as_slice(), &ephemeral.public].concat(), shared)
        }
    };
    Ok((enc, Context::new(kem, &shared, info)))
}
