//! Says in the log which limit was reached.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two events about the same limit.
const PAUSE: Duration = Duration::from_secs(10);

/// A limit that operators can change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Sessions,
    UnconfirmedSessions,
    EarlyRequests,
    IdempotentRequests,
    StreamsPerSession,
    OpenStreams,
    Connections,
    MemoryBudget,
}

const COUNT: usize = 8;

static LAST: Mutex<[Option<Instant>; COUNT]> = Mutex::new([None; COUNT]);

impl Limit {
    fn option(self) -> &'static str {
        match self {
            Self::Sessions => "--max-sessions",
            Self::UnconfirmedSessions => "--max-unconfirmed-sessions",
            Self::EarlyRequests => "--max-early-requests",
            Self::IdempotentRequests => "--max-idempotent-requests",
            Self::StreamsPerSession => "--max-streams-per-session",
            Self::OpenStreams => "--max-open-streams",
            Self::Connections => "--max-connections",
            Self::MemoryBudget => "--memory-budget",
        }
    }

    /// Logs that the limit was reached, unless it did so a short while ago.
    pub(crate) fn reached(self) {
        if self.is_due(Instant::now()) {
            tracing::info!(option = self.option(), "limit reached");
        }
    }

    fn is_due(self, now: Instant) -> bool {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut last[self as usize];
        let due = last.is_none_or(|last| last + PAUSE <= now);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_once_in_a_while_for_each_limit() {
        let now = Instant::now() + PAUSE;
        assert!(Limit::Sessions.is_due(now));
        assert!(!Limit::Sessions.is_due(now + PAUSE / 2));
        assert!(Limit::MemoryBudget.is_due(now + PAUSE / 2));
        assert!(Limit::Sessions.is_due(now + PAUSE));
    }
}
