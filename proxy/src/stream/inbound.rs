//! The request of a stream: opens frames as the app takes them, so that back-pressure reaches from
//! the app to the client without a buffer or task between them.

use super::Source;
use crate::body::BrokenOff;
use crate::metrics::Record;
use crate::sessions::Session;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;
use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use steve_protocol::frame::FrameError;
use steve_protocol::stream::{Event, MessageOpener, Request, ResetCode, StreamError};
use tokio::time::Instant;

/// A request whose head was dispatched. The app's connection reads it as the body of its request;
/// the response side watches it for failure.
pub(crate) struct Inbound {
    state: Mutex<State>,
    session: Arc<Session>,
    record: Arc<Record>,
    /// Code of a failure; 0 for none.
    failure: AtomicU16,
    response: AtomicWaker,
}

/// What the head says about the rest of its request.
#[derive(Default)]
pub(crate) struct Rest {
    /// The content-length, if the app was told.
    pub(super) declared: Option<u64>,
    /// The values of `connection`.
    pub(super) connection: Vec<Bytes>,
    /// The head was all.
    pub(super) complete: bool,
}

/// Shows nothing that the client wrote: it may be secret.
impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("complete", &self.complete).finish_non_exhaustive()
    }
}

struct State {
    source: Source,
    opener: MessageOpener<Request>,
    phase: Phase,
    /// The values of `connection` in the head.
    connection: Vec<Bytes>,
    /// Bytes of the declared length that the app has yet to get.
    missing: Option<u64>,
    /// What would complete the declared length. The app gets it when FIN has authenticated, because
    /// with it the app takes the request for complete.
    held: Option<Bytes>,
    app: Option<Waker>,
    last_progress: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// FIN has authenticated.
    Complete,
    /// Failed, or not wanted any more: the app must not take the request for complete.
    Aborted,
}

impl Inbound {
    /// The rest of a request after its head.
    pub(super) fn new(
        source: Source,
        opener: MessageOpener<Request>,
        session: Arc<Session>,
        rest: Rest,
        record: Arc<Record>,
    ) -> Self {
        let Rest { declared, connection, complete } = rest;
        let state = State {
            source,
            opener,
            phase: if complete { Phase::Complete } else { Phase::Open },
            connection,
            missing: declared,
            held: None,
            app: None,
            last_progress: Instant::now(),
        };
        Self {
            state: Mutex::new(state),
            session,
            record,
            failure: AtomicU16::new(0),
            response: AtomicWaker::new(),
        }
    }

    /// The next piece of the body for the app.
    pub(crate) fn poll_for_app(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let mut state = self.lock();
        loop {
            match state.phase {
                Phase::Open => {}
                Phase::Complete => {
                    return Poll::Ready(state.held.take().map(|held| Ok(Frame::data(held))));
                }
                Phase::Aborted => return Poll::Ready(Some(Err(BrokenOff))),
            }
            match state.opener.next_event() {
                Ok(Some(event)) => match self.deliver(&mut state, event) {
                    Ok(None) => {}
                    Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                    Err(code) => self.fail(&mut state, code),
                },
                Ok(None) => match ready!(state.poll_receive(cx)) {
                    Some(Ok(chunk)) => {
                        state.last_progress = Instant::now();
                        self.record.received(chunk.len());
                        state.opener.push(chunk);
                    }
                    Some(Err(BrokenOff)) | None => self.fail(&mut state, ResetCode::TRUNCATED),
                },
                Err(error) => self.fail(&mut state, reset_code(error)),
            }
        }
    }

    /// What the app gets for `event`, if anything yet.
    fn deliver<H>(
        &self,
        state: &mut State,
        event: Event<H>,
    ) -> Result<Option<Frame<Bytes>>, ResetCode> {
        self.session.touch();
        let frame = match event {
            Event::Data { data, fin } => {
                if fin {
                    state.phase = Phase::Complete;
                }
                state.release(data, fin).map(Frame::data)
            }
            Event::Trailers(trailers) => {
                state.phase = Phase::Complete;
                // A declared length leaves no place for trailers in HTTP/1.1.
                let fields = super::request::trailers(&trailers, &state.connection);
                fields.filter(|_| state.missing.is_none()).map(Frame::trailers)
            }
            Event::Reset(_) => return Err(ResetCode::CANCELLED),
            Event::Head { .. } | Event::Informational(_) => return Err(ResetCode::PROTOCOL_ERROR),
        };
        if state.phase == Phase::Complete {
            // Only from now on the response side watches whether the client is still there.
            self.response.wake();
        }
        Ok(frame)
    }

