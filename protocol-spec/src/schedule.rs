//! Transcript hashes and key schedule (SPEC.md, Section 8.2). Every label of the handshake is here.

use crate::aead::{AeadKey, KEY_LEN, NONCE_LEN, Nonce, OpenError, TAG_LEN};
use crate::kem::Exporter;
use crate::key_config::{KeyId, VERSION};
use crate::suite::{AeadAlgorithm, Suite};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A SHA-256 transcript hash.
pub type Hash = [u8; 32];

/// Binds key configuration, suite, enclave key and the client's ephemeral key.
pub fn th0(key_config_hash: &Hash, suite: Suite, key_id: &KeyId, epk: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(b"steve/3 th0")
        .chain_update(key_config_hash)
        .chain_update(VERSION.to_be_bytes())
        .chain_update(suite.id().to_be_bytes())
        .chain_update(key_id)
        .chain_update(epk)
        .finalize()
        .into()
}

/// Adds the whole ClientHello.
pub fn thc(th0: &Hash, client_hello: &[u8]) -> Hash {
    Sha256::new().chain_update(th0).chain_update(client_hello).finalize().into()
}

/// Adds the ServerHello without its confirmation.
pub fn th1(thc: &Hash, server_hello_without_confirm: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(b"steve/3 th1")
        .chain_update(thc)
        .chain_update(server_hello_without_confirm)
        .finalize()
        .into()
}

/// HPKE `info` of the context that authenticates the enclave.
pub fn hello_info(th0: &Hash) -> Vec<u8> {
    [b"steve/3 hello", &th0[..]].concat()
}

/// HPKE `info` of the context that adds forward secrecy.
pub fn reply_info(thc: &Hash) -> Vec<u8> {
    [b"steve/3 reply", &thc[..]].concat()
}

/// Key and IV of one direction. Erased on drop; has no `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TrafficKey {
    /// AEAD key.
    pub key: [u8; KEY_LEN],
    /// Combined with stream id and frame number into the nonce.
    pub iv: [u8; NONCE_LEN],
}

const EMPTY: TrafficKey = TrafficKey { key: [0; KEY_LEN], iv: [0; NONCE_LEN] };

impl TrafficKey {
    /// The nonce of a frame (SPEC.md, Section 9.2).
    pub fn nonce(&self, stream_id: u64, frame_number: u32) -> Nonce {
        nonce(&self.iv, stream_id, frame_number)
    }

    /// The key, prepared for `algorithm`.
    pub fn aead(&self, algorithm: AeadAlgorithm) -> AeadKey {
        AeadKey::new(algorithm, &self.key)
    }

    /// Tag that confirms the handshake (SPEC.md, Section 8.3), made with the s2c key.
    pub fn confirmation(&self, algorithm: AeadAlgorithm, th1: &Hash) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        self.aead(algorithm).seal(&self.nonce(u64::MAX, u32::MAX), th1, b"", b"", &mut tag);
        tag
    }

    /// Verifies the peer's [`confirmation`](Self::confirmation) in constant time.
    pub fn verify_confirmation(
        &self,
        algorithm: AeadAlgorithm,
        th1: &Hash,
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        let nonce = self.nonce(u64::MAX, u32::MAX);
        self.aead(algorithm).open_in_place(&nonce, th1, &mut [], tag)
    }
}

/// The nonce of a frame (SPEC.md, Section 9.2).
pub(crate) fn nonce(iv: &[u8; NONCE_LEN], stream_id: u64, frame_number: u32) -> Nonce {
    let mut nonce = *iv;
    let counters = stream_id.to_be_bytes().into_iter().chain(frame_number.to_be_bytes());
    nonce.iter_mut().zip(counters).for_each(|(byte, x)| *byte ^= x);
    nonce
}

/// Everything a session keeps. Erased on drop; has no `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionSecrets {
    /// Client to proxy.
    pub c2s: TrafficKey,
    /// Proxy to client.
    pub s2c: TrafficKey,
    exporter: [u8; 32],
}

impl SessionSecrets {
    /// Derives the secrets from both HPKE contexts and the transcript. They stay where they are
    /// made: what is moved leaves a copy behind that nothing erases.
    pub fn derive(e: &Exporter, s: &Exporter, th1: &Hash) -> Box<Self> {
        let salt = e.export(b"steve/3 early");
        let ikm = s.export(b"steve/3 session");
        let (mut prk, master) = Hkdf::<Sha256>::extract(Some(salt.as_ref()), ikm.as_ref());
        prk.as_mut_slice().zeroize();
        let mut secrets = Box::new(Self { c2s: EMPTY, s2c: EMPTY, exporter: [0; 32] });
        expand(&master, b"steve/3 c2s key", th1, &mut secrets.c2s.key);
        expand(&master, b"steve/3 c2s iv", th1, &mut secrets.c2s.iv);
        expand(&master, b"steve/3 s2c key", th1, &mut secrets.s2c.key);
        expand(&master, b"steve/3 s2c iv", th1, &mut secrets.s2c.iv);
        expand(&master, b"steve/3 exporter", th1, &mut secrets.exporter);
        secrets
    }

    /// The exporter secret.
    pub fn exporter_secret(&self) -> &[u8; 32] {
        &self.exporter
    }

    /// Value known to client, proxy and app alone (SPEC.md, Section 10.5).
    pub fn session_binding(&self) -> [u8; 32] {
        let exporter = Hkdf::<Sha256>::from_prk(&self.exporter).expect("32 bytes are a PRK");
        let mut binding = [0; 32];
        expand(&exporter, b"steve/3 app session", &[], &mut binding);
        binding
    }
}

/// Key of the frames that follow a ClientHello (SPEC.md, Sections 8.2 and 12).
pub fn early_traffic_key(e: &Exporter, thc: &Hash) -> Box<TrafficKey> {
    let context = Zeroizing::new([b"steve/3 early traffic", &thc[..]].concat());
    let secret = e.export(&context);
    let hkdf = Hkdf::<Sha256>::from_prk(secret.as_ref()).expect("32 bytes are a PRK");
    let mut early = Box::new(EMPTY);
    expand(&hkdf, b"steve/3 early key", &[], &mut early.key);
    expand(&hkdf, b"steve/3 early iv", &[], &mut early.iv);
    early
}

fn expand(prk: &Hkdf<Sha256>, label: &[u8], context: &[u8], out: &mut [u8]) {
    prk.expand_multi_info(&[label, context], out)
        .expect("at most 32 bytes are within the limit of HKDF-Expand");
}
