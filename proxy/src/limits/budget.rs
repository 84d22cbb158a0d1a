//! The memory that connections and streams may take together (row 18).
//!
//! Everything is counted with the most that it can hold, when it begins. Requests whose first frame
//! has not yet authenticated and the memories of early and of idempotent requests have their share set apart, and
//! connections get at most half of the rest: neither silent requests nor idle connections can take
//! the memory of streams (row 19).

use super::{
    ACCEPT_PAUSE, APP_BUFFER, COALESCE, CONNECTION_BUFFER, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW,
    Limit, Limits, SPARE_BUFFERS,
};
use crate::idempotent;
use std::sync::Arc;
use steve_protocol::frame::{MAX_CONTENT_LEN, MAX_SEALED_LEN};
use steve_protocol::shaping::Shaping;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// A request whose first frame has not yet authenticated: that frame, and the piece that was read
/// last. The outer head is gone by then.
const OPENING_BYTES: usize = MAX_CONTENT_LEN + 32 * 1024;
/// An accepted stream: what the client sent and nobody has read, one frame of the request that comes
/// in and one on its way to the app, the buffers of a connection to the app (an HTTP/2 window is no
/// more), sealed bytes, and what waits for the window of the client.
const STREAM_BYTES: usize = HTTP2_STREAM_WINDOW as usize
    + 2 * MAX_CONTENT_LEN
    + 4 * APP_BUFFER
    + 2 * COALESCE
    + HTTP2_SEND_BUFFER;
/// On top for a response that is padded or coalesced: what was gathered, and frames of padding by
/// which sealed bytes outgrow the buffer.
const SHAPED_BYTES: usize = MAX_CONTENT_LEN + 3 * MAX_SEALED_LEN;
/// An outer connection: a buffer that is read into, one that was passed on, and one of what is to be
/// written; a tunnel has smaller ones. Unread evidence comes on top.
const CONNECTION_BYTES: usize = 3 * CONNECTION_BUFFER;
/// Evidence that is one client's own.
const EVIDENCE_BYTES: usize = 6 * 1024;
/// An early request in the memories of both generations of keys.
const EARLY_REQUEST_BYTES: usize = 2 * 80;

/// A remembered idempotency key, with its place in the order of responses.
const IDEMPOTENT_REQUEST_BYTES: usize = 192;

const UNIT: usize = 1024;

/// Memory that is left for something.
#[derive(Clone)]
pub(crate) struct Share(Arc<Semaphore>);

impl Share {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// So much of it, if there is; otherwise the log tells of the limit.
    pub(crate) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let taken = self.try_take(bytes);
        if taken.is_none() {
            Limit::MemoryBudget.reached();
        }
        taken
    }

    /// The same, where it is all right if there is not.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        self.0.clone().try_acquire_many_owned(units).ok()
    }
}

/// What is left of the memory, and of the numbers of connections and streams.
pub(crate) struct Budget {
    memory: Share,
    total: usize,
    connection_bytes: usize,
    connections: Arc<Semaphore>,
    /// What decides how many connections there may be.
    connections_limit: Limit,
    streams: Arc<Semaphore>,
    pub(crate) max_anonymous: usize,
    pub(crate) max_opening: usize,
    /// For each generation of keys; 0 if none are accepted.
    pub(crate) max_early_requests: usize,
    max_idempotent_requests: usize,
    idempotent_responses: usize,
}