    fn fail(&self, state: &mut State, code: ResetCode) {
        state.phase = Phase::Aborted;
        self.failure.store(code.to_u16(), Ordering::Release);
        self.response.wake();
    }

    /// The failure of the request, if it failed; otherwise the response is woken when it does.
    pub(crate) fn poll_failure(&self, cx: &Context<'_>) -> Option<ResetCode> {
        self.response.register(cx.waker());
        match self.failure.load(Ordering::Acquire) {
            0 => None,
            code => Some(ResetCode::from_u16(code)),
        }
    }

    /// Ends a request that is still open: the app sees it break off.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Aborted;
            if let Some(app) = state.app.take() {
                app.wake();
            }
        }
    }

    /// Ends a request whose response is over, and lets go of the client's connection: the app's may
    /// hold this for longer.
    pub(super) fn close(&self) {
        self.stop();
        self.lock().source = Source::Closed;
    }

    /// Reads and throws away what the client still sends. Ready with the number of bytes, or none at
    /// the end.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        match ready!(self.lock().poll_receive(cx)) {
            Some(Ok(chunk)) => Poll::Ready(Some(chunk.len())),
            Some(Err(_)) | None => Poll::Ready(None),
        }
    }

    /// Fails the request with whatever comes now: nothing may, before the app has agreed to change
    /// the protocol. Ready when it has failed.
    pub(super) fn poll_early(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        while state.phase == Phase::Open {
            let code = match state.opener.next_event() {
                Ok(Some(Event::Reset(_))) => ResetCode::CANCELLED,
                Ok(Some(_)) => ResetCode::PROTOCOL_ERROR,
                Err(error) => reset_code(error),
                Ok(None) => match ready!(state.poll_receive(cx)) {
                    Some(Ok(chunk)) => {
                        state.opener.push(chunk);
                        continue;
                    }
                    Some(Err(BrokenOff)) | None => ResetCode::TRUNCATED,
                },
            };
            self.fail(&mut state, code);
        }
        Poll::Ready(())
    }

    /// The next bytes for an app whose connection was upgraded; none at FIN.
    pub(super) async fn next_upgraded(&self) -> Option<Result<Bytes, BrokenOff>> {
        let frame = std::future::poll_fn(|cx| self.poll_for_app(cx)).await?;
        Some(frame.and_then(|frame| frame.into_data().map_err(|_| BrokenOff)))
    }

    /// For a request that is over, as far as the app goes: ready when the client is gone.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.lock().phase == Phase::Open {
            return Poll::Pending;
        }
        while ready!(self.poll_discard(cx)).is_some() {}
        Poll::Ready(())
    }

    /// True when the app has got all of a complete request.
    pub(crate) fn is_delivered(&self) -> bool {
        let state = self.lock();
        state.phase == Phase::Complete && state.held.is_none()
    }

    /// When bytes last came, and whether the request is complete.
    pub(crate) fn progress(&self) -> (Instant, bool) {
        let state = self.lock();
        (state.last_progress, state.phase == Phase::Complete)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next bytes from the client.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let polled = self.source.poll_chunk(cx);
        if polled.is_pending() {
            self.app = Some(cx.waker().clone());
        }
        polled
    }

    /// What of `data` the app may have now.
    fn release(&mut self, data: Bytes, fin: bool) -> Option<Bytes> {
        if let Some(missing) = &mut self.missing {
            *missing = missing.saturating_sub(data.len() as u64);
            if *missing == 0 && !fin && !data.is_empty() {
                self.held = Some(data);
                return None;
            }
        }
        (!data.is_empty()).then_some(data)
    }
}

fn reset_code(error: StreamError) -> ResetCode {
    match error {
        StreamError::Frame(FrameError::Exhausted) => ResetCode::LIMIT,
        StreamError::Truncated => ResetCode::TRUNCATED,
        _ => ResetCode::PROTOCOL_ERROR,
    }
}
