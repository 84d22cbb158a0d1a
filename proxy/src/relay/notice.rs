//! Events that may come by the thousand, in the log once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two lines about the same thing.
const PAUSE: Duration = Duration::from_secs(10);

/// One thing to tell of.
#[derive(Default)]
pub(super) struct Notice(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    untold: u64,
}

impl Notice {
    /// How many events of this kind have gone untold, if this one is to be told.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now < last + PAUSE) {
            state.untold += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_once_in_a_while_and_of_how_many() {
        let (notice, now) = (Notice::default(), Instant::now());
        assert_eq!(notice.due(now), Some(0));
        assert_eq!(notice.due(now + PAUSE / 2), None);
        assert_eq!(notice.due(now + PAUSE / 2), None);
        assert_eq!(notice.due(now + PAUSE), Some(2));
        assert_eq!(notice.due(now + PAUSE * 2), Some(0));
    }
}