/// Allows one accepted stream, until the last clone is dropped.
#[derive(Clone)]
pub(crate) struct StreamBudget {
    _permits: Arc<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// Allows one outer connection, until it is dropped.
pub(crate) struct ConnectionPermit {
    _number: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, early_data: bool) -> Self {
        let all = usize::try_from(limits.memory_budget).unwrap_or(usize::MAX);
        let places = |max: usize| max.min(all / 8 / OPENING_BYTES);
        let max_anonymous = places(limits.max_anonymous);
        let max_opening = places(limits.max_opening);
        let max_early_requests = if early_data {
            limits.max_early_requests.min(all / 8 / EARLY_REQUEST_BYTES)
        } else {
            0
        };
        let max_idempotent_requests =
            limits.max_idempotent_requests.min(all / 16 / IDEMPOTENT_REQUEST_BYTES);
        let idempotent_responses = if max_idempotent_requests > 0 { all / 64 } else { 0 };
        let total = all
            - SPARE_BUFFERS * COALESCE
            - max_idempotent_requests * IDEMPOTENT_REQUEST_BYTES
            - idempotent_responses
            - (max_anonymous + max_opening) * OPENING_BYTES
            - max_early_requests * EARLY_REQUEST_BYTES;
        let connection_bytes = CONNECTION_BYTES + limits.max_unread_evidence * EVIDENCE_BYTES;
        let affordable = total / 2 / connection_bytes;
        let (connections, connections_limit) = if limits.max_connections <= affordable {
            (limits.max_connections, Limit::Connections)
        } else {
            (affordable, Limit::MemoryBudget)
        };
        Self {
            memory: Share::new(total),
            total,
            connection_bytes,
            connections: Arc::new(Semaphore::new(connections)),
            connections_limit,
            streams: Arc::new(Semaphore::new(limits.max_open_streams)),
            max_anonymous,
            max_opening,
            max_early_requests,
            max_idempotent_requests,
            idempotent_responses,
        }
    }

    /// The memory of requests with an idempotency key, which has its share.
    pub(crate) fn idempotent(&self, limits: &Limits) -> idempotent::Memory {
        let space = Share::new(self.idempotent_responses);
        idempotent::Memory::new(self.max_idempotent_requests, limits.max_idempotent_body, space)
    }

    /// What connections and streams have left.
    pub(crate) fn share(&self) -> Share {
        self.memory.clone()
    }

    /// Room for an accepted stream with such a response, if there is any.
    pub(crate) fn stream(&self, shaping: Shaping) -> Option<StreamBudget> {
        let Ok(number) = self.streams.clone().try_acquire_owned() else {
            Limit::OpenStreams.reached();
            return None;
        };
        let shaped_bytes = if shaping.is_none() { 0 } else { SHAPED_BYTES };
        let memory = self.memory.take(STREAM_BYTES + shaped_bytes)?;
        Some(StreamBudget { _permits: Arc::new((number, memory)) })
    }

    /// Waits for room for an outer connection.
    pub(crate) async fn connection(&self) -> ConnectionPermit {
        let number = loop {
            if let Ok(number) = self.connections.clone().try_acquire_owned() {
                break number;
            }
            self.connections_limit.reached();
            sleep(ACCEPT_PAUSE).await;
        };
        loop {
            if let Some(memory) = self.memory.take(self.connection_bytes) {
                return ConnectionPermit { _number: number, _memory: memory };
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Bytes in use, and all that connections and streams may use.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let free = self.memory.0.available_permits() * UNIT;
        (self.total.saturating_sub(free), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_room_for_hundreds_of_each() {
        let budget = Budget::new(&Limits::default(), true);
        assert!(budget.connections.available_permits() >= 600);
        let streams: Vec<_> = std::iter::from_fn(|| budget.stream(Shaping::default())).collect();
        assert!((1000..4096).contains(&streams.len()), "{}", streams.len());
        let (used, total) = budget.usage();
        assert!(total - used < STREAM_BYTES);
        drop(streams);
        assert!(budget.usage().0 < UNIT);
    }

    #[tokio::test]
    async fn connections_leave_half_to_streams() {
        let limits = Limits { memory_budget: 64 << 20, ..Limits::default() };
        let budget = Budget::new(&limits, true);
        let count = budget.connections.available_permits();
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(budget.connection().await);
        }
        let (used, total) = budget.usage();
        assert!(used <= total / 2 + count * UNIT && used + 2 * budget.connection_bytes > total / 2);
        assert!(budget.stream(Shaping::default()).is_some());
    }
}
