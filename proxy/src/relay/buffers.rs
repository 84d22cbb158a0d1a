//! Buffers that connections share, so that one without traffic holds none.

use std::sync::{Mutex, PoisonError};

/// Size of a buffer in bytes, and so of the largest write. The socket buffers of vsock hold 256 KiB.
pub(super) const BUFFER: usize = 64 * 1024;
/// Unused buffers that are kept, 4 MiB in all.
const KEPT: usize = 64;

/// The buffers that are not in use.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Vec<Box<[u8]>>>);

impl Buffers {
    pub(super) fn take(&self) -> Box<[u8]> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice())
    }

    pub(super) fn put(&self, buffer: Box<[u8]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}
