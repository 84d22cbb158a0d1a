//! Places for requests that have not yet shown an authentic frame.

use crate::routes::Refusal;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::select;
use tokio::sync::oneshot;

/// A pool where the oldest request makes room when it is full: silent requests cannot keep out one
/// whose bytes are there or on their way (row 19).
#[derive(Clone)]
pub(crate) struct Waiting(Arc<Mutex<State>>);

struct State {
    /// Dropping the sender takes the place away. Oldest first.
    places: BTreeMap<u64, oneshot::Sender<()>>,
    next: u64,
    capacity: usize,
}

impl Waiting {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State { places: BTreeMap::new(), next: 0, capacity })))
    }

    /// Takes a place, if need be the oldest one.
    pub(super) fn enter(&self) -> Place {
        let (sender, taken) = oneshot::channel();
        let mut state = self.lock();
        while state.places.len() >= state.capacity.max(1) {
            state.places.pop_first();
        }
        let number = state.next;
        state.next += 1;
        state.places.insert(number, sender);
        Place { pool: self.clone(), number, taken }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, held until it is dropped.
pub(super) struct Place {
    pool: Waiting,
    number: u64,
    taken: oneshot::Receiver<()>,
}

impl Place {
    /// Does `work` for as long as the place is not taken away.
    pub(super) async fn hold<T>(
        &mut self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        select! {
            // Bytes that are already there are looked at first.
            biased;
            done = work => done,
            _ = &mut self.taken => Err(Refusal::Unavailable),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.lock().places.remove(&self.number);
    }
}
