use super::Unrecognized;
use crate::schedule::Hash;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// SHA-256 of every `enc` that carried an early request, for one generation of keys (SPEC.md,
/// Section 12).
///
/// Exact: what it has taken in it never forgets before it is erased. So what it once had no room for
/// it never has room for.
pub(super) struct EarlyMemory {
    /// None when the keys have been erased, and nobody can know any more.
    seen: Mutex<Option<HashSet<Hash>>>,
    capacity: usize,
}

/// What became of an `enc` that was not there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It is there now.
    New,
    /// There was no room, and there never will be.
    Full,
}

impl EarlyMemory {
    /// Takes all of its memory now: less than 80 bytes for each of `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        Self { seen: Mutex::new(Some(HashSet::with_capacity(capacity))), capacity }
    }

    /// Checks and records in one step. An error when it was there before, or may have been.
    pub(super) fn record(&self, enc: &Hash) -> Result<Recorded, Unrecognized> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.as_mut().filter(|seen| !seen.contains(enc)).ok_or(Unrecognized)?;
        if seen.len() >= self.capacity {
            return Ok(Recorded::Full);
        }
        seen.insert(*enc);
        Ok(Recorded::New)
    }

    /// To be called with the erasure of the keys.
    pub(super) fn erase(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn row_07_each_once_and_none_twice_when_full() {
        let memory = EarlyMemory::new(2);
        assert_eq!(memory.record(&[1; 32]), Ok(Recorded::New));
        assert_eq!(memory.record(&[1; 32]), Err(Unrecognized));
        assert_eq!(memory.record(&[2; 32]), Ok(Recorded::New));
        for _ in 0..2 {
            assert_eq!(memory.record(&[3; 32]), Ok(Recorded::Full));
            assert_eq!(memory.record(&[1; 32]), Err(Unrecognized), "known, though full");
        }
    }

    #[test]
    fn row_07_what_is_erased_vouches_for_nothing() {
        let memory = EarlyMemory::new(2);
        memory.record(&[1; 32]).unwrap();
        memory.erase();
        for enc in [[1; 32], [2; 32]] {
            assert_eq!(memory.record(&enc), Err(Unrecognized));
        }
        assert_eq!(EarlyMemory::new(0).record(&[1; 32]), Ok(Recorded::Full));
    }

    #[test]
    fn row_07_of_many_at_once_one_is_new() {
        let memory = EarlyMemory::new(1000);
        let new = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope
                        .spawn(|| (0..1000u16).filter(|n| memory.record(&hash(*n)).is_ok()).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(new, 1000);
    }

    fn hash(number: u16) -> Hash {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        hash
    }
}
