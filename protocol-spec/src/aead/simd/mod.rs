//! ChaCha20-Poly1305 (RFC 8439) for WebAssembly with 128-bit SIMD.
//!
//! The RustCrypto crates have no SIMD for WebAssembly: in V8 they open 0.3 to 0.4 GB/s (at opt-level
//! `s` and 3) where this opens 1.2. That is why there are primitives here; nothing else uses them.
//! They compute four blocks of ChaCha20 at once, and Poly1305 meanwhile, which is scalar, so that one
//! pass takes little more time than ChaCha20 alone. Measured and slower: plain words left to
//! autovectorisation (ChaCha20 alone at 0.2 GB/s), Poly1305 in vectors (WebAssembly multiplies them
//! slowly), one after the other (1.0 GB/s).
//!
//! No branch and no address depends on anything secret; there is no `unsafe`. Elsewhere than in
//! WebAssembly the same code runs on words, slowly, for tests.

mod chacha20;
mod lanes;
mod poly1305;
#[cfg(test)]
mod tests;

use super::{KEY_LEN, Nonce, OpenError, TAG_LEN};
use chacha20::{ChaCha20, PIECE_LEN, apply};
use poly1305::Poly1305;
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// Vectors of the first piece that are not for data: a block, the key of Poly1305.
const KEY_VECTORS: usize = 4;

/// What the first piece has for data, in bytes.
const FIRST_LEN: usize = PIECE_LEN - 64;

#[derive(ZeroizeOnDrop)]
pub(super) struct Key([u32; KEY_LEN / 4]);

impl Key {
    pub(super) fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut words = [0; KEY_LEN / 4];
        for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self(words)
    }

    pub(super) fn seal(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        content: &[u8],
        extra: &[u8],
        out: &mut [u8],
    ) {
        let (data, tag) = out.split_at_mut(content.len() + extra.len());
        data[..content.len()].copy_from_slice(content);
        data[content.len()..].copy_from_slice(extra);
        tag.copy_from_slice(&self.seal_in_place(nonce, aad, data));
    }

    pub(super) fn seal_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        self.pass(Direction::Seal, nonce, aad, data)
    }

    /// Decrypts while it authenticates. If the tag is wrong, `data` is zeros.
    pub(super) fn open_in_place(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        let expected = self.pass(Direction::Open, nonce, aad, data);
        if bool::from(expected.ct_eq(tag)) {
            return Ok(());
        }
        data.fill(0);
        Err(OpenError)
    }

    pub(super) fn open_to(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), OpenError> {
        out.copy_from_slice(ciphertext);
        self.open_in_place(nonce, aad, out, tag)
    }

    /// Encrypts or decrypts `data`; gives the tag. What is authenticated while a piece of the key
    /// stream is made is ciphertext: of the piece before when sealing, of the same when opening.
    fn pass(
        &self,
        direction: Direction,
        nonce: &Nonce,
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let (words, _) = nonce.as_chunks();
        let nonce = [words[0], words[1], words[2]].map(u32::from_le_bytes);
        let mut cipher = ChaCha20::new(&self.0, nonce);
        let stream = cipher.next(&mut Poly1305::new([0; 4], [0; 4]), &[]);
        let mut mac = Poly1305::new(stream[0].words(), stream[1].words());
        mac.padded(aad);

        let mut previous = 0;
        let mut start = data.len().min(FIRST_LEN);
        if direction == Direction::Open {
            mac.padded(&data[..start]);
        }
        apply(&stream[KEY_VECTORS..], &mut data[..start]);
        while start < data.len() {
            let end = data.len().min(start + PIECE_LEN);
            let ciphertext = match direction {
                Direction::Seal => &data[previous..start],
                Direction::Open => &data[start..end],
            };
            let (blocks, partial) = ciphertext.as_chunks();
            let stream = cipher.next(&mut mac, blocks);
            mac.padded(partial);
            apply(&stream, &mut data[start..end]);
            (previous, start) = (start, end);
        }
        if direction == Direction::Seal {
            mac.padded(&data[previous..]);
        }
        mac.block(&lengths(aad, data));
        mac.finish()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Seal,
    Open,
}

/// The last block that is authenticated.
fn lengths(aad: &[u8], data: &[u8]) -> [u8; TAG_LEN] {
    let lengths = (data.len() as u128) << 64 | aad.len() as u128;
    lengths.to_le_bytes()
}
