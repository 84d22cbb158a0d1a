use super::Prepared;
use super::guard::StreamGuard;
use super::hold::{Farewell, Hold, Verdict};
use super::outer_body::Aborted;
use super::ticks::Ticks;
use crate::error::{BoxError, Error, InvalidRequest, SharedError};
use crate::request_body::Kind;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use steve_protocol::frame::MAX_CONTENT_LEN;
use steve_protocol::head::{self, BodyLength, HopByHop};
use steve_protocol::stream::{MessageSealer, Request, ResetCode, SealError};
use tokio::sync::oneshot;

/// Seals a request while the network takes it: never more than one chunk ahead.
pub(crate) struct Upload {
    sealer: MessageSealer<Request>,
    source: Option<UnsyncBoxBody<Bytes, BoxError>>,
    /// While the app has not said that it wants the body.
    hold: Option<Hold>,
    /// Taken from the source, to be sealed.
    pending: Bytes,
    trailers: Option<HeaderMap>,
    length: BodyLength,
    /// The values of the head's `connection` fields.
    connection: Vec<HeaderValue>,
    /// Sealed, to be sent.
    out: BytesMut,
    /// When that leaves; none if that is at once.
    ticks: Option<Ticks>,
    guard: Arc<StreamGuard>,
    /// Gives the outer answer when the response is complete; its other end is dropped when nobody
    /// wants a response any more.
    over: oneshot::Receiver<Incoming>,
    /// Set when the request was withdrawn.
    farewell: Option<Farewell>,
    /// Dropped with the upload; then `guard` holds the reason if it failed.
    _alive: oneshot::Sender<Infallible>,
}

impl Upload {
    /// `out` begins the stream: StreamOpen and HEAD, sealed without FIN.
    pub(crate) fn new(
        sealer: MessageSealer<Request>,
        prepared: &Prepared,
        body: Kind,
        out: BytesMut,
        guard: Arc<StreamGuard>,
    ) -> (Self, Link) {
        let (pending, source) = match body {
            Kind::Complete(bytes) => (bytes, None),
            Kind::Stream(source) => (Bytes::new(), Some(source)),
        };
        let (hold, verdict) = prepared.expects_continue().then(Hold::new).unzip();
        let (finish, over) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let upload = Self {
            sealer,
            source,
            hold,
            pending,
            trailers: None,
            length: prepared.body_length(),
            connection: prepared.connection().to_vec(),
            out,
            ticks: prepared.shaping().coalesce.map(Ticks::new),
            guard,
            over,
            farewell: None,
            _alive: alive,
        };
        (upload, Link { ended, verdict, finish })
    }

