//! The bytes of all bodies: byte n is n mod 251, so that a piece that is lost, doubled or moved
//! shows.

use bytes::Bytes;
use std::sync::LazyLock;

const PERIOD: usize = 251;
/// Longest piece in bytes.
pub(crate) const PIECE: usize = 64 * 1024;

static PATTERN: LazyLock<Bytes> =
    LazyLock::new(|| (0..PIECE + PERIOD).map(|index| (index % PERIOD) as u8).collect());

/// The pattern from `start`, `length` bytes of up to [`PIECE`].
pub(crate) fn piece(start: u64, length: usize) -> Bytes {
    let offset = (start % PERIOD as u64) as usize;
    PATTERN.slice(offset..offset + length)
}

/// Compares what arrives with the pattern.
#[derive(Default)]
pub(crate) struct Checker(u64);

impl Checker {
    /// Whether `data` is what comes next.
    pub(crate) fn accepts(&mut self, data: &[u8]) -> bool {
        data.chunks(PIECE).all(|chunk| {
            let expected = piece(self.0, chunk.len());
            self.0 += chunk.len() as u64;
            expected == chunk
        })
    }

    /// Bytes so far.
    pub(crate) fn count(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_byte_shows() {
        let mut checker = Checker::default();
        assert!(checker.accepts(&piece(0, 1000)) && checker.accepts(&piece(1000, PIECE)));
        assert_eq!(checker.count(), 1000 + PIECE as u64);
        assert!(!checker.accepts(&piece(checker.count() + 1, 10)));
    }
}
