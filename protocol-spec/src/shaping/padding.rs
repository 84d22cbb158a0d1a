//! Lengths after padding (SPEC.md, Section 9.6). All lengths are bytes on the wire, with header and
//! tag.

use crate::frame::{MAX_SEALED_LEN, OVERHEAD};
use crate::stream::ResetCode;

/// Padmé is fine where lengths are small: shorter frames are padded to this.
const PADME_MIN: u64 = 256;

/// How a sender pads what it sends in one direction of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Not at all.
    #[default]
    None,
    /// Every frame to a multiple of this.
    Block(BlockLen),
    /// Every frame, and at its end the direction, to a length of Padmé (Nikitin et al., PETS 2019),
    /// at least 256 bytes. From there on each adds at most 6.25 %.
    Padme,
}

/// What lengths are to be multiples of: 16 to 16384 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLen(u16);

impl BlockLen {
    /// None outside the range.
    pub const fn new(len: u16) -> Option<Self> {
        if matches!(len, 16..=16_384) { Some(Self(len)) } else { None }
    }

    /// Bytes.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Padding {
    /// The least length that may be seen and is not less than `len`.
    pub fn bucket(self, len: u64) -> u64 {
        match self {
            Self::None => len,
            Self::Block(BlockLen(block)) => len.next_multiple_of(block.into()),
            Self::Padme if len <= PADME_MIN => PADME_MIN,
            Self::Padme => {
                let exponent = len.ilog2();
                let free = exponent - (exponent.ilog2() + 1);
                len.next_multiple_of(1 << free)
            }
        }
    }

    /// Length of a frame with this content, which is not the last of its direction. No padded frame is
    /// shorter than a RESET.
    pub fn frame(self, content: usize) -> usize {
        let content = if self == Self::None { content } else { content.max(ResetCode::LEN) };
        self.bucket((OVERHEAD + content) as u64).min(MAX_SEALED_LEN as u64) as usize
    }

    /// The largest bucket that a frame can fill.
    pub(crate) fn largest(self) -> u64 {
        let limit = MAX_SEALED_LEN as u64;
        match self {
            Self::None => limit,
            Self::Block(BlockLen(block)) => limit - limit % u64::from(block),
            Self::Padme => limit.next_power_of_two() / 2,
        }
    }

    /// Length of the shortest frame that can be the last, even as a RESET.
    pub(crate) fn smallest(self) -> u64 {
        self.frame(ResetCode::LEN) as u64
    }

    /// Bytes of a body that go into one frame.
    pub(crate) fn capacity(self) -> usize {
        self.largest() as usize - OVERHEAD
    }

    /// What the rest of a direction is padded to, of which `sent` bytes were sent and that ends with
    /// this content.
    pub(crate) fn rest(self, sent: u64, content: usize) -> u64 {
        let (largest, smallest) = (self.largest(), self.smallest());
        let rest = self.bucket(sent + self.frame(content) as u64) - sent;
        if rest > largest && rest < largest + smallest {
            return self.bucket(sent + largest + smallest) - sent;
        }
        rest
    }

    /// The next frame of a rest that does not fit one frame, of which the last is to be `last` bytes
    /// at least; none when the last frame is all there is.
    pub(crate) fn before_last(self, rest: u64, last: u64) -> Option<u64> {
        let largest = self.largest();
        if rest <= largest.max(last) {
            None
        } else if rest - largest >= last {
            Some(largest)
        } else {
            Some(rest - last)
        }
    }

    /// True if whoever sees what this leaves sees no more than with `other`.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::None) | (Self::Padme, Self::Padme) => true,
            (Self::Block(a), Self::Block(b)) => a.0.is_multiple_of(b.0),
            _ => false,
        }
    }
}
