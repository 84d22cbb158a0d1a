use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;
use steve_protocol::session::{PendingStream, ServerSession, SessionId};
use tokio::time::Instant;

/// A session with what the proxy counts about it. Lifetimes run on the monotonic clock (row 15).
pub(crate) struct Session {
    protocol: Arc<ServerSession>,
    id: SessionId,
    born: Instant,
    /// Milliseconds from `born` to the last frame in either direction.
    last_frame: AtomicU64,
    open_streams: AtomicU32,
    confirmed: AtomicBool,
}

impl Session {
    pub(super) fn new(session: Arc<ServerSession>) -> Self {
        Self {
            id: session.id(),
            protocol: session,
            born: Instant::now(),
            last_frame: AtomicU64::new(0),
            open_streams: AtomicU32::new(0),
            confirmed: AtomicBool::new(false),
        }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// A stream that somebody claims to open.
    pub(crate) fn pending_stream(&self, stream_id: u64) -> Box<PendingStream> {
        self.protocol.pending_stream(stream_id)
    }

    /// To be called for every frame.
    pub(crate) fn touch(&self) {
        self.last_frame.store(self.born.elapsed().as_millis() as u64, Relaxed);
    }

    /// True when no new stream may be opened. Open streams may finish.
    pub(super) fn is_over(&self) -> bool {
        let age = self.born.elapsed();
        let parameters = self.protocol.parameters();
        let idle = (age.as_millis() as u64).saturating_sub(self.last_frame.load(Relaxed));
        age >= parameters.lifetime
            || u128::from(idle) >= parameters.idle_timeout.as_millis()
            || self.protocol.is_exhausted()
    }

    /// True when an authentic frame of its client has been dispatched.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Relaxed)
    }

    /// When the last frame passed.
    pub(super) fn last_used(&self) -> Instant {
        self.born + Duration::from_millis(self.last_frame.load(Relaxed))
    }

    pub(super) fn has_open_streams(&self) -> bool {
        self.open_streams.load(Relaxed) > 0
    }

    pub(super) fn set_confirmed(&self) {
        self.confirmed.store(true, Relaxed);
    }

    /// Counts another open stream.
    pub(crate) fn open_stream(self: &Arc<Self>) -> StreamPermit {
        let limit = u32::from(self.protocol.parameters().max_streams);
        let before = self.open_streams.fetch_add(1, Relaxed);
        StreamPermit { session: self.clone(), within_limit: before < limit }
    }
}

/// Counts a stream of a session for as long as it lives.
pub(crate) struct StreamPermit {
    session: Arc<Session>,
    within_limit: bool,
}

impl StreamPermit {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// False when the session has more streams open than the client was told it may.
    pub(crate) fn is_within_limit(&self) -> bool {
        self.within_limit
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.session.open_streams.fetch_sub(1, Relaxed);
    }
}
