//! AEAD with interchangeable back ends.
//!
//! All back ends give identical results (the tests hold each against the others): aws-lc-rs where a
//! C compiler is at hand, code of this crate for WebAssembly with SIMD, the RustCrypto crates
//! everywhere else.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
mod rust_crypto;
mod simd;

use crate::suite::AeadAlgorithm;

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;
/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of a tag in bytes.
pub const TAG_LEN: usize = 16;

/// A nonce; unique for every use of a key to seal.
pub type Nonce = [u8; NONCE_LEN];

/// The ciphertext was not made with this key, nonce and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("does not authenticate")]
pub struct OpenError;

/// An implementation of the AEADs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// AWS-LC through `aws-lc-rs`.
    #[cfg(feature = "aws-lc-rs")]
    AwsLc,
    /// The crates `chacha20poly1305` and `aes-gcm`.
    RustCrypto,
    /// ChaCha20-Poly1305 of this crate, AES-256-GCM of `aes-gcm`. Fast only in WebAssembly with
    /// SIMD, where it is the default; slow everywhere else.
    Simd,
}

impl Backend {
    /// Every back end of this build, the default first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "aws-lc-rs")]
        Self::AwsLc,
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Self::Simd,
        Self::RustCrypto,
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        Self::Simd,
    ];
}

impl Default for Backend {
    fn default() -> Self {
        Self::ALL[0]
    }
}

/// A key, ready for use. Its bytes stay in one place on the heap when it is moved, and are erased
/// there.
pub struct AeadKey(Inner);

enum Inner {
    #[cfg(feature = "aws-lc-rs")]
    AwsLc(aws_lc::Key),
    RustCrypto(rust_crypto::Key),
    Simd(Box<simd::Key>),
}

