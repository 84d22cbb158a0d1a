//! The bodies of requests, whole.

use super::buffer::Buffer;
use super::messages::Envelope;
use super::sessions::Session;
use super::{Refusal, Resource, Service};
use crate::limits::Share;
use crate::server::Proxy;
use crate::stream::{Source, discard};
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use tokio::time::timeout;

/// Longest body in bytes that is held of somebody who has not named a session in use.
pub(super) const MAX_SMALL_BODY: usize = 4096;

/// The whole body, if it is wanted at all. `invites` says that reading would invite a client that asks
/// first.
pub(super) async fn read(
    proxy: &Proxy,
    service: &Service,
    connection: &Share,
    body: Incoming,
    resource: Result<Resource, Refusal>,
    invites: bool,
) -> Result<Buffer, Refusal> {
    let is_empty = body.is_end_stream();
    let mut source = Source::from(body);
    let read = match resource {
        Ok(resource) => {
            let all = collect(proxy, service, connection, &mut source, resource);
            timeout(proxy.limits.e2p_v2_timeout, all).await.unwrap_or(Err(Refusal::Timeout))
        }
        Err(refusal) if is_empty || invites => return Err(refusal),
        Err(refusal) => Err(refusal),
    };
    if read.is_err() {
        discard(&mut source, &proxy.limits).await;
    }
    read
}

async fn collect(
    proxy: &Proxy,
    service: &Service,
    connection: &Share,
    source: &mut Source,
    resource: Resource,
) -> Result<Buffer, Refusal> {
    let place = service.memory.place(connection);
    let mut message = Buffer::new(service.memory.unnamed(connection), MAX_SMALL_BODY);
    let mut session: Option<Arc<Session>> = None;
    let idle = proxy.limits.first_frame_timeout;
    while let Some(chunk) =
        timeout(idle, source.next_chunk()).await.map_err(|_| Refusal::Timeout)?
    {
        let mut chunk = &chunk[..];
        if resource == Resource::Request && session.is_none() {
            let (beginning, rest) = chunk.split_at(chunk.len().min(MAX_SMALL_BODY - message.len()));
            // Most name their session at once.
            let mut id = Envelope::session_id(beginning).filter(|_| message.is_empty());
            if id.is_none() {
                message.append(beginning)?;
                chunk = rest;
                id = Envelope::session_id(&message);
            }
            if let Some(id) = id {
                let named = service.sessions.get(&id)?;
                message.widen(place.and(&named.memory), resource.max_body());
                session = Some(named);
            }
        }
        message.append(chunk)?;
    }
    Ok(message)
}
