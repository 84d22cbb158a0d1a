//! The response to a request with a key, while it comes and as long as it is kept.

use super::KeyHash;
use super::memory::Memory;
use crate::body::BrokenOff;
use crate::upstream::{AppResponse, ResponseBody, SendError};
use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// Memory is taken in pieces of this size, in bytes: an app that sends a byte at a time does not make
/// the proxy keep a buffer for each.
pub(super) const BLOCK: usize = 4 * 1024;
/// What a reader gets at once, in bytes.
const PIECE: usize = 16 * 1024;
/// What a field takes beside its name and its value.
const FIELD_BYTES: usize = 128;

/// What came of the response, and who is reading it.
pub(super) struct Recording {
    state: Mutex<State>,
    /// The last reader has left.
    unread: Notify,
}

struct State {
    head: Option<(StatusCode, HeaderMap)>,
    /// The body from `dropped` on. All but the last are full, as long as the response is kept.
    blocks: Vec<Vec<u8>>,
    /// Bytes of the body before the first block.
    dropped: usize,
    trailers: Option<HeaderMap>,
    end: Option<Result<(), SendError>>,
    /// All of it is there.
    is_kept: bool,
    readers: HashMap<u64, Place>,
    next_reader: u64,
    /// When the last reader left; none while there are any.
    unread_since: Option<Instant>,
    writer: Option<Waker>,
    room: Vec<OwnedSemaphorePermit>,
}

/// Where a reader is.
struct Place {
    offset: usize,
    waker: Option<Waker>,
}

impl Default for Recording {
    fn default() -> Self {
        let state = State {
            head: None,
            blocks: Vec::new(),
            dropped: 0,
            trailers: None,
            end: None,
            is_kept: true,
            readers: HashMap::new(),
            next_reader: 0,
            unread_since: None,
            writer: None,
            room: Vec::new(),
        };
        Self { state: Mutex::new(state), unread: Notify::new() }
    }
}

impl Recording {
    /// A reader from the beginning on; none when that is gone.
    pub(super) fn read(self: &Arc<Self>) -> Option<RecordedBody> {
        let mut state = self.lock();
        if !state.is_kept {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Place { offset: 0, waker: None });
        state.unread_since = None;
        Some(RecordedBody { recording: self.clone(), id, has_ended: false })
    }