impl AeadKey {
    /// Prepares `key` for the default back end.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8; KEY_LEN]) -> Self {
        Self::with_backend(Backend::default(), algorithm, key)
    }

    /// Prepares `key` for the back end named.
    pub fn with_backend(backend: Backend, algorithm: AeadAlgorithm, key: &[u8; KEY_LEN]) -> Self {
        Self(match (backend, algorithm) {
            #[cfg(feature = "aws-lc-rs")]
            (Backend::AwsLc, _) => Inner::AwsLc(aws_lc::Key::new(algorithm, key)),
            (Backend::Simd, AeadAlgorithm::ChaCha20Poly1305) => {
                Inner::Simd(Box::new(simd::Key::new(key)))
            }
            (Backend::RustCrypto | Backend::Simd, _) => {
                Inner::RustCrypto(rust_crypto::Key::new(algorithm, key))
            }
        })
    }

    /// Encrypts `content ‖ extra` into `out`, followed by the tag. `content` is read once and
    /// written once, in the cipher's own pass where the back end can do so.
    ///
    /// # Panics
    ///
    /// If `out` is not exactly `content.len() + extra.len() + TAG_LEN` bytes.
    pub fn seal(&self, nonce: &Nonce, aad: &[u8], content: &[u8], extra: &[u8], out: &mut [u8]) {
        assert_eq!(out.len(), content.len() + extra.len() + TAG_LEN);
        match &self.0 {
            #[cfg(feature = "aws-lc-rs")]
            Inner::AwsLc(key) => key.seal(nonce, aad, content, extra, out),
            Inner::RustCrypto(key) => key.seal(nonce, aad, content, extra, out),
            Inner::Simd(key) => key.seal(nonce, aad, content, extra, out),
        }
    }

    /// Encrypts `data` where it is and gives the tag.
    pub fn seal_in_place(&self, nonce: &Nonce, aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        match &self.0 {
            #[cfg(feature = "aws-lc-rs")]
            Inner::AwsLc(key) => key.seal_in_place(nonce, aad, data),
            Inner::RustCrypto(key) => key.seal_in_place(nonce, aad, data),
            Inner::Simd(key) => key.seal_in_place(nonce, aad, data),
        }
    }

    /// Decrypts `data` in place. On error `data` is not plaintext.
    pub fn open_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        match &self.0 {
            #[cfg(feature = "aws-lc-rs")]
            Inner::AwsLc(key) => key.open_in_place(nonce, aad, data, tag),
            Inner::RustCrypto(key) => key.open_in_place(nonce, aad, data, tag),
            Inner::Simd(key) => key.open_in_place(nonce, aad, data, tag),
        }
    }

    /// Decrypts `ciphertext` into `out`. On error `out` is not plaintext.
    ///
    /// # Panics
    ///
    /// If `out` and `ciphertext` differ in length.
    pub fn open_to(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), OpenError> {
        assert_eq!(out.len(), ciphertext.len());
        match &self.0 {
            #[cfg(feature = "aws-lc-rs")]
            Inner::AwsLc(key) => key.open_to(nonce, aad, ciphertext, tag, out),
            Inner::RustCrypto(key) => key.open_to(nonce, aad, ciphertext, tag, out),
            Inner::Simd(key) => key.open_to(nonce, aad, ciphertext, tag, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [AeadAlgorithm; 2] =
        [AeadAlgorithm::ChaCha20Poly1305, AeadAlgorithm::Aes256Gcm];

    #[test]
    fn every_back_end_opens_what_every_back_end_seals() {
        let content: Vec<u8> = (0..70_000).map(|i| i as u8).collect();
        for algorithm in ALGORITHMS {
            for sealer in Backend::ALL {
                for opener in Backend::ALL {
                    for (len, extra) in
                        [(0, 0), (0, 1), (1, 1), (15, 1), (16, 1), (17, 40), (65_536, 1)]
                    {
                        let key = AeadKey::with_backend(*sealer, algorithm, &[7; KEY_LEN]);
                        let mut out = vec![0; len + extra + TAG_LEN];
                        key.seal(
                            &[1; NONCE_LEN],
                            b"aad",
                            &content[..len],
                            &vec![9; extra],
                            &mut out,
                        );

                        let mut place = [&content[..len], &vec![9; extra]].concat();
                        let tag = key.seal_in_place(&[1; NONCE_LEN], b"aad", &mut place);
                        assert_eq!([&place[..], &tag].concat(), out);

                        let key = AeadKey::with_backend(*opener, algorithm, &[7; KEY_LEN]);
                        let (data, tag) = out.split_last_chunk_mut().unwrap();
                        let mut copy = vec![0; data.len()];
                        key.open_to(&[1; NONCE_LEN], b"aad", data, tag, &mut copy).unwrap();
                        key.open_in_place(&[1; NONCE_LEN], b"aad", data, tag).unwrap();
                        assert_eq!(&data[..len], &content[..len]);
                        assert_eq!(&data[len..], &vec![9; extra]);
                        assert_eq!(copy, data);
                    }
                }
            }
        }
    }

    #[test]
    fn any_changed_bit_fails() {
        for algorithm in ALGORITHMS {
            for backend in Backend::ALL {
                let key = AeadKey::with_backend(*backend, algorithm, &[7; KEY_LEN]);
                let mut sealed = vec![0; 5 + TAG_LEN];
                key.seal(&[1; NONCE_LEN], b"aad", b"hello", b"", &mut sealed);
                for bit in 0..sealed.len() * 8 {
                    let mut bad = sealed.clone();
                    bad[bit / 8] ^= 1 << (bit % 8);
                    let (data, tag) = bad.split_last_chunk_mut().unwrap();
                    let mut out = vec![0; data.len()];
                    assert_eq!(
                        key.open_to(&[1; NONCE_LEN], b"aad", data, tag, &mut out),
                        Err(OpenError)
                    );
                    assert_eq!(
                        key.open_in_place(&[1; NONCE_LEN], b"aad", data, tag),
                        Err(OpenError)
                    );
                }
                let (data, tag) = sealed.split_last_chunk_mut().unwrap();
                assert_eq!(
                    key.open_in_place(&[2; NONCE_LEN], b"aad", &mut data.to_vec(), tag),
                    Err(OpenError)
                );
                assert_eq!(
                    key.open_in_place(&[1; NONCE_LEN], b"", &mut data.to_vec(), tag),
                    Err(OpenError)
                );
            }
        }
    }
}
