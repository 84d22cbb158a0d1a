//! The response of a stream: seals what the app sends as hyper asks for it.

use super::answer::AppError;
use super::inbound::Inbound;
use super::request::RequestKind;
use super::response;
use super::sealed::Sealed;
use super::ticks::Ticks;
use super::upgraded::UpgradedApp;
use crate::body::BrokenOff;
use crate::limits::{COALESCE, Limits, StreamBudget};
use crate::metrics::{Outcome, Record};
use crate::sessions::StreamPermit;
use crate::upstream::{AppResponse, Exchange, ResponseBody, SendError};
use bytes::Bytes;
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderValue, StatusCode};
use http_body::{Body, Frame};
use hyper::upgrade::OnUpgrade;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use steve_protocol::frame::OVERHEAD;
use steve_protocol::stream::{MessageSealer, ResetCode, Response, SealError};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

/// A response under way. Dropping it cancels the request to the app.
pub(crate) struct Outbound {
    sealer: MessageSealer<Response>,
    app: App,
    inbound: Arc<Inbound>,
    to_head_request: bool,
    /// The protocol that the request asks to change to.
    upgrade: Option<String>,
    /// Sealed bytes for the client.
    out: Sealed,
    /// Bytes of the app's body that did not fit, and whether they are the last.
    rest: Option<(Bytes, bool)>,
    /// When they leave; none if that is at once.
    ticks: Option<Ticks>,
    /// Bytes that were ready before hyper asked.
    first: Option<Bytes>,
    last_sealed: Instant,
    timer: Pin<Box<Sleep>>,
    response_timeout: Duration,
    idle_timeout: Duration,
    /// When the stream ends in any case.
    end: Instant,
    linger_time: Duration,
    linger_bytes: usize,
    permit: StreamPermit,
    /// None for a stream that was refused for want of it.
    budget: Option<StreamBudget>,
    record: Arc<Record>,
}

/// What is awaited.
enum App {
    /// The app's response head.
    Head(Exchange, mpsc::Receiver<Bytes>),
    /// The app's response body. The values of `connection` in its head hold for its trailers too.
    Body(ResponseBody, Vec<HeaderValue>),
    /// The connection, after the app agreed to change its protocol.
    Upgrading(OnUpgrade),
    /// The other protocol, in both directions.
    Upgraded(UpgradedApp),
    /// The end of a request that was answered before it.
    Linger,
    /// Nothing.
    Done,
}

impl Outbound {
    /// A response that is yet to be had: from the app with [`expect`](Self::expect), or from the
    /// proxy itself with [`answer`](Self::answer) or [`reset`](Self::reset).
    pub(super) fn new(
        mut sealer: MessageSealer<Response>,
        inbound: Arc<Inbound>,
        request: &RequestKind,
        limits: &Limits,
        permit: StreamPermit,
        budget: Option<StreamBudget>,
        record: Arc<Record>,
    ) -> Self {
        sealer.set_shaping(request.shaping);
        let now = Instant::now();
        let end = record.begun() + limits.stream_timeout;
        let first_timeout = limits.app_response_timeout.min(limits.stream_idle_timeout);
        Self {
            sealer,
            app: App::Linger,
            inbound,
            to_head_request: request.is_head,
            upgrade: request.upgrade.clone(),
            out: Sealed::default(),
            rest: None,
            ticks: request.shaping.coalesce.map(Ticks::new),
            first: None,
            last_sealed: now,
            timer: Box::pin(sleep_until(end.min(now + first_timeout))),
            response_timeout: limits.app_response_timeout,
            idle_timeout: limits.stream_idle_timeout,
            end,
            linger_time: limits.linger_time,
            linger_bytes: limits.linger_bytes,
            permit,
            budget,
            record,
        }
    }

    /// The app's response is to come; its informational ones come before it.
    pub(super) fn expect(&mut self, exchange: Exchange, interim: mpsc::Receiver<Bytes>) {
        self.app = App::Head(exchange, interim);
    }

    pub(crate) fn budget(&self) -> Option<StreamBudget> {
        self.budget.clone()
    }

    /// Puts the ServerHello before the response. It does not wait for the app.
    pub(super) fn goes_after(&mut self, server_hello: Bytes) {
        self.first = Some(server_hello);
    }

    /// Waits for the first bytes, and keeps them.
    pub(super) async fn wait_for_first(&mut self) {
        if self.first.is_some() {
            return;
        }
        self.first = std::future::poll_fn(|cx| self.poll_sealed(cx)).await.ok().flatten();
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let sealed = ready!(self.poll_sealed(cx));
        Poll::Ready(sealed.map_err(|_| BrokenOff).transpose().map(|frame| frame.map(Frame::data)))
    }

