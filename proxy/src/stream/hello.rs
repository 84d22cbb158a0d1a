//! Handshakes, and the early requests that come with them.

use super::{Begun, Opened, Source};
use crate::limits::Limit;
use crate::routes::Refusal;
use crate::server::Proxy;
use bytes::Bytes;
use steve_protocol::handshake::{
    ClientHello, EarlyProgress, EarlyReply, EarlyRequest, PendingEarly, ServerHandshake,
    Unrecognized,
};

/// Answers a ClientHello with a ServerHello; the session then waits for its first stream. `rest` are
/// the bytes that were received behind the ClientHello.
pub(super) async fn reply(
    proxy: &Proxy,
    hello: &ClientHello,
    rest: Bytes,
    source: &mut Source,
) -> Result<Begun, Refusal> {
    let answer = handshake(proxy, hello, rest, source).await;
    proxy.metrics.handshake(answer.is_ok());
    answer
}

async fn handshake(
    proxy: &Proxy,
    hello: &ClientHello,
    rest: Bytes,
    source: &mut Source,
) -> Result<Begun, Refusal> {
    if !hello.early_data && (!rest.is_empty() || source.next_chunk().await.is_some()) {
        return Err(Refusal::Malformed);
    }
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let handshake = receive(proxy, hello).map_err(|_| Refusal::Unrecognized)?;
    if handshake.offers_early() {
        let pending = handshake.early().ok_or(Refusal::Unrecognized)?;
        return early(proxy, pending, rest, source).await;
    }
    let (session, reply) = handshake
        .reply(proxy.parameters, &mut proxy.entropy.fork())
        .map_err(|_| Refusal::Unrecognized)?;
    proxy.sessions.insert(session.into());
    Ok(Begun::Hello(reply.into()))
}

/// Lets go of the keys before anything is waited for: they may have to be erased meanwhile.
fn receive(proxy: &Proxy, hello: &ClientHello) -> Result<ServerHandshake, Unrecognized> {
    let generations = proxy.keys.honoured();
    ServerHandshake::receive(generations.iter().flatten().map(|keys| &**keys), hello)
}

/// Answers an early request when its first frame has authenticated: only then it is recorded, and only
/// when it is recorded it can be dispatched (row 7).
async fn early(
    proxy: &Proxy,
    pending: Box<PendingEarly>,
    rest: Bytes,
    source: &mut Source,
) -> Result<Begun, Refusal> {
    let (request, received) = first_frame(pending, rest, source).await?;
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let EarlyReply { session, server_hello, stream } = request
        .answer(proxy.parameters, &mut proxy.entropy.fork())
        .map_err(|_| Refusal::Unrecognized)?;
    proxy.metrics.early(stream.is_some());
    if stream.is_none() && proxy.early_data {
        Limit::EarlyRequests.reached();
    }
    let session = proxy.sessions.insert(session);
    let server_hello = Bytes::from(server_hello);
    Ok(match stream {
        None => Begun::Hello(server_hello),
        Some(stream) => {
            Begun::Stream(Opened { stream, session, received, server_hello: Some(server_hello) })
        }
    })
}

/// Reads until the first frame has authenticated. Also gives the number of bytes that were read.
async fn first_frame(
    mut pending: Box<PendingEarly>,
    rest: Bytes,
    source: &mut Source,
) -> Result<(Box<EarlyRequest>, usize), Refusal> {
    let mut received = 0;
    let mut chunk = rest;
    loop {
        received += chunk.len();
        match pending.accept(chunk).map_err(|_| Refusal::Unrecognized)? {
            EarlyProgress::Open(request) => return Ok((request, received)),
            EarlyProgress::NeedMore(more) => pending = more,
        }
        chunk = source.next_chunk().await.ok_or(Refusal::Unrecognized)?;
    }
}
