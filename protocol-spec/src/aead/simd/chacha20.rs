use super::lanes::U32x4;
use super::poly1305::{BLOCK_LEN, Poly1305};

/// Length of a piece of the key stream in bytes: four blocks of ChaCha20.
pub(super) const PIECE_LEN: usize = 256;

/// ChaCha20 (RFC 8439, Section 2.3), four blocks at once: vector `i` has word `i` of each.
pub(super) struct ChaCha20([U32x4; 16]);

/// A piece of the key stream.
pub(super) type Piece = [U32x4; PIECE_LEN / 16];

macro_rules! quarter_round {
    ($s:ident, $a:literal, $b:literal, $c:literal, $d:literal) => {
        $s[$a] = $s[$a].add($s[$b]);
        $s[$d] = $s[$d].xor($s[$a]).rotate_left::<16>();
        $s[$c] = $s[$c].add($s[$d]);
        $s[$b] = $s[$b].xor($s[$c]).rotate_left::<12>();
        $s[$a] = $s[$a].add($s[$b]);
        $s[$d] = $s[$d].xor($s[$a]).rotate_left::<8>();
        $s[$c] = $s[$c].add($s[$d]);
        $s[$b] = $s[$b].xor($s[$c]).rotate_left::<7>();
    };
}

macro_rules! double_round {
    ($s:ident) => {
        quarter_round!($s, 0, 4, 8, 12);
        quarter_round!($s, 1, 5, 9, 13);
        quarter_round!($s, 2, 6, 10, 14);
        quarter_round!($s, 3, 7, 11, 15);
        quarter_round!($s, 0, 5, 10, 15);
        quarter_round!($s, 1, 6, 11, 12);
        quarter_round!($s, 2, 7, 8, 13);
        quarter_round!($s, 3, 4, 9, 14);
    };
}

impl ChaCha20 {
    /// Starts at block 0.
    pub(super) fn new(key: &[u32; 8], nonce: [u32; 3]) -> Self {
        let [a, b, c, d, e, f, g, h] = key.map(U32x4::splat);
        let [x, y, z] = nonce.map(U32x4::splat);
        let [k0, k1, k2, k3] =
            [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574].map(U32x4::splat);
        let counter = U32x4::new([0, 1, 2, 3]);
        Self([k0, k1, k2, k3, a, b, c, d, e, f, g, h, counter, x, y, z])
    }

    /// The next piece of the key stream. Meanwhile adds at most 20 `blocks` to `mac`: processors
    /// multiply for the one while they compute vectors for the other.
    #[inline(always)]
    pub(super) fn next(&mut self, mac: &mut Poly1305, blocks: &[[u8; BLOCK_LEN]]) -> Piece {
        let mut s = self.0;
        let mut running = mac.clone(); // in registers
        let (pairs, rest) = blocks.as_chunks();
        for [first, second] in pairs {
            running.block(first);
            double_round!(s);
            running.block(second);
        }
        for _ in pairs.len()..10 {
            double_round!(s);
        }
        for block in rest {
            running.block(block);
        }
        *mac = running;

        macro_rules! words {
            ($i:literal) => {
                U32x4::transpose([
                    s[$i].add(self.0[$i]),
                    s[$i + 1].add(self.0[$i + 1]),
                    s[$i + 2].add(self.0[$i + 2]),
                    s[$i + 3].add(self.0[$i + 3]),
                ])
            };
        }
        let [a, b, c, d] = [words!(0), words!(4), words!(8), words!(12)];
        self.0[12] = self.0[12].add(U32x4::splat(4));
        [
            a[0], b[0], c[0], d[0], a[1], b[1], c[1], d[1], //
            a[2], b[2], c[2], d[2], a[3], b[3], c[3], d[3],
        ]
    }
}

/// Encrypts or decrypts at most as many bytes as `stream` has.
#[inline(always)]
pub(super) fn apply(stream: &[U32x4], data: &mut [u8]) {
    let (blocks, rest) = data.as_chunks_mut();
    for (block, stream) in blocks.iter_mut().zip(stream) {
        U32x4::from_bytes(block).xor(*stream).write(block);
    }
    if !rest.is_empty() {
        let mut block = [0; 16];
        stream[blocks.len()].write(&mut block);
        for (byte, stream) in rest.iter_mut().zip(block) {
            *byte ^= stream;
        }
    }
}
