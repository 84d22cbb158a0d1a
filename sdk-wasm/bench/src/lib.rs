//! The AEAD as WebAssembly, for `aead.mjs` and `aead.test.mjs` beside this crate.

use steve_protocol::aead::{AeadKey, Backend, OpenError, TAG_LEN};
use steve_protocol::suite::AeadAlgorithm::ChaCha20Poly1305;
use wasm_bindgen::prelude::wasm_bindgen;

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [1; 12];
const AAD: [u8; 4] = [2; 4];

/// The default back end of this build, at work on bytes of one length.
#[wasm_bindgen]
pub struct Bench {
    key: AeadKey,
    plaintext: Vec<u8>,
    sealed: Vec<u8>,
}

#[wasm_bindgen]
impl Bench {
    /// With `length` bytes; what is sealed lies `gap` bytes behind what is not.
    #[wasm_bindgen(constructor)]
    pub fn new(length: usize, gap: usize) -> Self {
        let key = AeadKey::new(ChaCha20Poly1305, &KEY);
        let plaintext = vec![3; length];
        let _between = vec![0u8; gap];
        let mut bench = Self { key, plaintext, sealed: vec![0; length + TAG_LEN] };
        bench.seal(1);
        bench
    }

    /// Seals.
    pub fn seal(&mut self, times: u32) {
        for _ in 0..times {
            self.key.seal(&NONCE, &AAD, &self.plaintext, b"", &mut self.sealed);
        }
    }

    /// Opens what was sealed.
    pub fn open(&mut self, times: u32) {
        let (data, tag) = self.sealed.split_last_chunk().expect("has a tag");
        for _ in 0..times {
            self.key
                .open_to(&NONCE, &AAD, data, tag, &mut self.plaintext)
                .expect("it was sealed with this key");
        }
    }
}

/// Name of the default back end.
#[wasm_bindgen]
pub fn backend() -> String {
    format!("{:?}", Backend::default())
}

/// What ChaCha20-Poly1305 of the default back end makes of this.
#[wasm_bindgen]
pub fn seal(key: &[u8], nonce: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let key = AeadKey::new(ChaCha20Poly1305, key.try_into().expect("32 bytes"));
    let mut sealed = vec![0; plaintext.len() + TAG_LEN];
    key.seal(nonce.try_into().expect("12 bytes"), aad, plaintext, b"", &mut sealed);
    sealed
}

/// Panics unless the back ends agree on bytes of this length, `offset` from where they could lie
/// best, and unless what was changed opens as zeros.
#[wasm_bindgen]
pub fn compare(length: usize, offset: usize) {
    let mut random = length as u32 + 1;
    let mut bytes = |length| -> Vec<u8> {
        let next = |_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        };
        (0..length).map(next).collect()
    };
    let key = bytes(32).try_into().expect("32 bytes");
    let nonce = bytes(12).try_into().expect("12 bytes");
    let (aad, plaintext) = (bytes(length % 37), bytes(length));

    let mut results = Backend::ALL.iter().map(|backend| {
        let key = AeadKey::with_backend(*backend, ChaCha20Poly1305, &key);
        let mut buffer = vec![0; offset + length + TAG_LEN];
        let sealed = &mut buffer[offset..];
        let (content, extra) = plaintext.split_at(length - length % 3);
        key.seal(&nonce, &aad, content, extra, sealed);
        let result = sealed.to_vec();

        let (data, tag) = sealed.split_last_chunk_mut().expect("has a tag");
        let mut opened = vec![0; length];
        assert_eq!(key.open_to(&nonce, &aad, data, tag, &mut opened), Ok(()));
        assert!(opened == plaintext);
        assert_eq!(key.open_in_place(&nonce, &aad, data, tag), Ok(()));
        assert!(data == plaintext);

        data.copy_from_slice(&result[..length]);
        tag[length % TAG_LEN] ^= 1;
        assert_eq!(key.open_in_place(&nonce, &aad, data, tag), Err(OpenError));
        assert!(*data == result[..length] || data.iter().all(|byte| *byte == 0));
        result
    });
    let first = results.next().expect("there are two");
    for result in results {
        assert!(result == first);
    }
}
