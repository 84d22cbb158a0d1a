//! Sealed bytes on their way to the client, in memory that is used again.

use crate::limits::{COALESCE, SPARE_BUFFERS};
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use steve_protocol::frame::{FrameBuffer, Output};

/// Up to so many bytes have memory of their own: a large buffer would be a waste of it.
const SMALL: usize = COALESCE / 4;

/// Large buffers that nobody uses, of all streams.
static SPARE: Mutex<Vec<FrameBuffer>> = Mutex::new(Vec::new());

fn spare() -> MutexGuard<'static, Vec<FrameBuffer>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sealed bytes that are gathered.
#[derive(Default)]
pub(super) struct Sealed(FrameBuffer);

impl Sealed {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that it holds. What waits to be written takes at most twice its length.
    pub(super) fn take(&mut self) -> Bytes {
        let all = std::mem::take(&mut self.0);
        if all.capacity() < COALESCE {
            all.into()
        } else if all.len() < COALESCE / 2 {
            Bytes::copy_from_slice(Recycled(all).as_ref())
        } else {
            Bytes::from_owner(Recycled(all))
        }
    }
}

impl Output for Sealed {
    fn grow(&mut self, len: usize) -> &mut [u8] {
        let all = self.0.len() + len;
        if all > SMALL && self.0.capacity() < COALESCE {
            let spare = spare().pop();
            let mut large = spare.unwrap_or_else(|| FrameBuffer::with_capacity(COALESCE));
            large.grow(self.0.len()).copy_from_slice(self.0.as_ref());
            self.0 = large;
        }
        self.0.grow(len)
    }
}

/// A large buffer, to be used again when its bytes are written.
struct Recycled(FrameBuffer);

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        let mut spare = spare();
        if spare.len() < SPARE_BUFFERS && buffer.capacity() == COALESCE {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
