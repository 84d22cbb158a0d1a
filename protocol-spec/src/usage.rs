//! Key usage limits (SPEC.md, Section 9.4).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Bytes of frames per session and direction.
pub const MAX_BYTES: u64 = 1 << 38;
/// Frames that failed to authenticate, per session and direction.
pub(crate) const MAX_FAILURES: u32 = 1 << 20;

/// Counts what one traffic key has been used for.
#[derive(Default)]
pub(crate) struct Usage {
    bytes: AtomicU64,
    failures: AtomicU32,
}

impl Usage {
    /// Counts `length` bytes; false when the key must not be used for them.
    pub(crate) fn add(&self, length: u64) -> bool {
        self.bytes.fetch_add(length, Relaxed) + length <= MAX_BYTES
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// True when half of the bytes are used, and a client should go over to a new session.
    pub(crate) fn is_half_used(&self) -> bool {
        self.bytes.load(Relaxed) > MAX_BYTES / 2
    }

    /// True when the session must be dropped.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.bytes.load(Relaxed) > MAX_BYTES || self.failures.load(Relaxed) >= MAX_FAILURES
    }

    #[cfg(any(test, feature = "dangerous-dev-attester"))]
    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold() {
        let usage = Usage::default();
        usage.set_bytes(MAX_BYTES - 17);
        assert!(usage.is_half_used());
        assert!(usage.add(17));
        assert!(!usage.is_exhausted());
        assert!(!usage.add(17));
        assert!(usage.is_exhausted());

        let usage = Usage::default();
        for _ in 0..MAX_FAILURES {
            assert!(!usage.is_exhausted());
            usage.count_failure();
        }
        assert!(usage.is_exhausted());
    }
}
