//! The stream resource: handshakes and exchanges (SPEC.md, Sections 8 to 10 and 12).

mod answer;
mod discard;
mod dispatch;
mod hello;
mod inbound;
mod outbound;
mod prefix;
mod request;
mod response;
mod waiting;

pub(crate) use discard::discard;
pub(crate) use inbound::Inbound;
pub(crate) use outbound::Outbound;
pub(crate) use waiting::Waiting;

use crate::body::OuterBody;
use crate::routes::Refusal;
use crate::routes::answers;
use crate::server::Proxy;
use crate::sessions::Session;
use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use prefix::{Prefix, next_chunk};
use std::sync::Arc;
use steve_protocol::session::{Pending, ServerStream, StreamOpen};
use tokio::time::timeout;
use waiting::Place;

/// Answers a POST to the stream resource. Only the body counts: nothing else of the outer request is
/// looked at (row 20).
pub(crate) async fn serve(
    proxy: &Proxy,
    mut body: Incoming,
) -> Result<Response<OuterBody>, Refusal> {
    match timeout(proxy.limits.first_frame_timeout, begin(proxy, &mut body)).await {
        Ok(Ok(Begun::Hello(reply))) => {
            discard(&mut body, &proxy.limits).await;
            Ok(answers::stream(OuterBody::Whole(reply)))
        }
        Ok(Ok(Begun::Stream(stream, session, received))) => {
            let mut outbound = dispatch::dispatch(proxy, *stream, &session, body, received);
            // The outer head and the first frame leave together if the app is quick.
            let _ = timeout(proxy.limits.answer_delay, outbound.wait_for_first()).await;
            Ok(answers::stream(OuterBody::Stream(outbound)))
        }
        Ok(Err(refusal)) => refuse(proxy, body, refusal).await,
        Err(_elapsed) => refuse(proxy, body, Refusal::Timeout).await,
    }
}

async fn refuse<T>(proxy: &Proxy, mut body: Incoming, refusal: Refusal) -> Result<T, Refusal> {
    discard(&mut body, &proxy.limits).await;
    Err(refusal)
}

/// What a stream request turned out to be.
enum Begun {
    /// The ServerHello is the whole answer.
    Hello(Bytes),
    /// A stream, its session, and how many bytes of its body were read.
    Stream(Box<ServerStream>, Arc<Session>, usize),
}

async fn begin(proxy: &Proxy, body: &mut Incoming) -> Result<Begun, Refusal> {
    let mut place = proxy.anonymous.enter();
    match place.hold(Prefix::read(body)).await? {
        Prefix::Hello(hello, rest) => {
            place.hold(hello::reply(proxy, &hello, rest, body)).await.map(Begun::Hello)
        }
        Prefix::Open(open, rest) => open_stream(proxy, place, open, rest, body).await,
    }
}

/// Reads until the first frame has authenticated.
async fn open_stream(
    proxy: &Proxy,
    mut place: Place,
    open: StreamOpen,
    rest: Bytes,
    body: &mut Incoming,
) -> Result<Begun, Refusal> {
    let session = proxy.sessions.get(&open.session_id).ok_or(Refusal::Unrecognized)?;
    if session.is_confirmed() {
        // Who names a session in use does not compete with those who name nothing.
        place = proxy.opening.enter();
    }
    let mut pending = session.pending_stream(open.stream_id);
    let mut received = StreamOpen::LEN;
    let mut chunk = rest;
    let opened = place.hold(async {
        loop {
            received += chunk.len();
            match pending.accept(chunk).map_err(|_| Refusal::Unrecognized)? {
                Pending::Open(stream) => return Ok(stream),
                Pending::NeedMore(more) => pending = more,
            }
            chunk = next_chunk(body).await.ok_or(Refusal::Unrecognized)?;
        }
    });
    let stream = opened.await?;
    Ok(Begun::Stream(stream, session, received))
}
