//! Transcript, keys and records of a session.

use super::messages::SessionId;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use steve_protocol::aead::{AeadKey, KEY_LEN, NONCE_LEN, Nonce, TAG_LEN};
use steve_protocol::suite::AeadAlgorithm;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const MAGIC: &[u8; 13] = b"STEVE-E2P-V2\0";
const AAD_LEN: usize = MAGIC.len() + 1 + 1 + 16 + 8;

/// It was not sealed with the key of this session, for this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAuthentic;

/// What both ends said until there were keys.
pub(super) struct Transcript<'a> {
    pub(super) key_exchange: &'a str,
    pub(super) client_nonce: &'a [u8; 32],
    pub(super) client_key_material: &'a [u8],
    pub(super) server_key_material: &'a [u8],
    pub(super) session_id: &'a SessionId,
    pub(super) context_hash: &'a [u8; 32],
}

impl Transcript<'_> {
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(MAGIC)
            .chain_update(self.key_exchange)
            .chain_update([0])
            .chain_update(self.client_nonce)
            .chain_update(self.client_key_material)
            .chain_update(self.server_key_material)
            .chain_update(self.session_id)
            .chain_update(self.context_hash)
            .finalize()
            .into()
    }
}

/// What a record is for.
#[derive(Clone, Copy)]
pub(super) enum Message {
    Confirmation = 0,
    Application = 1,
}

#[derive(Clone, Copy)]
enum Direction {
    ClientToServer = 0,
    ServerToClient = 1,
}

/// The keys of a session. They are erased when it is dropped.
pub(super) struct Keys {
    c2s: (AeadKey, [u8; 4]),
    s2c: (AeadKey, [u8; 4]),
    /// Goes into the attestation document.
    pub(super) binder: [u8; 32],
    pub(super) transcript_hash: [u8; 32],
}

impl Keys {
    pub(super) fn derive(shared: &[u8; 32], transcript_hash: [u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(Some(&transcript_hash), shared);
        let key = |label: &str| {
            let mut key = Zeroizing::new([0; KEY_LEN]);
            expand(&hkdf, label, key.as_mut());
            AeadKey::new(AeadAlgorithm::Aes256Gcm, &key)
        };
        let iv = |label: &str| {
            let mut iv = [0; 4];
            expand(&hkdf, label, &mut iv);
            iv
        };
        let mut binder = [0; 32];
        expand(&hkdf, "steve-e2p-v2/attestation-binder", &mut binder);
        Self {
            c2s: (key("steve-e2p-v2/c2s-key"), iv("steve-e2p-v2/c2s-iv")),
            s2c: (key("steve-e2p-v2/s2c-key"), iv("steve-e2p-v2/s2c-iv")),
            binder,
            transcript_hash,
        }
    }

    /// Compares in constant time.
    pub(super) fn is_transcript_hash(&self, bytes: &[u8]) -> bool {
        self.transcript_hash.ct_eq(bytes).into()
    }

    /// Opens what the client sealed, a ciphertext with its tag, in place. Gives the plaintext's length.
    pub(super) fn open(
        &self,
        message: Message,
        session_id: &SessionId,
        sequence: u64,
        sealed: &mut [u8],
    ) -> Result<usize, NotAuthentic> {
        let (key, iv) = &self.c2s;
        let aad = aad(message, Direction::ClientToServer, session_id, sequence);
        let (data, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(NotAuthentic)?;
        key.open_in_place(&nonce(iv, sequence), &aad, data, tag).map_err(|_| NotAuthentic)?;
        Ok(data.len())
    }

    /// Seals for the client into `out`, which is longer by a tag. A sequence must not be used twice
    /// with the same kind of message.
    pub(super) fn seal(
        &self,
        message: Message,
        session_id: &SessionId,
        sequence: u64,
        content: &[u8],
        out: &mut [u8],
    ) {
        let (key, iv) = &self.s2c;
        let aad = aad(message, Direction::ServerToClient, session_id, sequence);
        key.seal(&nonce(iv, sequence), &aad, content, &[], out);
    }
}

fn expand(hkdf: &Hkdf<Sha256>, label: &str, out: &mut [u8]) {
    hkdf.expand(label.as_bytes(), out).expect("32 bytes are within the limit of HKDF-Expand");
}

fn nonce(iv: &[u8; 4], sequence: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..4].copy_from_slice(iv);
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    nonce
}

fn aad(
    message: Message,
    direction: Direction,
    session_id: &SessionId,
    sequence: u64,
) -> [u8; AAD_LEN] {
    let mut aad = [0; AAD_LEN];
    aad[..13].copy_from_slice(MAGIC);
    aad[13] = message as u8;
    aad[14] = direction as u8;
    aad[15..31].copy_from_slice(session_id);
    aad[31..].copy_from_slice(&sequence.to_be_bytes());
    aad
}
