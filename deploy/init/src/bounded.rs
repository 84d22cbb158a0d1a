//! Waiting for the kernel, but not for ever.

use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for a device, for random numbers or for the parent.
pub(crate) const LIMIT: Duration = Duration::from_secs(LIMIT_SECONDS);

/// The same in seconds, for messages.
pub(crate) const LIMIT_SECONDS: u64 = 30;

const PAUSE: Duration = Duration::from_millis(20);

/// Tries until it works, fails with an error that is not `transient`, or [`LIMIT`] is over; then the
/// last error is returned.
pub(crate) fn retry<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    transient: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(error) if transient(&error) && began.elapsed() < LIMIT => thread::sleep(PAUSE),
            result => return result,
        }
    }
}
