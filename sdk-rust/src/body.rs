use crate::error::{Error, Stage};
use crate::exchange::{Incoming, Item};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The body of a response: decrypted while it arrives.
///
/// It ends without an error only after the enclave's authenticated end mark. If the response is cut
/// off or changed on its way, it gives an [`Error`], and gives it again if asked again.
///
/// Dropping it before its end cancels the exchange.
pub struct Body {
    state: State,
    /// What the response's `content-length` says is still to come.
    remaining: Option<u64>,
}

enum State {
    Open(Box<Incoming>, Option<IdleTimer>),
    Complete,
    Failed(Error),
}

struct IdleTimer {
    sleep: Pin<Box<Sleep>>,
    timeout: Duration,
    /// The caller waits; time in which it asks for nothing does not count.
    waiting: bool,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self { state: State::Complete, remaining: Some(0) }
    }

    /// `remaining` is the length of the body, if its head says that.
    pub(crate) fn new(
        incoming: Incoming,
        idle_timeout: Option<Duration>,
        remaining: Option<u64>,
    ) -> Self {
        let idle = idle_timeout.map(|timeout| {
            let sleep = Box::pin(tokio::time::sleep(timeout));
            IdleTimer { sleep, timeout, waiting: false }
        });
        Self { state: State::Open(Box::new(incoming), idle), remaining }
    }

    fn complete(&mut self) {
        if let State::Open(incoming, _) = std::mem::replace(&mut self.state, State::Complete) {
            incoming.finish();
        }
    }

    /// The next piece of the body, or none at its authenticated end. Skips trailers.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body. It is held in memory, however long it is.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(data) = self.chunk().await? {
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// The whole body as UTF-8 text.
    pub async fn text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes().await?.into()).map_err(|_| Error::NotText)
    }
}

impl IdleTimer {
    /// Adds a time limit that begins anew whenever there was something to read.
    fn poll<T>(
        timer: &mut Option<Self>,
        cx: &mut Context<'_>,
        polled: Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        let Some(timer) = timer else { return polled };
        if polled.is_ready() {
            timer.waiting = false;
            return polled;
        }
        if !timer.waiting {
            timer.waiting = true;
            timer.sleep.as_mut().reset(Instant::now() + timer.timeout);
        }
        ready!(timer.sleep.as_mut().poll(cx));
        let (stage, after) = (Stage::ResponseBody, timer.timeout);
        Poll::Ready(Err(Error::Timeout { stage, after }))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let (incoming, idle) = match &mut self.state {
                State::Open(incoming, idle) => (incoming, idle),
                State::Complete => return Poll::Ready(None),
                State::Failed(error) => return Poll::Ready(Some(Err(error.clone()))),
            };
            let item = incoming.poll_item(cx);
            match ready!(IdleTimer::poll(idle, cx, item)) {
                Ok(Item::Data { data, fin }) => {
                    if fin {
                        self.complete();
                    }
                    if data.is_empty() {
                        continue;
                    }
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Item::Trailers(trailers)) => {
                    self.complete();
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Err(error) => {
                    let error = incoming.cause(error);
                    self.state = State::Failed(error);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.state, self.remaining) {
            (State::Complete, _) => SizeHint::with_exact(0),
            (_, Some(remaining)) => SizeHint::with_exact(remaining),
            _ => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Open(..) => "Body(open)",
            State::Complete => "Body(complete)",
            State::Failed(_) => "Body(failed)",
        })
    }
}
