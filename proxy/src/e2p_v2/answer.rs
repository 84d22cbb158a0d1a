//! The body of an answer, of which the memory is given back in time.

use crate::body::BrokenOff;
use crate::limits::{COALESCE as PIECE, StreamBudget};
use bytes::{Buf, Bytes};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// An answer that its client must have taken within a time. What is handed out is copied: a client
/// that takes a little now and then would otherwise hold all of it for hours.
pub(crate) struct Answer {
    rest: Arc<Mutex<Bytes>>,
    left: usize,
    timer: AbortHandle,
    budget: Option<StreamBudget>,
    unread: Option<Arc<OwnedSemaphorePermit>>,
}

impl Answer {
    /// `unread` is a permit that the connection keeps until it has taken all.
    pub(super) fn new(
        bytes: Bytes,
        limit: Duration,
        budget: Option<StreamBudget>,
        unread: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let left = bytes.len();
        let rest = Arc::new(Mutex::new(bytes));
        let timed = rest.clone();
        let timer = tokio::spawn(async move {
            sleep(limit).await;
            *lock(&timed) = Bytes::new();
        });
        Self { rest, left, timer: timer.abort_handle(), budget, unread: unread.map(Arc::new) }
    }

    /// Bytes that have not been handed out.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn budget(&self) -> Option<StreamBudget> {
        self.budget.clone()
    }

    /// The next bytes; none at the end. It breaks off when the time is over.
    pub(crate) fn next_piece(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        if self.left == 0 {
            return None;
        }
        let mut rest = lock(&self.rest);
        let bytes = Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]);
        rest.advance(bytes.len());
        if rest.is_empty() {
            *rest = Bytes::new();
        }
        drop(rest);
        if bytes.is_empty() {
            return Some(Err(BrokenOff));
        }
        self.left -= bytes.len();
        Some(Ok(Bytes::from_owner(Piece { bytes, _unread: self.unread.clone() })))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

/// A piece that its connection has not yet taken.
struct Piece {
    bytes: Bytes,
    _unread: Option<Arc<OwnedSemaphorePermit>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn lock(rest: &Mutex<Bytes>) -> MutexGuard<'_, Bytes> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// Bytes whose owner shows whether they are still there.
    fn owned(len: usize) -> (Bytes, Arc<()>) {
        struct Owner(Vec<u8>, #[allow(dead_code, reason = "it is counted")] Arc<()>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let there = Arc::new(());
        (Bytes::from_owner(Owner(vec![1; len], there.clone())), there)
    }

    #[tokio::test(start_paused = true)]
    async fn its_memory_is_given_back_in_time() {
        let limit = Duration::from_secs(300);
        let (bytes, there) = owned(3 * PIECE);
        let mut answer = Answer::new(bytes, limit, None, None);
        let piece = answer.next_piece().unwrap().unwrap();
        tokio::task::yield_now().await;
        advance(limit).await;
        tokio::task::yield_now().await;
        assert_eq!((piece.len(), Arc::strong_count(&there)), (PIECE, 1));
        assert!(answer.next_piece().unwrap().is_err());
    }

    #[tokio::test]
    async fn and_as_soon_as_all_is_handed_out() {
        let (bytes, there) = owned(PIECE + 1);
        let mut answer = Answer::new(bytes, Duration::from_secs(300), None, None);
        let pieces = [answer.next_piece(), answer.next_piece()].map(|one| one.unwrap().unwrap());
        assert_eq!(pieces.map(|piece| piece.len()), [PIECE, 1]);
        assert_eq!((answer.left(), Arc::strong_count(&there)), (0, 1));
        assert!(answer.next_piece().is_none());
    }
}
