//! Which connections have nothing to do, and which have answers that their peer does not take.

use crate::body::{BrokenOff, OuterBody};
use crate::limits::StreamBudget;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The requests in flight on one outer connection.
pub(super) struct Activity(Mutex<State>);

struct State {
    in_flight: usize,
    /// Requests so far.
    requests: u64,
    /// When a request last began or ended.
    last: Instant,
    /// When each piece of an answer that is not yet written was handed to hyper, by its number. An
    /// HTTP/2 client that opens no window keeps hyper from writing it, and from asking for more, so
    /// that the timers of the answer itself do not run.
    unwritten: BTreeMap<u64, Instant>,
    pieces: u64,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            in_flight: 0,
            requests: 0,
            last: Instant::now(),
            unwritten: BTreeMap::new(),
            pieces: 0,
        })))
    }

    /// Counts a request for as long as the result lives.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.lock();
        state.in_flight += 1;
        state.requests += 1;
        state.last = Instant::now();
        InFlight(self.clone())
    }

    /// Since when there has been no request in flight.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.in_flight == 0).then_some(state.last)
    }

    /// Since when the peer has not taken a piece of an answer. An answer that waits for the app has
    /// no such piece.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.lock().unwritten.first_key_value().map(|(_, since)| *since)
    }

    /// How many requests have begun.
    pub(super) fn requests(&self) -> u64 {
        self.lock().requests
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has not yet been answered to its end.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.last = Instant::now();
    }
}

/// A response body whose request is in flight until all of the body is written or dropped. It keeps
/// its share of the budget for as long.
pub(super) struct Tracked {
    body: OuterBody,
    in_flight: Arc<InFlight>,
    budget: Option<StreamBudget>,
}

impl Tracked {
    pub(super) fn new(body: OuterBody, in_flight: InFlight) -> Self {
        let budget = body.budget();
        Self { body, in_flight: Arc::new(in_flight), budget }
    }

    fn hand_out(&self, bytes: Bytes) -> Bytes {
        let mut state = self.in_flight.0.lock();
        let number = state.pieces;
        state.pieces += 1;
        state.unwritten.insert(number, Instant::now());
        drop(state);
        let (in_flight, budget) = (self.in_flight.clone(), self.budget.clone());
        Bytes::from_owner(Unwritten { bytes, number, in_flight, _budget: budget })
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| Some(frame?.map(|frame| frame.map_data(|data| self.hand_out(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer. hyper drops it when it is written, or will never be.
struct Unwritten {
    bytes: Bytes,
    number: u64,
    in_flight: Arc<InFlight>,
    _budget: Option<StreamBudget>,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.in_flight.0.lock().unwritten.remove(&self.number);
    }
}
