//! One session with one verified enclave, and when to stop using it.

use crate::trusted::Trusted;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use steve_protocol::head::ResponseHead;
use steve_protocol::session::{ClientSession, ClientStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams a client has open at once, whatever the proxy allows.
const MAX_STREAMS: usize = 512;
/// How far the ids of streams that are opening may lie apart; the proxy's window is larger (SPEC.md,
/// Section 9.1).
const MAX_SPREAD: u64 = 1000;

/// How long a session is used before it is known that the proxy has dispatched a stream of it. The
/// proxy drops it after twice this time (SPEC.md, Section 8.3).
const UNCONFIRMED: Duration = Duration::from_secs(30);
/// The same for a request that fails if the session is gone, on a session that began with another
/// request: a flood of handshakes can displace it earlier (SPEC.md, Section 12.3).
const UNCONFIRMED_ONCE: Duration = Duration::from_secs(2);

/// What a request can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// It may be sent again when nobody knows what became of it.
    Repeatable,
    /// It may not.
    Once,
}

/// An established session.
pub(crate) struct Session {
    pub(crate) core: ClientSession,
    pub(crate) trusted: Arc<Trusted>,
    started_ms: u64,
    last_frame_ms: AtomicU64,
    streams: Arc<Semaphore>,
    opening: Mutex<BTreeSet<u64>>,
    ended: AtomicBool,
    /// Its first request went along with the handshake.
    early: bool,
    /// False as long as the proxy may drop the session soon.
    confirmed: AtomicBool,
}

impl Session {
    /// `started_ms` is when the ClientHello was sent: the proxy's clock starts later. `early` says that
    /// its first request went along.
    pub(crate) fn new(
        core: ClientSession,
        trusted: Arc<Trusted>,
        started_ms: u64,
        early: bool,
    ) -> Self {
        let streams = usize::from(core.parameters().max_streams).min(MAX_STREAMS);
        Self {
            core,
            trusted,
            started_ms,
            last_frame_ms: AtomicU64::new(started_ms),
            streams: Arc::new(Semaphore::new(streams)),
            opening: Mutex::default(),
            ended: AtomicBool::new(false),
            early,
            confirmed: AtomicBool::new(false),
        }
    }

    /// Waits until the proxy's limit allows one more stream; none when the session ends before.
    pub(crate) async fn permit(&self, sending: Sending) -> Option<OwnedSemaphorePermit> {
        let permit = self.streams.clone().acquire_owned();
        match tokio::time::timeout(self.remaining(sending), permit).await {
            Ok(permit) => permit.ok(),
            Err(_) => {
                self.end();
                None
            }
        }
    }

    /// How long new streams may still be opened, as far as the lifetime goes.
    fn remaining(&self, sending: Sending) -> Duration {
        let elapsed_ms = self.trusted.clock.now_ms().saturating_sub(self.started_ms);
        let lifetime = nine_tenths(self.core.parameters().lifetime);
        let lifetime = match sending {
            _ if self.confirmed.load(Relaxed) => lifetime,
            Sending::Once if self.early => lifetime.min(UNCONFIRMED_ONCE),
            _ => lifetime.min(UNCONFIRMED),
        };
        lifetime.saturating_sub(Duration::from_millis(elapsed_ms))
    }

    /// Notes the head of a response to a stream other than an early request: if it is the app's, the
    /// proxy has confirmed the session.
    pub(crate) fn answered(&self, head: &ResponseHead) {
        if head.fields().all("steve-error").next().is_none() {
            self.confirmed.store(true, Relaxed);
        }
    }

    /// Opens a stream; none when it is time for a new session.
    pub(crate) fn open_stream(
        self: &Arc<Self>,
        sending: Sending,
    ) -> Option<(ClientStream, OpeningStream)> {
        let stream = self.is_usable(sending).then(|| self.core.open_stream()).flatten()?;
        let id = stream.open.stream_id;
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if opening.first().is_some_and(|oldest| id.saturating_sub(*oldest) > MAX_SPREAD) {
            self.end();
            return None;
        }
        opening.insert(id);
        drop(opening);
        Some((stream, OpeningStream { session: self.clone(), id }))
    }

    /// False when new streams belong on a new session.
    pub(crate) fn is_usable(&self, sending: Sending) -> bool {
        let parameters = self.core.parameters();
        let now_ms = self.trusted.clock.now_ms();
        let idle_ms = now_ms.saturating_sub(self.last_frame_ms.load(Relaxed));
        !self.ended.load(Relaxed)
            && !self.remaining(sending).is_zero()
            && Duration::from_millis(idle_ms) < nine_tenths(parameters.idle_timeout)
            && self.trusted.is_valid()
    }

    /// Notes that a frame was sent or received.
    pub(crate) fn touch(&self) {
        self.last_frame_ms.store(self.trusted.clock.now_ms(), Relaxed);
    }

    /// No further streams, and nobody waits for one any more; those that are open go on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
        self.streams.close();
    }
}

/// A stream that the proxy may not have accepted yet.
pub(crate) struct OpeningStream {
    session: Arc<Session>,
    id: u64,
}

impl Drop for OpeningStream {
    fn drop(&mut self) {
        self.session.opening.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

fn nine_tenths(duration: Duration) -> Duration {
    duration / 10 * 9
}
