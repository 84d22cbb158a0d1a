//! Wall-clock time from the NSM. The enclave's own wall clock belongs to the host (row 15).

use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// The time of the last attestation document, carried on by the monotonic clock.
pub(crate) struct NsmClock(Mutex<(u64, Instant)>);

impl NsmClock {
    /// Starts at `timestamp_ms`, which is now.
    pub(crate) fn new(timestamp_ms: u64) -> Self {
        Self(Mutex::new((timestamp_ms, Instant::now())))
    }

    /// Takes over the timestamp of a document that was just made.
    pub(crate) fn set(&self, timestamp_ms: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (timestamp_ms, Instant::now());
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let (timestamp, at) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        timestamp.saturating_add(at.elapsed().as_millis() as u64)
    }
}
