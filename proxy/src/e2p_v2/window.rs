//! Sliding window over sequences: each at most once.

/// Sequences below the largest one seen that are still told apart. Clients keep no more outstanding.
const WINDOW: u64 = 64;

/// Which sequences have been used. 0 counts as used from the start: it belongs to the confirmation.
#[derive(Default)]
pub(crate) struct ReplayWindow {
    largest: u64,
    /// Bit n is set if `largest - n` is used.
    used: u64,
}

impl ReplayWindow {
    /// True if [`mark`](Self::mark) would mark it.
    pub(crate) fn is_free(&self, sequence: u64) -> bool {
        match self.largest.checked_sub(sequence) {
            None => true,
            Some(age) => sequence != 0 && age < WINDOW && self.used & (1 << age) == 0,
        }
    }

    /// Marks it; false, changing nothing, if it is used or too old. Any larger one is free, however far
    /// ahead: only its client can have sealed it.
    pub(crate) fn mark(&mut self, sequence: u64) -> bool {
        if !self.is_free(sequence) {
            return false;
        }
        if let Some(ahead) = sequence.checked_sub(self.largest).filter(|ahead| *ahead > 0) {
            self.used = if ahead < WINDOW { self.used << ahead } else { 0 };
            self.largest = sequence;
        }
        self.used |= 1 << (self.largest - sequence);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_once_and_none_below_the_window() {
        let mut window = ReplayWindow::default();
        assert!(!window.mark(0));
        assert!(window.mark(1) && !window.mark(1));
        assert!(window.mark(65));
        assert!(!window.mark(1), "left the window, and was used");
        assert!(window.mark(2), "the oldest in the window");
        assert!(window.mark(u64::MAX) && !window.mark(u64::MAX));
        assert!(window.mark(u64::MAX - 63) && !window.mark(u64::MAX - 64));
        assert!(!window.mark(66));
    }

    /// Every sequence of steps of some lengths, against a set.
    #[test]
    fn agrees_with_a_set() {
        let steps = [-70, -64, -63, -1, 0, 1, 2, 63, 64, 65, 200_i64];
        for seed in 0..steps.len().pow(4) {
            let (mut window, mut seen) = (ReplayWindow::default(), HashSet::from([0]));
            let (mut largest, mut at, mut digits) = (0_u64, 100_u64, seed);
            for _ in 0..4 {
                at = at.saturating_add_signed(steps[digits % steps.len()]);
                digits /= steps.len();
                let expected = !seen.contains(&at) && (at > largest || largest - at < WINDOW);
                assert_eq!(window.is_free(at), expected, "{seed}: {at}");
                assert_eq!(window.mark(at), expected, "{seed}: {at}");
                if expected {
                    seen.insert(at);
                    largest = largest.max(at);
                }
            }
        }
    }
}