    /// The next sealed bytes; none at the end. An error when the session's keys are used up: nothing
    /// can be sealed any more, so the outer response breaks off.
    pub(super) fn poll_sealed(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, SealError>> {
        if let Err(error) = ready!(self.poll_gather(cx)) {
            self.finish(Outcome::Exhausted);
            return Poll::Ready(Err(error));
        }
        if !self.out.is_empty() {
            self.permit.session().touch();
            self.last_sealed = Instant::now();
            self.record.sent(self.out.len());
            return Poll::Ready(Ok(Some(self.out.take())));
        }
        if matches!(self.app, App::Done) { Poll::Ready(Ok(None)) } else { Poll::Pending }
    }

    /// Seals what there is. Ready when it is to leave; until the next tick everything waits, whatever it
    /// is.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SealError>> {
        while !self.is_full() {
            if self.sealer.owes_padding() {
                self.sealer.pad(&mut self.out)?;
                continue;
            }
            if self.poll_step(cx)?.is_pending() || matches!(self.app, App::Done) {
                break;
            }
        }
        if self.out.len() < COALESCE {
            let waiting = !self.out.is_empty() || self.sealer.has_gathered();
            if let Some(ticks) = self.ticks.as_mut().filter(|_| waiting) {
                ready!(ticks.poll_tick(cx));
            }
            self.sealer.flush(&mut self.out)?;
        }
        Poll::Ready(Ok(()))
    }

    /// True when not even a byte of content fits.
    fn is_full(&self) -> bool {
        self.out.len() + OVERHEAD >= COALESCE
    }

