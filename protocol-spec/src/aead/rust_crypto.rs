use super::{KEY_LEN, Nonce, OpenError, TAG_LEN};
use crate::suite::AeadAlgorithm;
use aes_gcm::Aes256Gcm;
use chacha20poly1305::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use chacha20poly1305::{ChaCha20Poly1305, Tag};

pub(super) enum Key {
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
    Aes256Gcm(Box<Aes256Gcm>),
}

impl Key {
    pub(super) fn new(algorithm: AeadAlgorithm, key: &[u8; KEY_LEN]) -> Self {
        match algorithm {
            AeadAlgorithm::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(Box::new(ChaCha20Poly1305::new(key.into())))
            }
            AeadAlgorithm::Aes256Gcm => Self::Aes256Gcm(Box::new(Aes256Gcm::new(key.into()))),
        }
    }

    pub(super) fn seal(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        content: &[u8],
        extra: &[u8],
        out: &mut [u8],
    ) {
        let (data, tag_out) = out.split_at_mut(content.len() + extra.len());
        data[..content.len()].copy_from_slice(content);
        data[content.len()..].copy_from_slice(extra);
        tag_out.copy_from_slice(&self.seal_in_place(nonce, aad, data));
    }

    pub(super) fn seal_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let data = InOutBuf::from(data);
        match self {
            Self::ChaCha20Poly1305(key) => key.encrypt_inout_detached(nonce.into(), aad, data),
            Self::Aes256Gcm(key) => key.encrypt_inout_detached(nonce.into(), aad, data),
        }
        .expect("messages are far below the AEAD's limit")
        .into()
    }

    pub(super) fn open_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.open(nonce, aad, InOutBuf::from(data), tag)
    }

    pub(super) fn open_to(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), OpenError> {
        self.open(nonce, aad, InOutBuf::new(ciphertext, out).map_err(|_| OpenError)?, tag)
    }

    fn open(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: InOutBuf<'_, '_, u8>,
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        let tag: &Tag = tag.into();
        match self {
            Self::ChaCha20Poly1305(key) => key.decrypt_inout_detached(nonce.into(), aad, data, tag),
            Self::Aes256Gcm(key) => key.decrypt_inout_detached(nonce.into(), aad, data, tag),
        }
        .map_err(|_| OpenError)
    }
}
