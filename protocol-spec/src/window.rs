//! Sliding window over stream ids: each id at most once (SPEC.md, Section 9.1).

const WORDS: usize = 16;

/// Ids below the largest one seen that are still told apart.
pub(crate) const WINDOW: u64 = WORDS as u64 * 64;

/// Which stream ids have been used. 0 counts as used from the start: it belongs to the ClientHello.
#[derive(Default)]
pub(crate) struct ReplayWindow {
    largest: u64,
    /// Bit `id % WINDOW` is set if `id` is used, for the ids in (largest - WINDOW, largest].
    used: [u64; WORDS],
}

impl ReplayWindow {
    /// True if [`mark`](Self::mark) would mark `id`.
    pub(crate) fn is_free(&self, id: u64) -> bool {
        id > self.largest || (id != 0 && self.largest - id < WINDOW && !self.is_set(id))
    }

    /// Marks `id`; false, changing nothing, if it is used or too old.
    pub(crate) fn mark(&mut self, id: u64) -> bool {
        if !self.is_free(id) {
            return false;
        }
        if id > self.largest {
            if id - self.largest >= WINDOW {
                self.used = [0; WORDS];
            } else {
                for skipped in self.largest + 1..id {
                    self.clear(skipped);
                }
            }
            self.largest = id;
        }
        self.set(id);
        true
    }

    fn position(id: u64) -> (usize, u64) {
        let bit = id % WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn set(&mut self, id: u64) {
        let (word, mask) = Self::position(id);
        self.used[word] |= mask;
    }

    fn clear(&mut self, id: u64) {
        let (word, mask) = Self::position(id);
        self.used[word] &= !mask;
    }

    fn is_set(&self, id: u64) -> bool {
        let (word, mask) = Self::position(id);
        self.used[word] & mask != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn each_id_once_and_none_below_the_window() {
        let mut window = ReplayWindow::default();
        assert!(!window.mark(0));
        assert!(window.mark(1));
        assert!(!window.mark(1));
        assert!(window.mark(WINDOW + 1));
        assert!(!window.mark(1), "left the window");
        assert!(window.mark(2), "the oldest id in the window");
        assert!(window.mark(u64::MAX >> 2));
        assert!(!window.mark(WINDOW));
        assert!(window.mark((u64::MAX >> 2) - WINDOW + 1));
        assert!(!window.mark((u64::MAX >> 2) - WINDOW));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(ids in prop::collection::vec(
            prop_oneof![0..3000u64, 0..100_000u64, Just(1 << 40)], 0..400)
        ) {
            let mut window = ReplayWindow::default();
            let mut seen = HashSet::from([0]);
            let mut largest = 0;
            for id in ids {
                let expected = !seen.contains(&id) && (id > largest || largest - id < WINDOW);
                prop_assert_eq!(window.mark(id), expected);
                if expected {
                    seen.insert(id);
                    largest = largest.max(id);
                }
            }
        }
    }
}
