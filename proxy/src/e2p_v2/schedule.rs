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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = [4; 16];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn keys() -> Keys {
        let transcript = Transcript {
            key_exchange: "X25519",
            client_nonce: &[1; 32],
            client_key_material: &[2; 32],
            server_key_material: &[3; 32],
            session_id: &ID,
            context_hash: &[5; 32],
        };
        Keys::derive(&[6; 32], transcript.hash())
    }

    /// Computed apart from this code, with Python's hmac and the AESGCM of its package cryptography.
    const CONFIRMATION: [u8; 48] = [
        0x29, 0xb3, 0x84, 0xf8, 0xa2, 0x41, 0xb0, 0xb8, 0xe6, 0x39, 0x9d, 0xb1, 0xdd, 0x50, 0xf2,
        0xff, 0xb9, 0x37, 0x6e, 0x2f, 0x3b, 0xdc, 0xd8, 0xe4, 0x51, 0x9c, 0xec, 0x8d, 0x36, 0x76,
        0x50, 0xb5, 0x49, 0xe8, 0xf2, 0x1a, 0xd1, 0x37, 0xdb, 0xbc, 0x2d, 0x22, 0x42, 0x27, 0x6b,
        0xb6, 0x11, 0x2f,
    ];

    #[test]
    fn a_worked_example() {
        let keys = keys();
        let hash = "26ec70463c1c175d92d3f05950599b4dba92783508033ff039fbe3689958bbee";
        assert_eq!(hex(&keys.transcript_hash), hash);
        let binder = "4004eda8f9a6b938b6aab7d4eb6ccd8d29a969caa267119fb664a89b11f89f02";
        assert_eq!(hex(&keys.binder), binder);
        let mut sealed = CONFIRMATION;
        assert_eq!(keys.open(Message::Confirmation, &ID, 0, &mut sealed), Ok(32));
        assert!(keys.is_transcript_hash(&sealed[..32]));
        assert!(!keys.is_transcript_hash(&sealed[..31]));
        let mut out = [0; 5 + TAG_LEN];
        keys.seal(Message::Application, &ID, 7, b"hello", &mut out);
        assert_eq!(hex(&out), "3b03d81e186292e34259ea65f27dfcfd890f1e1c5c");
    }

    #[test]
    fn opens_nothing_else() {
        let keys = keys();
        let open = |kind, id: &SessionId, sequence, mut sealed: Vec<u8>| {
            keys.open(kind, id, sequence, &mut sealed)
        };
        let sealed = CONFIRMATION.to_vec();
        let refused = Err(NotAuthentic);
        assert_eq!(open(Message::Application, &ID, 0, sealed.clone()), refused);
        assert_eq!(open(Message::Confirmation, &ID, 1, sealed.clone()), refused);
        assert_eq!(open(Message::Confirmation, &[5; 16], 0, sealed), refused);
        assert_eq!(open(Message::Confirmation, &ID, 0, vec![0; TAG_LEN - 1]), refused);
        // What goes in one direction does not come back in the other.
        let mut own = vec![0; 32 + TAG_LEN];
        keys.seal(Message::Confirmation, &ID, 0, &keys.transcript_hash, &mut own);
        assert_eq!(open(Message::Confirmation, &ID, 0, own), refused);
    }
}
