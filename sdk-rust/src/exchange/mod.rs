//! One attempt at one exchange: a request out, the head of its response back.

mod guard;
mod hold;
mod incoming;
mod outer_body;
mod prepared;
mod source;
mod ticks;
mod upload;

pub(crate) use guard::StreamGuard;
pub(crate) use incoming::{Incoming, Item};
pub(crate) use outer_body::{Notice, OuterBody};
pub(crate) use prepared::Prepared;
pub(crate) use source::Source;

use crate::body::Body;
use crate::early::Accepted;
use crate::error::{Error, Stage};
use crate::fields;
use crate::receipt::Receipt;
use crate::request_body::{Kind, RequestBody};
use crate::session::{OpeningStream, Session};
use crate::transport::Transport;
use bytes::BytesMut;
use futures_util::future::poll_fn;
use http::{Response, StatusCode};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use steve_protocol::frame::MAX_CONTENT_LEN;
use steve_protocol::head::ResponseHead;
use steve_protocol::session::{ClientStream, StreamOpen};
use steve_protocol::stream::{self, MessageSealer};
use tokio::sync::OwnedSemaphorePermit;
use upload::{Link, Upload};

/// A stream that is open, with the right to use it.
pub(crate) struct Ticket {
    pub(crate) session: Arc<Session>,
    pub(crate) stream: ClientStream,
    pub(crate) opening: OpeningStream,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Why an attempt gave no response head.
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// A byte of the stream may have left the client.
    pub(crate) sent: bool,
}

/// Sends the request and waits for the head of its response.
pub(crate) async fn attempt(
    transport: &Transport,
    ticket: Ticket,
    prepared: &Prepared,
    body: RequestBody,
    idle_timeout: Option<Duration>,
) -> Result<Response<Body>, Failed> {
    let Ticket { session, stream, opening, permit } = ticket;
    let ClientStream { open, request, mut response } = stream;
    if prepared.is_head_request() {
        response.answers_head_request();
    }
    let guard = Arc::new(StreamGuard::new(session.clone(), permit));
    let receipt = receipt(&session, &open, &guard);

    let exchange = async {
        let mut out = BytesMut::new();
        out.extend_from_slice(&open.encode());
        let (outer, mut upload) = begin(request, prepared, body, out, &guard)?;
        let outer = send(transport, outer, &mut upload, &guard).await?;
        drop(opening);
        let mut incoming = Incoming::new(Source::Answer(outer), response, guard.clone(), upload);
        let (head, fin) = poll_fn(|cx| incoming.poll_head(cx, prepared.on_informational())).await?;
        session.answered(&head);
        Ok(((head, fin), incoming))
    };
    conclude(exchange.await, &guard, receipt, prepared, idle_timeout)
}

/// Waits for the head of the response to a request that went along with the handshake of `session`.
pub(crate) async fn early_answer(
    session: Arc<Session>,
    accepted: Accepted,
    prepared: &Prepared,
    request_bytes: usize,
    idle_timeout: Option<Duration>,
) -> Result<Response<Body>, Failed> {
    let Accepted { mut opener, rest, answer, permit } = accepted;
    if prepared.is_head_request() {
        opener.answers_head_request();
    }
    opener.push(rest);
    let guard = Arc::new(StreamGuard::new(session.clone(), permit));
    guard.sending();
    guard.sizes.add_request(request_bytes);
    let open = StreamOpen { session_id: session.core.id(), stream_id: 0 };
    let receipt = receipt(&session, &open, &guard);
    let mut incoming = Incoming::new(Source::Answer(answer), opener, guard.clone(), None);
    let head = poll_fn(|cx| incoming.poll_head(cx, prepared.on_informational())).await;
    conclude(head.map(|head| (head, incoming)), &guard, receipt, prepared, idle_timeout)
}

/// The response whose head was read, or what its absence means for the session.
fn conclude(
    exchange: Result<((ResponseHead, bool), Incoming), Error>,
    guard: &StreamGuard,
    receipt: Receipt,
    prepared: &Prepared,
    idle_timeout: Option<Duration>,
) -> Result<Response<Body>, Failed> {
    let ((head, fin), incoming) = exchange.map_err(|error| {
        let error = guard.cause(error);
        if crate::retry::ends_session(&error) {
            guard.session.end();
        }
        Failed { error, sent: guard.was_sent() }
    })?;
    let response = response(&head, receipt).map_err(|error| Failed { error, sent: true })?;
    let length = prepared.response_length(&head);
    let body = if fin {
        incoming.finish();
        Body::empty()
    } else {
        Body::new(incoming, idle_timeout, length)
    };
    Ok(response.map(|()| body))
}

/// A response without its body.
pub(crate) fn response(head: &ResponseHead, receipt: Receipt) -> Result<Response<()>, Error> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).unwrap_or_default();
    *response.headers_mut() = fields::to_header_map(head.fields())?;
    response.extensions_mut().insert(receipt);
    Ok(response)
}

pub(crate) fn receipt(session: &Session, open: &StreamOpen, guard: &StreamGuard) -> Receipt {
    Receipt {
        enclave: session.trusted.enclave.clone(),
        suite: session.core.suite(),
        session_id: open.session_id,
        stream_id: open.stream_id,
        sizes: guard.sizes.clone(),
    }
}

/// Seals the beginning of the request: all of it, if it is complete and small.
fn begin(
    mut sealer: MessageSealer<stream::Request>,
    prepared: &Prepared,
    body: RequestBody,
    mut out: BytesMut,
    guard: &Arc<StreamGuard>,
) -> Result<(OuterBody, Option<Link>), Error> {
    let whole = match &body.0 {
        Kind::Complete(bytes) if bytes.len() <= MAX_CONTENT_LEN && !prepared.expects_continue() => {
            Some(bytes.clone())
        }
        _ => None,
    };
    sealer.set_shaping(prepared.shaping());
    let Some(bytes) = whole else {
        sealer.head(prepared.head(), false, &mut out)?;
        let (upload, link) = Upload::new(sealer, prepared, body.0, out, guard.clone());
        return Ok((OuterBody::Upload(Box::new(upload)), Some(link)));
    };
    sealer.head(prepared.head(), bytes.is_empty(), &mut out)?;
    if !bytes.is_empty() {
        sealer.data(&bytes, true, &mut out)?;
        sealer.settle(&mut out)?;
    }
    guard.sizes.add_request(bytes.len());
    Ok((OuterBody::Whole { bytes: out.freeze(), notice: Notice::Stream(guard.clone()) }, None))
}

/// Sends the outer request; the answer may come while the upload goes on.
async fn send(
    transport: &Transport,
    outer: OuterBody,
    upload: &mut Option<Link>,
    guard: &StreamGuard,
) -> Result<hyper::body::Incoming, Error> {
    let route = &guard.session.trusted.route;
    let mut answer = pin!(transport.stream(outer, route, Stage::Request));
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        if upload.as_mut().is_some_and(|upload| upload.poll_over(cx).is_ready()) {
            *upload = None;
            if let Some(error) = guard.upload_error() {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    })
    .await
}
