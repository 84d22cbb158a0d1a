//! Four `u32` side by side: one SIMD register of WebAssembly, four words everywhere else.
//!
//! Vectors are made from words and taken apart into words, which needs no pointers and so no
//! `unsafe`; the compiler makes whole loads and stores of it.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod words {
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub(in super::super) struct U32x4([u32; 4]);

    impl U32x4 {
        pub(in super::super) fn new(words: [u32; 4]) -> Self {
            Self(words)
        }

        pub(in super::super) fn words(self) -> [u32; 4] {
            self.0
        }

        pub(in super::super) fn add(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
        }

        pub(in super::super) fn xor(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] ^ other.0[i]))
        }

        pub(in super::super) fn rotate_left<const N: u32>(self) -> Self {
            Self(self.0.map(|word| word.rotate_left(N)))
        }

        pub(in super::super) fn transpose(rows: [Self; 4]) -> [Self; 4] {
            from_fn(|column| Self(rows.map(|row| row.0[column])))
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod words {
    use core::arch::wasm32::*;

    #[derive(Clone, Copy)]
    pub(in super::super) struct U32x4(v128);

    impl U32x4 {
        #[inline(always)]
        pub(in super::super) fn new([a, b, c, d]: [u32; 4]) -> Self {
            Self(u32x4(a, b, c, d))
        }

        #[inline(always)]
        pub(in super::super) fn words(self) -> [u32; 4] {
            [
                u32x4_extract_lane::<0>(self.0),
                u32x4_extract_lane::<1>(self.0),
                u32x4_extract_lane::<2>(self.0),
                u32x4_extract_lane::<3>(self.0),
            ]
        }

        #[inline(always)]
        pub(in super::super) fn add(self, other: Self) -> Self {
            Self(u32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(in super::super) fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        /// Engines have a fast instruction for swapping halves, not for the other byte shuffles.
        #[inline(always)]
        pub(in super::super) fn rotate_left<const N: u32>(self) -> Self {
            Self(match N {
                16 => u16x8_shuffle::<1, 0, 3, 2, 5, 4, 7, 6>(self.0, self.0),
                _ => v128_or(u32x4_shl(self.0, N), u32x4_shr(self.0, 32 - N)),
            })
        }

        #[inline(always)]
        pub(in super::super) fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
            let ab_low = u32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
            let ab_high = u32x4_shuffle::<2, 6, 3, 7>(a.0, b.0);
            let cd_low = u32x4_shuffle::<0, 4, 1, 5>(c.0, d.0);
            let cd_high = u32x4_shuffle::<2, 6, 3, 7>(c.0, d.0);
            [
                Self(u64x2_shuffle::<0, 2>(ab_low, cd_low)),
                Self(u64x2_shuffle::<1, 3>(ab_low, cd_low)),
                Self(u64x2_shuffle::<0, 2>(ab_high, cd_high)),
                Self(u64x2_shuffle::<1, 3>(ab_high, cd_high)),
            ]
        }
    }
}

pub(super) use words::U32x4;

impl U32x4 {
    #[inline(always)]
    pub(super) fn splat(word: u32) -> Self {
        Self::new([word; 4])
    }

    #[inline(always)]
    pub(super) fn from_bytes(bytes: &[u8; 16]) -> Self {
        let [a, b, c, d] = le_words(bytes);
        Self::new([a, b, c, d])
    }

    #[inline(always)]
    pub(super) fn write(self, bytes: &mut [u8; 16]) {
        let (to, _) = bytes.as_chunks_mut();
        let [a, b, c, d] = self.words();
        to[0] = a.to_le_bytes();
        to[1] = b.to_le_bytes();
        to[2] = c.to_le_bytes();
        to[3] = d.to_le_bytes();
    }
}

/// Words, least significant byte first.
#[inline(always)]
pub(super) fn le_words(bytes: &[u8; 16]) -> [u32; 4] {
    let (words, _) = bytes.as_chunks();
    [
        u32::from_le_bytes(words[0]),
        u32::from_le_bytes(words[1]),
        u32::from_le_bytes(words[2]),
        u32::from_le_bytes(words[3]),
    ]
}
