use super::{KEY_LEN, Nonce, OpenError, TAG_LEN};
use crate::suite::AeadAlgorithm;
use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(algorithm: AeadAlgorithm, key: &[u8; KEY_LEN]) -> Self {
        let algorithm = match algorithm {
            AeadAlgorithm::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            AeadAlgorithm::Aes256Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key).expect("32 bytes are a key of either AEAD");
        Self(LessSafeKey::new(key))
    }

    pub(super) fn seal(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        content: &[u8],
        extra: &[u8],
        out: &mut [u8],
    ) {
        let (out_content, out_rest) = out.split_at_mut(content.len());
        self.0
            .seal_out_of_place_scatter(
                nonce.into(),
                Aad::from(aad),
                content,
                out_content,
                extra,
                out_rest,
            )
            .expect("lengths match and frames are far below the AEAD's limit");
    }

    pub(super) fn seal_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let tag = self.0.seal_in_place_separate_tag(nonce.into(), Aad::from(aad), data);
        let tag = tag.expect("messages are far below the AEAD's limit");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    pub(super) fn open_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.0
            .open_in_place_separate_tag(nonce.into(), Aad::from(aad), tag, data)
            .map(|_| ())
            .map_err(|_| OpenError)
    }

    pub(super) fn open_to(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), OpenError> {
        self.0
            .open_separate_gather(nonce.into(), Aad::from(aad), ciphertext, tag, out)
            .map_err(|_| OpenError)
    }
}
