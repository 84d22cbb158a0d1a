use super::connection::Active;
use super::line::Line;
use super::refusal;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use steve_sdk::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How far a request's body has got.
pub(super) struct Progress {
    bytes: AtomicU64,
    last: Mutex<Instant>,
}

impl Progress {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self { bytes: AtomicU64::new(0), last: Mutex::new(Instant::now()) })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When the last of it was taken.
    pub(super) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn note(&self, bytes: usize) {
        self.add(bytes as u64);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A local request's body, on its way to the enclave.
pub(super) struct UpBody {
    pub(super) incoming: Incoming,
    pub(super) progress: Arc<Progress>,
}

impl Body for UpBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.progress.note(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of an answer to a local client. An error in it breaks the local connection.
pub(super) struct DownBody {
    content: Content,
    line: Option<Line>,
    /// The request is open as long as these live.
    _permit: Option<OwnedSemaphorePermit>,
    _active: Active,
}

impl DownBody {
    pub(super) fn new(
        content: Content,
        line: Option<Line>,
        permit: Option<OwnedSemaphorePermit>,
        active: Active,
    ) -> Self {
        let mut body = Self { content, line, _permit: permit, _active: active };
        body.note_end();
        body
    }

    /// Tells the line when the app's response is complete.
    fn note_end(&mut self) {
        if let (Content::App(body), Some(line)) = (&self.content, &mut self.line)
            && body.is_end_stream()
        {
            line.complete();
        }
    }
}

pub(super) enum Content {
    /// The gateway's own.
    Own(Bytes),
    App(steve_sdk::Body),
}

impl Body for DownBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match &mut self.content {
            Content::Own(bytes) if bytes.is_empty() => None,
            Content::Own(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::App(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        if let Some(line) = &mut self.line {
            match &frame {
                Some(Ok(frame)) => line.add_down(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(error)) => line.fail(refusal::code(error)),
                None => {}
            }
        }
        self.note_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_empty(),
            Content::App(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::App(body) => body.size_hint(),
        }
    }
}