    /// The next bytes for the network.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Aborted>>> {
        if let Some(farewell) = &mut self.farewell {
            ready!(farewell.poll_end(cx));
            self.farewell = None;
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(answer) = self.over.poll_unpin(cx) {
            return Poll::Ready(Some(self.withdraw(answer.ok())));
        }
        if ready!(self.poll_gather(cx)).is_err() {
            return Poll::Ready(Some(Err(Aborted)));
        }
        if !self.out.is_empty() {
            self.guard.sending();
            return Poll::Ready(Some(Ok(self.out.split().freeze())));
        }
        if self.is_over() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Seals what there is. Ready when it is to leave.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SealError>> {
        while self.out.len() < MAX_CONTENT_LEN {
            if self.sealer.owes_padding() {
                self.sealer.pad(&mut self.out)?;
                continue;
            }
            if self.sealer.is_over() || self.poll_hold(cx).is_pending() {
                break;
            }
            match self.poll_seal(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.guard.fail_upload(error);
                    self.sealer.reset(ResetCode::CANCELLED, &mut self.out)?;
                }
                Poll::Pending => break,
            }
        }
        if self.out.len() < MAX_CONTENT_LEN {
            let waiting = !self.out.is_empty() || self.sealer.has_gathered();
            if let Some(ticks) = self.ticks.as_mut().filter(|_| waiting) {
                ready!(ticks.poll_tick(cx));
            }
            self.sealer.flush(&mut self.out)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the body may be sent.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(hold) = &mut self.hold {
            ready!(hold.poll_release(cx));
            self.hold = None;
        }
        Poll::Ready(())
    }

    /// The last of a request whose response is complete, or not wanted any more: a body that never
    /// began can be given up in order.
    fn withdraw(&mut self, answer: Option<Incoming>) -> Result<Bytes, Aborted> {
        let (Some(answer), Some(_)) = (answer, &self.hold) else { return Err(Aborted) };
        self.farewell = Some(Farewell::new(answer));
        self.source = None;
        self.sealer.reset(ResetCode::CANCELLED, &mut self.out).map_err(|_| Aborted)?;
        self.sealer.settle(&mut self.out).map_err(|_| Aborted)?;
        Ok(self.out.split().freeze())
    }

    /// Seals the next piece of the body.
    fn poll_seal(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.pending.is_empty()
            && self.trailers.is_none()
            && let Some(source) = &mut self.source
        {
            match ready!(Pin::new(source).poll_frame(cx)) {
                None => self.source = None,
                Some(Err(error)) => {
                    return Poll::Ready(Err(Error::RequestBody(SharedError::new(error))));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pending = data,
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Poll::Ready(self.seal())
    }

    fn seal(&mut self) -> Result<(), Error> {
        if let Some(trailers) = self.trailers.take() {
            self.source = None;
            self.length.finish().map_err(|_| InvalidRequest::ContentLength)?;
            return self.seal_trailers(&trailers);
        }
        let data = self.pending.slice(..self.pending.len().min(MAX_CONTENT_LEN));
        let ended = self.source.as_ref().is_none_or(Body::is_end_stream);
        let fin = ended && data.len() == self.pending.len();
        self.length.add(data.len()).map_err(|_| InvalidRequest::ContentLength)?;
        if fin {
            self.source = None;
            self.length.finish().map_err(|_| InvalidRequest::ContentLength)?;
        }
        self.sealer.data(&data, fin, &mut self.out)?;
        self.pending.advance(data.len());
        self.guard.sizes.add_request(data.len());
        Ok(())
    }

    /// Leaves out the fields that end at a hop (SPEC.md, Section 10.2).
    fn seal_trailers(&mut self, trailers: &HeaderMap) -> Result<(), Error> {
        let hop_by_hop = HopByHop::new(self.connection.iter().map(HeaderValue::as_bytes));
        let fields: Vec<_> = trailers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .filter(|(name, value)| !hop_by_hop.drops(name, value))
            .collect();
        let encoded = head::encode_trailers(fields.into_iter()).map_err(InvalidRequest::from)?;
        Ok(self.sealer.trailers(&encoded, &mut self.out)?)
    }

    /// True when the network has got everything.
    pub(super) fn is_over(&self) -> bool {
        self.sealer.is_over()
            && !self.sealer.owes_padding()
            && self.out.is_empty()
            && self.farewell.is_none()
    }
}

/// The response's connection to its request's upload; dropping it aborts what is left of that.
pub(crate) struct Link {
    ended: oneshot::Receiver<Infallible>,
    verdict: Option<oneshot::Sender<Verdict>>,
    finish: oneshot::Sender<Incoming>,
}

impl Link {
    /// Settles whether a body that is held back will be sent; the first verdict stays.
    pub(super) fn decide(&mut self, verdict: Verdict) {
        if let Some(sender) = self.verdict.take() {
            // The upload may have run out of patience.
            let _ = sender.send(verdict);
        }
    }

    /// The response is complete; `answer` is what it came in.
    pub(super) fn finish(self, answer: Incoming) {
        // An upload that is over does not need it.
        let _ = self.finish.send(answer);
    }

    /// Ready when the upload is over, one way or the other.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ended.poll_unpin(cx).map(|_| ())
    }
}
