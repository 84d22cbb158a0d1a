use super::lanes::le_words;

/// Length of a block in bytes.
pub(super) const BLOCK_LEN: usize = 16;

/// Poly1305 (RFC 8439, Section 2.5) of whole blocks.
///
/// Numbers are words of 32 bits in `u64`: 32 by 32 bits is the widest product that WebAssembly has.
/// Modulo 2^130 - 5, what is above 2^130 comes in again at the bottom five times, and all words of
/// `r` but the first are multiples of four, thus `2^128 * r[i] = 2^130 * (r[i] / 4) = wrapped[i]`,
/// as in Monocypher. The last word of the sum keeps what is above 2^128.
#[derive(Clone)]
pub(super) struct Poly1305 {
    r: [u64; 4],
    /// `5 * (r[i] / 4)`; the first is not used.
    wrapped: [u64; 4],
    /// The sum: three words of 32 bits, and one below 5 * 2^32.
    h: [u64; 4],
    pad: [u32; 4],
}

impl Poly1305 {
    pub(super) fn new(r: [u32; 4], pad: [u32; 4]) -> Self {
        let r = [
            u64::from(r[0] & 0x0fff_ffff),
            u64::from(r[1] & 0x0fff_fffc),
            u64::from(r[2] & 0x0fff_fffc),
            u64::from(r[3] & 0x0fff_fffc),
        ];
        Self { r, wrapped: r.map(|word| (word >> 2) * 5), h: [0; 4], pad }
    }

    /// Adds a block.
    ///
    /// Nothing overflows. Words of `r` are below 2^28, and those of `wrapped` below 1.25 * 2^28;
    /// those of `s` are below 2^33, the last below 7 * 2^32. The largest sum of products, `x0`, is
    /// below `(2 + 2 * 2.5 + 7 * 1.25) * 2^60`, which is less than 2^64. As `x2` is still smaller,
    /// below 15 * 2^60, what leaves the last word is below `(4 + 15 / 16) * 2^32` and a carry.
    #[inline(always)]
    pub(super) fn block(&mut self, block: &[u8; BLOCK_LEN]) {
        let [r0, r1, r2, r3] = self.r;
        let [_, w1, w2, w3] = self.wrapped;
        let [m0, m1, m2, m3] = le_words(block);
        let s0 = self.h[0] + u64::from(m0);
        let s1 = self.h[1] + u64::from(m1);
        let s2 = self.h[2] + u64::from(m2);
        let s3 = self.h[3] + (u64::from(m3) | 1 << 32);

        let x0 = s0 * r0 + s1 * w3 + s2 * w2 + s3 * w1;
        let x1 = s0 * r1 + s1 * r0 + s2 * w3 + s3 * w2;
        let x2 = s0 * r2 + s1 * r1 + s2 * r0 + s3 * w3;
        let x3 = s0 * r3 + s1 * r2 + s2 * r1 + s3 * r0;

        // What is above 2^130 first, then the carries of one word to the next.
        let u0 = low(x0) + (x3 >> 34) * 5;
        let u1 = low(x1) + (x0 >> 32) + (u0 >> 32);
        let u2 = low(x2) + (x1 >> 32) + (u1 >> 32);
        let u3 = (x3 & 0x3_ffff_ffff) + (x2 >> 32) + (u2 >> 32);
        self.h = [low(u0), low(u1), low(u2), u3];
    }

    /// Adds bytes, filled up to a whole block with zeros.
    pub(super) fn padded(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks();
        for block in blocks {
            self.block(block);
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK_LEN];
            block[..rest.len()].copy_from_slice(rest);
            self.block(&block);
        }
    }

    /// The tag.
    pub(super) fn finish(self) -> [u8; BLOCK_LEN] {
        // `h` is less than twice 2^130 - 5; it is to be subtracted once if `h + 5` has a bit 130,
        // which is to add 5 and to forget all from bit 128 on.
        let carry = self.h[..3].iter().fold(5, |carry, word| (carry + word) >> 32);
        let mut carry = ((carry + self.h[3]) >> 34) * 5;
        let mut tag = [0; BLOCK_LEN];
        for (i, to) in tag.as_chunks_mut().0.iter_mut().enumerate() {
            carry += self.h[i] + u64::from(self.pad[i]);
            *to = (carry as u32).to_le_bytes();
            carry >>= 32;
        }
        tag
    }
}

#[inline(always)]
fn low(number: u64) -> u64 {
    number & 0xffff_ffff
}
