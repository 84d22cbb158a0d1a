use super::connection::Active;
use super::line::Line;
use super::linger::{self, Rest};
use super::refusal;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::EXPECT;
use http::{Version, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use steve_sdk::{Error, RequestBody};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
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

/// Bodies of at most so many bytes can be sent again, if they come with their heads.
const REPLAYABLE: u64 = 64 << 10;

/// A local request's body, on its way to the enclave.
pub(super) struct UpBody {
    /// Taken from `incoming` already.
    first: Option<Result<Frame<Bytes>, hyper::Error>>,
    /// None after it was given away.
    incoming: Option<Incoming>,
    progress: Arc<Progress>,
    /// Takes what is left of it.
    rest: Option<oneshot::Sender<Incoming>>,
}

impl UpBody {
    /// The body, and where the rest of it will be that was not wanted.
    pub(super) fn new(
        incoming: Incoming,
        request: &request::Parts,
        progress: Arc<Progress>,
    ) -> (Self, Option<Rest>) {
        // HTTP/2 can end a request without the connection.
        let lingers = request.version < Version::HTTP_2 && !incoming.is_end_stream();
        let (sender, rest) = lingers.then(oneshot::channel).unzip();
        (Self { first: None, incoming: Some(incoming), progress, rest: sender }, rest)
    }

    /// A body that can be sent again where a rule allows that, if all of it is there.
    pub(super) fn into_request_body(mut self, request: &request::Parts) -> RequestBody {
        if self.is_end_stream() {
            return RequestBody::empty();
        }
        let small = self.size_hint().exact().is_some_and(|length| length <= REPLAYABLE);
        // Asking for it would send 100 Continue.
        if small && !request.headers.contains_key(EXPECT) {
            let first = self.frame().now_or_never().flatten();
            match first {
                Some(Ok(frame)) if frame.is_data() && self.is_end_stream() => {
                    return frame.into_data().unwrap_or_default().into();
                }
                first => self.first = first,
            }
        }
        RequestBody::new(self)
    }
}

impl Body for UpBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.progress.note(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        let first = first.map_or(0, Bytes::len) as u64;
        let hint = self.incoming.as_ref().map_or_else(SizeHint::default, Incoming::size_hint);
        hint.exact().map_or(hint, |length| SizeHint::with_exact(length + first))
    }
}

impl Drop for UpBody {
    fn drop(&mut self) {
        if let (Some(incoming), Some(rest)) = (self.incoming.take(), self.rest.take())
            && !incoming.is_end_stream()
        {
            // Nobody takes it when the client has gone.
            let _ = rest.send(incoming);
        }
    }
}

/// The body of an answer to a local client. An error in it breaks the local connection.
pub(super) struct DownBody {
    content: Content,
    line: Option<Line>,
    /// What the client may still be sending.
    rest: Option<Rest>,
    /// The request is open as long as these live.
    _permit: Option<OwnedSemaphorePermit>,
    _active: Active,
}

impl DownBody {
    pub(super) fn new(
        content: Content,
        line: Option<Line>,
        rest: Option<Rest>,
        permit: Option<OwnedSemaphorePermit>,
        active: Active,
    ) -> Self {
        let mut body = Self { content, line, rest, _permit: permit, _active: active };
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

impl Drop for DownBody {
    fn drop(&mut self) {
        if self.size_hint().exact() == Some(0)
            && let Some(rest) = self.rest.take()
        {
            linger::begin(rest);
        }
    }
}
