//! From an accepted stream to the app, or to an answer of the proxy's own.

use super::answer::AppError;
use super::inbound::Rest;
use super::request::{AppHead, RequestKind};
use super::{Inbound, Opened, Outbound, Source, response};
use crate::body::AppBody;
use crate::limits::{Limit, MAX_INFORMATIONAL};
use crate::metrics::Record;
use crate::server::Proxy;
use crate::sessions::Session;
use crate::upstream::Exchange;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use std::sync::Arc;
use steve_protocol::head::RequestHead;
use steve_protocol::session::ServerStream;
use steve_protocol::stream::{Event, ResetCode, StreamError};
use tokio::sync::mpsc;

/// Why a request does not go to the app.
enum NotSent {
    Answer(AppError),
    Reset(ResetCode),
}

/// Sends an accepted stream's request to the app, or answers it inside the channel.
pub(super) fn dispatch(proxy: &Proxy, opened: Opened, source: Source) -> Box<Outbound> {
    let Opened { stream, session, received, server_hello } = opened;
    session.touch();
    let permit = session.open_stream();
    if !permit.is_within_limit() {
        Limit::StreamsPerSession.reached();
    }
    let record = Record::begin(&proxy.metrics);
    record.received(received);
    let ServerStream { first, request: opener, response: sealer, session: protocol } = *stream;
    let (shaping, wish) = match &first {
        Ok(Event::Head { head, .. }) => proxy.padding.shaping(head),
        _ => (proxy.padding.minimum("/"), Ok(())),
    };
    let kind = match &first {
        Ok(Event::Head { head, .. }) => RequestKind {
            is_head: head.method() == "HEAD",
            upgrade: head.upgrade().map(str::to_owned),
            shaping,
        },
        // It might be a HEAD request: nobody can tell.
        _ => RequestKind { is_head: true, upgrade: None, shaping },
    };
    let budget = proxy.budget.stream(shaping);
    let has_room = budget.is_some() && permit.is_within_limit();
    let decision = admit(proxy, has_room)
        .and_then(|()| wish.map_err(|_| NotSent::Answer(AppError::MalformedRequest)))
        .and_then(|()| decide(proxy, &first, server_hello.is_some(), &protocol.binding()))
        .and_then(|decided| match &server_hello {
            // It does not show that there is a client who has got the ServerHello.
            Some(_) => Ok(decided),
            None => confirm(proxy, &session).map(|()| decided),
        });

    let (head, rest) = match decision {
        Ok((head, rest)) => (Ok(head), rest),
        Err(not_sent) => (Err(not_sent), Rest::default()),
    };
    let complete = rest.complete || kind.upgrade.is_some();
    let inbound = Arc::new(Inbound::new(source, opener, session, rest, record.clone()));
    let sent = head.and_then(|head| send(proxy, head, complete, &inbound));
    let limits = &proxy.limits;
    let mut outbound =
        Box::new(Outbound::new(sealer, inbound, &kind, limits, permit, budget, record));
    if let Some(server_hello) = server_hello {
        outbound.goes_after(server_hello);
    }
    // Sealing fails only when the session's keys are used up. The response then ends without FIN.
    let _ = match sent {
        Ok((response, interim)) => {
            outbound.expect(response, interim);
            Ok(())
        }
        Err(NotSent::Answer(error)) => outbound.answer(error),
        Err(NotSent::Reset(code)) => outbound.reset(code),
    };
    outbound
}

/// The codes say that the request was not dispatched.
fn admit(proxy: &Proxy, has_room: bool) -> Result<(), NotSent> {
    if proxy.is_draining() {
        return Err(NotSent::Reset(ResetCode::DRAINING));
    }
    if has_room { Ok(()) } else { Err(NotSent::Reset(ResetCode::REFUSED)) }
}

/// Only a request for the app makes a session one in use: what costs its client nothing takes up no
/// room in the table (row 19).
fn confirm(proxy: &Proxy, session: &Arc<Session>) -> Result<(), NotSent> {
    proxy.sessions.confirm(session).map_err(|_| NotSent::Reset(ResetCode::REFUSED))
}

fn decide(
    proxy: &Proxy,
    first: &Result<Event<RequestHead>, StreamError>,
    early: bool,
    binding: &[u8; 32],
) -> Result<(AppHead, Rest), NotSent> {
    match first {
        Ok(Event::Head { head, .. }) if early && head.upgrade().is_some() => {
            Err(NotSent::Answer(AppError::MalformedRequest))
        }
        Ok(Event::Head { head, .. }) if !head.upgrade().is_none_or(|to| proxy.may_upgrade(to)) => {
            Err(NotSent::Answer(AppError::NotImplemented))
        }
        Ok(Event::Head { head, .. }) if head.fields().len() > proxy.limits.max_head_fields => {
            Err(NotSent::Answer(AppError::TooManyFields))
        }
        Ok(Event::Head { head, fin }) => {
            AppHead::new(head, *fin, binding, proxy.upstream.protocol()).map_err(NotSent::Answer)
        }
        Ok(Event::Reset(_)) => Err(NotSent::Reset(ResetCode::CANCELLED)),
        Err(StreamError::Head(error)) => Err(NotSent::Answer((*error).into())),
        Ok(_) | Err(_) => Err(NotSent::Reset(ResetCode::PROTOCOL_ERROR)),
    }
}

fn send(
    proxy: &Proxy,
    head: AppHead,
    complete: bool,
    inbound: &Arc<Inbound>,
) -> Result<(Exchange, mpsc::Receiver<Bytes>), NotSent> {
    let body = if complete { AppBody::Empty } else { AppBody::Stream(inbound.clone()) };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = proxy
        .upstream
        .uri(head.authority, head.path)
        .map_err(|_| NotSent::Answer(AppError::MalformedRequest))?;
    *request.headers_mut() = head.headers;

    let (sender, interim) = mpsc::channel(MAX_INFORMATIONAL);
    let on_interim = move |status: StatusCode, headers: &HeaderMap| {
        if let Ok(head) = response::head(status, headers) {
            // A client that is too slow for them misses some; they are only hints.
            let _ = sender.try_send(head);
        }
    };
    Ok((proxy.upstream.send(request, on_interim), interim))
}
