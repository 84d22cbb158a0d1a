//! Wall-clock time from the NSM. The enclave's own wall clock belongs to the host (row 15).

use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// The time of the last attestation document, carried on by the monotonic clock.
pub(crate) struct NsmClock(Mutex<(u64, Instant)>);

impl NsmClock {
    /// Starts with the timestamp of a document that was made at `asked` or later.
    pub(crate) fn new(timestamp_ms: u64, asked: Instant) -> Self {
        Self(Mutex::new((timestamp_ms, asked)))
    }

    /// Takes over the timestamp of a document that was made at `asked` or later: nothing that is
    /// counted from it takes longer than it should.
    pub(crate) fn set(&self, timestamp_ms: u64, asked: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (timestamp_ms, asked);
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let (timestamp, at) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        timestamp.saturating_add(at.elapsed().as_millis() as u64)
    }
}
