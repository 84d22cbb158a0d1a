use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;
use tokio::time::Instant;

/// Milliseconds since 1970, on a clock that never goes back, and goes on while the computer sleeps if
/// its wall clock does.
#[derive(Clone)]
pub(crate) struct Clock {
    began: Instant,
    began_ms: u64,
    last_ms: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), began_ms: wall_clock_ms(), last_ms: Arc::default() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.began_ms.saturating_add(elapsed).max(wall_clock_ms());
        self.last_ms.fetch_max(now_ms, Relaxed).max(now_ms)
    }
}

pub(crate) fn wall_clock_ms() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