    /// Ready when nobody has been reading for `patience`.
    pub(super) async fn abandoned(&self, patience: Duration) {
        loop {
            let since = self.lock().unread_since;
            match since {
                Some(since) if since.elapsed() >= patience => return,
                Some(since) => sleep_until(since + patience).await,
                None => self.unread.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn len(&self) -> usize {
        self.dropped + self.blocks.iter().map(Vec::len).sum::<usize>()
    }

    /// The next piece behind `offset`, if it has come.
    fn piece(&self, offset: usize) -> Option<Bytes> {
        let mut skip = offset - self.dropped;
        let mut piece = BytesMut::new();
        for block in &self.blocks {
            if piece.len() >= PIECE {
                break;
            }
            piece.extend_from_slice(block.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(block.len());
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    fn append(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.blocks.last().is_none_or(|last| last.len() >= BLOCK) {
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            let Some(last) = self.blocks.last_mut() else { return };
            let (now, later) = data.split_at(data.len().min(BLOCK - last.len()));
            last.extend_from_slice(now);
            data = later;
        }
    }

    fn wake_readers(&mut self) {
        for place in self.readers.values_mut() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// A copy in memory of its own. Values as they come are parts of the buffer that was read into, which
/// is many times what [`fields_len`] counts.
fn owned(fields: &HeaderMap) -> HeaderMap {
    let own = |value: &HeaderValue| {
        let mut own = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        own.set_sensitive(value.is_sensitive());
        Some(own)
    };
    let names = fields.iter().filter_map(|(name, value)| Some((name.clone(), own(value)?)));
    names.collect()
}

/// Records a response as it comes.
pub(super) struct Writer {
    memory: Arc<Memory>,
    key: KeyHash,
    recording: Arc<Recording>,
}

impl Writer {
    pub(super) fn new(memory: Arc<Memory>, key: KeyHash, recording: Arc<Recording>) -> Self {
        Self { memory, key, recording }
    }

    pub(super) fn head(&mut self, parts: &Parts) {
        self.hold(fields_len(&parts.headers));
        let mut state = self.recording.lock();
        state.head = Some((parts.status, owned(&parts.headers)));
        state.wake_readers();
    }

    /// Takes a piece of the body. If the response is not kept that waits until those who read it have
    /// got what came before.
    pub(super) async fn data(&mut self, data: &[u8]) {
        let (is_kept, len) = {
            let state = self.recording.lock();
            (state.is_kept, state.len())
        };
        if is_kept {
            let blocks = |len: usize| len.div_ceil(BLOCK) * BLOCK;
            let more = blocks(len + data.len()) - blocks(len);
            if len + data.len() > self.memory.max_response {
                self.give_up();
            } else {
                self.hold(more);
            }
        }
        poll_fn(|cx| self.poll_room(cx)).await;
        let mut state = self.recording.lock();
        if state.is_kept || !state.readers.is_empty() {
            state.append(data);
        }
        state.wake_readers();
    }

    pub(super) fn trailers(&mut self, trailers: HeaderMap) {
        self.hold(fields_len(&trailers));
        self.recording.lock().trailers = Some(owned(&trailers));
    }

    /// What it records to.
    pub(super) fn recording(&self) -> Arc<Recording> {
        self.recording.clone()
    }

    /// Nothing more is to come.
    pub(super) fn end(self, end: Result<(), SendError>) {
        self.finish(end);
    }

    fn finish(&self, end: Result<(), SendError>) {
        if end == Err(SendError::Unreachable) {
            self.memory.withdraw(&self.key);
        }
        let mut state = self.recording.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        state.wake_readers();
        let is_kept = state.is_kept;
        drop(state);
        if is_kept && end != Err(SendError::Unreachable) {
            self.memory.complete(self.key);
        }
    }

    /// Takes memory for what is to be kept, or gives that up.
    fn hold(&mut self, bytes: usize) {
        if bytes == 0 || !self.recording.lock().is_kept {
            return;
        }
        match self.memory.room(bytes) {
            Some(room) => self.recording.lock().room.push(room),
            None => self.give_up(),
        }
    }

    fn give_up(&mut self) {
        self.recording.lock().is_kept = false;
        self.memory.forget_response(&self.key);
    }

    /// Ready when there is room for the next piece of the body.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.recording.lock();
        if state.is_kept {
            return Poll::Ready(());
        }
        let len = state.len();
        if state.readers.values().any(|place| place.offset < len) {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.dropped = len;
        state.blocks.clear();
        state.room.clear();
        Poll::Ready(())
    }
}

impl Drop for Writer {
    /// An execution that was cut short: nobody knows how far it came.
    fn drop(&mut self) {
        self.finish(Err(SendError::Failed));
    }
}

fn fields_len(fields: &HeaderMap) -> usize {
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        FIELD_BYTES + name.as_str().len() + value.len()
    };
    FIELD_BYTES + fields.iter().map(line).sum::<usize>()
}

/// A recorded response's body as somebody reads it.
pub(crate) struct RecordedBody {
    recording: Arc<Recording>,
    id: u64,
    /// The trailers were handed out.
    has_ended: bool,
}

impl RecordedBody {
    /// The whole response, or why there is no head of it.
    pub(super) async fn response(self) -> Result<AppResponse, SendError> {
        let (status, headers) = poll_fn(|cx| self.poll_head(cx)).await?;
        let mut response = Response::new(ResponseBody::Recorded(self));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<(StatusCode, HeaderMap), SendError>> {
        let mut state = self.recording.lock();
        if let Some(head) = &state.head {
            return Poll::Ready(Ok(head.clone()));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.err().unwrap_or(SendError::Failed)));
        }
        self.wait(&mut state, cx);
        Poll::Pending
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let mut state = self.recording.lock();
        let offset = state.readers.get(&self.id).map_or(0, |place| place.offset);
        if let Some(piece) = state.piece(offset) {
            if let Some(place) = state.readers.get_mut(&self.id) {
                place.offset += piece.len();
            }
            state.wake_writer();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match state.end {
            None => {
                self.wait(&mut state, cx);
                Poll::Pending
            }
            Some(Err(_)) => Poll::Ready(Some(Err(BrokenOff))),
            Some(Ok(())) => {
                let trailers = state.trailers.clone().filter(|_| !self.has_ended);
                self.has_ended = true;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.recording.lock();
        let offset = state.readers.get(&self.id).map_or(0, |place| place.offset);
        state.end == Some(Ok(()))
            && offset == state.len()
            && (self.has_ended || state.trailers.is_none())
    }

    fn wait(&self, state: &mut State, cx: &Context<'_>) {
        if let Some(place) = state.readers.get_mut(&self.id) {
            place.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for RecordedBody {
    fn drop(&mut self) {
        let mut state = self.recording.lock();
        state.readers.remove(&self.id);
        state.wake_writer();
        if state.readers.is_empty() {
            state.unread_since = Some(Instant::now());
            self.recording.unread.notify_one();
        }
    }
}

#[cfg(test)]
impl RecordedBody {
    /// Bytes that are held for it.
    pub(super) fn held(&self) -> usize {
        let state = self.recording.lock();
        state.len() - state.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_18_a_kept_field_holds_no_read_buffer() {
        let buffer = Bytes::from(vec![b'a'; 8192]);
        let mut fields = HeaderMap::new();
        for start in 0..2 {
            let value = HeaderValue::from_maybe_shared(buffer.slice(start..4)).unwrap();
            fields.append("x-value", value);
        }
        let own = owned(&fields);
        assert_eq!(own, fields);
        drop(fields);
        assert!(buffer.is_unique());
    }
}