    /// True when everything was sealed and handed out, and nothing more of the request is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.out.is_empty()
            && !self.sealer.owes_padding()
            && matches!(self.app, App::Linger | App::Done)
    }

    /// Ready when nothing more of the request is wanted, or to come, and the client is gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inbound.poll_gone(cx)
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SealError>> {
        if !self.sealer.is_over() {
            if let Some(code) = self.inbound.poll_failure(cx) {
                return Poll::Ready(self.reset(code));
            }
            if let Poll::Ready(result) = self.poll_timer(cx) {
                return Poll::Ready(result);
            }
        }
        match &mut self.app {
            App::Head(exchange, interim) => {
                // The failure shows at the next step.
                if self.upgrade.is_some() && self.inbound.poll_early(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                if let Poll::Ready(Some(head)) = interim.poll_recv(cx) {
                    return Poll::Ready(self.sealer.informational(&head, &mut self.out));
                }
                match ready!(Pin::new(exchange).poll(cx)) {
                    Ok(response) => Poll::Ready(self.head(response)),
                    Err(error) => Poll::Ready(self.failed(cx, error)),
                }
            }
            App::Body(body, _) => {
                if let Some((data, fin)) = self.rest.take() {
                    return Poll::Ready(self.data(data, fin));
                }
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(self.body(frame))
            }
            App::Upgrading(upgrade) => {
                let connection = ready!(Pin::new(upgrade).poll(cx)).ok();
                let inbound = self.inbound.clone();
                let app = connection.and_then(|connection| UpgradedApp::new(connection, inbound));
                let Some(app) = app else {
                    return Poll::Ready(self.reset(ResetCode::APP_FAILED));
                };
                self.app = App::Upgraded(app);
                Poll::Ready(Ok(()))
            }
            App::Upgraded(app) if self.sealer.is_over() => {
                ready!(app.poll_handed_on(cx));
                self.finish(Outcome::Complete);
                Poll::Ready(Ok(()))
            }
            App::Upgraded(app) => Poll::Ready(match ready!(app.poll_read(cx)) {
                Ok(bytes) => self.sealer.data(bytes, bytes.is_empty(), &mut self.out),
                Err(_) => self.reset(ResetCode::APP_FAILED),
            }),
            App::Linger => {
                ready!(self.poll_linger(cx));
                self.app = App::Done;
                Poll::Ready(Ok(()))
            }
            App::Done => Poll::Ready(Ok(())),
        }
    }

    /// Ready when neither side has made progress for too long, or the stream has lived for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SealError>> {
        ready!(self.timer.as_mut().poll(cx));
        let now = Instant::now();
        let (received, complete) = self.inbound.progress();
        let since = match self.app {
            App::Head(..) => received,
            App::Upgrading(_) | App::Upgraded(_) => now,
            // The app may take its time between the parts of a response.
            _ if complete => now,
            _ => received.max(self.last_sealed),
        };
        let idle = received.max(self.last_sealed) + self.idle_timeout;
        let deadline = (since + self.response_timeout).min(idle).min(self.end);
        if deadline > now {
            self.timer.as_mut().reset(deadline);
            // Registers the timer anew.
            let _ = self.timer.as_mut().poll(cx);
            return Poll::Pending;
        }
        Poll::Ready(if (complete || self.upgrade.is_some()) && self.sealer.is_at_start() {
            self.answer(AppError::Timeout)
        } else {
            self.reset(ResetCode::TIMEOUT)
        })
    }

    fn head(&mut self, response: AppResponse) -> Result<(), SealError> {
        let (parts, body) = response.into_parts();
        self.record.app_answered();
        if let App::Head(_, interim) = &mut self.app {
            while let Ok(head) = interim.try_recv() {
                self.sealer.informational(&head, &mut self.out)?;
            }
        }
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(parts, body);
        }
        if self.upgrade.take().is_some() {
            self.inbound.stop();
        }
        let Ok(head) = response::head(parts.status, &parts.headers) else {
            return self.answer(AppError::MalformedResponse);
        };
        let fin = body.is_end_stream();
        self.sealer.head(&head, fin, &mut self.out)?;
        self.app = App::Body(body, parts.headers.get_all(CONNECTION).iter().cloned().collect());
        if fin {
            self.finish(Outcome::Complete);
        }
        Ok(())
    }

    /// The app agrees to change the protocol of its connection.
    fn switch(&mut self, parts: Parts, body: ResponseBody) -> Result<(), SealError> {
        let mut agreed = parts.headers.get_all(UPGRADE).iter();
        let asked = self.upgrade.take();
        let has_body = parts.headers.contains_key(TRANSFER_ENCODING);
        let agrees = !has_body
            && matches!((&asked, agreed.next(), agreed.next()), (Some(asked), Some(one), None)
            if one.as_bytes().eq_ignore_ascii_case(asked.as_bytes()));
        let Some(head) = response::head(parts.status, &parts.headers).ok().filter(|_| agrees)
        else {
            return self.answer(AppError::MalformedResponse);
        };
        self.sealer.head(&head, false, &mut self.out)?;
        match body.into_upgrade(parts) {
            Some(upgrade) => self.app = App::Upgrading(upgrade),
            None => return self.reset(ResetCode::INTERNAL),
        }
        Ok(())
    }

    fn body(&mut self, frame: Option<Result<Frame<Bytes>, BrokenOff>>) -> Result<(), SealError> {
        let frame = match frame {
            None => {
                self.sealer.data(b"", true, &mut self.out)?;
                self.finish(Outcome::Complete);
                return Ok(());
            }
            // The app died half-way: never FIN (row 6).
            Some(Err(_)) => return self.reset(ResetCode::APP_FAILED),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                let fin = matches!(&self.app, App::Body(body, _) if body.is_end_stream());
                self.data(data, fin)
            }
            Err(frame) => {
                let Some(trailers) = frame.trailers_ref() else { return Ok(()) };
                let connection = match &self.app {
                    App::Body(_, connection) => connection.as_slice(),
                    _ => &[],
                };
                let Ok(encoded) = response::trailers(trailers, connection) else {
                    return self.reset(ResetCode::APP_FAILED);
                };
                self.sealer.trailers(&encoded, &mut self.out)?;
                self.finish(Outcome::Complete);
                Ok(())
            }
        }
    }

    /// Seals what there is room for, and keeps the rest.
    fn data(&mut self, mut data: Bytes, fin: bool) -> Result<(), SealError> {
        let room = COALESCE.saturating_sub(self.out.len() + OVERHEAD);
        if data.len() > room {
            let later = data.split_off(room);
            self.rest = Some((later, fin));
        }
        let fin = fin && self.rest.is_none();
        self.sealer.data(&data, fin, &mut self.out)?;
        if fin {
            self.finish(Outcome::Complete);
        }
        Ok(())
    }

    /// The exchange with the app failed before its response head.
    fn failed(&mut self, cx: &Context<'_>, error: SendError) -> Result<(), SealError> {
        if let Some(code) = self.inbound.poll_failure(cx) {
            return self.reset(code);
        }
        match error {
            SendError::Unreachable => self.answer(AppError::Unreachable),
            SendError::Malformed => self.answer(AppError::MalformedResponse),
            SendError::Timeout => self.answer(AppError::Timeout),
            SendError::Key(error) => self.answer(AppError::Key(error)),
            SendError::NoRoom => self.reset(ResetCode::REFUSED),
            // The app may have seen the request: it must not look as if it had not.
            SendError::Failed => self.reset(ResetCode::APP_FAILED),
        }
    }

    /// Seals a response of the proxy's own.
    pub(super) fn answer(&mut self, error: AppError) -> Result<(), SealError> {
        error.seal(self.to_head_request, &mut self.sealer, &mut self.out)?;
        self.finish(Outcome::Answered(error.label()));
        Ok(())
    }

    /// Ends the response as incomplete.
    pub(super) fn reset(&mut self, code: ResetCode) -> Result<(), SealError> {
        self.sealer.reset(code, &mut self.out)?;
        self.finish(Outcome::Reset(code));
        Ok(())
    }

    /// Nothing more is to come from the app. The request, if it is still open, breaks off.
    fn finish(&mut self, outcome: Outcome) {
        self.record.ends(outcome);
        self.inbound.stop();
        self.rest = None;
        self.app = App::Linger;
        self.timer.as_mut().reset(Instant::now() + self.linger_time);
    }

    /// Ready when the outer request has ended or was read for long enough: a client that is still
    /// sending when the connection closes would lose the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.out.is_empty() {
            return Poll::Pending;
        }
        loop {
            match self.inbound.poll_discard(cx) {
                Poll::Ready(Some(len)) if len < self.linger_bytes => self.linger_bytes -= len,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.inbound.close();
    }
}
