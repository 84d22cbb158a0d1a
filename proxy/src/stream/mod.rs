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
mod sealed;
mod source;
mod ticks;
pub(crate) mod tunnel;
mod upgraded;
mod waiting;

#[cfg(feature = "e2p-v2")]
pub(crate) use answer::AppError;
pub(crate) use discard::discard;
pub(crate) use inbound::Inbound;
pub(crate) use outbound::Outbound;
#[cfg(feature = "e2p-v2")]
pub(crate) use request::AppHead;
pub(crate) use request::SESSION;
#[cfg(feature = "e2p-v2")]
pub(crate) use response::end_to_end;
pub(crate) use source::Source;
pub(crate) use waiting::Waiting;

use crate::body::OuterBody;
use crate::routes::Refusal;
use crate::routes::answers;
use crate::server::Proxy;
use crate::sessions::Session;
use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use prefix::Prefix;
use std::sync::Arc;
use steve_protocol::session::{Pending, ServerStream, StreamOpen};
use tokio::time::timeout;
use waiting::Place;

/// Answers a POST to the stream resource. Only the body counts: nothing else of the outer request is
/// looked at (row 20).
pub(crate) async fn serve(proxy: &Proxy, body: Incoming) -> Result<Response<OuterBody>, Refusal> {
    let mut source = Source::from(body);
    match timeout(proxy.limits.first_frame_timeout, begin(proxy, &mut source)).await {
        Ok(Ok(Begun::Hello(reply))) => {
            // The rest of a rejected early request may take a while.
            let limits = proxy.limits.clone();
            tokio::spawn(async move { discard(&mut source, &limits).await });
            Ok(answers::stream(OuterBody::Whole(reply)))
        }
        Ok(Ok(Begun::Stream(opened))) => {
            let mut outbound = dispatch::dispatch(proxy, opened, source);
            // The outer head and the first frame leave together if the app is quick.
            let _ = timeout(proxy.limits.answer_delay, outbound.wait_for_first()).await;
            Ok(answers::stream(OuterBody::Stream(outbound)))
        }
        Ok(Err(refusal)) => refuse(proxy, source, refusal).await,
        Err(_elapsed) => refuse(proxy, source, Refusal::Timeout).await,
    }
}

async fn refuse<T>(proxy: &Proxy, mut source: Source, refusal: Refusal) -> Result<T, Refusal> {
    discard(&mut source, &proxy.limits).await;
    Err(refusal)
}

/// What a stream request turned out to be.
enum Begun {
    /// The ServerHello is the whole answer.
    Hello(Bytes),
    Stream(Opened),
}

/// A stream whose first frame has authenticated.
struct Opened {
    stream: Box<ServerStream>,
    session: Arc<Session>,
    /// Bytes that were read of it.
    received: usize,
    /// What goes before the response to an early request.
    server_hello: Option<Bytes>,
}

async fn begin(proxy: &Proxy, source: &mut Source) -> Result<Begun, Refusal> {
    let mut place = proxy.anonymous.enter();
    match place.hold(Prefix::read(source)).await? {
        Prefix::Hello(hello, rest) => place.hold(hello::reply(proxy, &hello, rest, source)).await,
        Prefix::Open(open, rest) => {
            open_stream(proxy, place, open, rest, source).await.map(Begun::Stream)
        }
    }
}

/// Reads until the first frame has authenticated.
async fn open_stream(
    proxy: &Proxy,
    mut place: Place,
    open: StreamOpen,
    rest: Bytes,
    source: &mut Source,
) -> Result<Opened, Refusal> {
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
            chunk = source.next_chunk().await.ok_or(Refusal::Unrecognized)?;
        }
    });
    let stream = opened.await?;
    Ok(Opened { stream, session, received, server_hello: None })
}
