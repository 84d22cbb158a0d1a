//! Handshakes.

use super::Source;
use crate::routes::Refusal;
use crate::server::Proxy;
use bytes::Bytes;
use steve_protocol::handshake::{ClientHello, ServerHandshake};

/// Answers a ClientHello with a ServerHello; the session then waits for its first stream.
///
/// An early request is rejected, authenticated, and never read: `rest` and what follows it in the
/// body are thrown away (row 7).
pub(super) async fn reply(
    proxy: &Proxy,
    hello: &ClientHello,
    rest: Bytes,
    source: &mut Source,
) -> Result<Bytes, Refusal> {
    let answer = handshake(proxy, hello, rest, source).await;
    proxy.metrics.handshake(answer.is_ok());
    answer
}

async fn handshake(
    proxy: &Proxy,
    hello: &ClientHello,
    rest: Bytes,
    source: &mut Source,
) -> Result<Bytes, Refusal> {
    if !hello.early_data && (!rest.is_empty() || source.next_chunk().await.is_some()) {
        return Err(Refusal::Malformed);
    }
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let (current, previous) = proxy.keys.honoured();
    let generations = [Some(&*current), previous.as_deref()];
    let handshake = ServerHandshake::receive(generations.into_iter().flatten(), hello);
    let (session, reply) = handshake
        .and_then(|handshake| handshake.reply(proxy.parameters, &mut proxy.entropy.fork()))
        .map_err(|_| Refusal::Unrecognized)?;
    proxy.sessions.insert(session);
    Ok(reply.into())
}
