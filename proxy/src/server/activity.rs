//! Which connections have nothing to do.

use crate::body::{BrokenOff, OuterBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The requests in flight on one outer connection.
pub(super) struct Activity(Mutex<State>);

struct State {
    in_flight: usize,
    /// When a request last began or ended.
    last: Instant,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { in_flight: 0, last: Instant::now() })))
    }

    /// Counts a request for as long as the result lives.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.change(|state| state.in_flight += 1);
        InFlight(self.clone())
    }

    /// Since when there has been no request in flight.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.in_flight == 0).then_some(state.last)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.last = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has not yet been answered to its end.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.change(|state| state.in_flight = state.in_flight.saturating_sub(1));
    }
}

/// A response body whose request is in flight until the body is dropped.
pub(super) struct Tracked {
    body: OuterBody,
    _in_flight: InFlight,
}

impl Tracked {
    pub(super) fn new(body: OuterBody, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
