//! From an accepted stream to the app, or to an answer of the proxy's own.

use super::answer::AppError;
use super::inbound::Rest;
use super::request::{AppHead, RequestKind};
use super::{Inbound, Opened, Outbound, Source, response};
use crate::body::AppBody;
use crate::idempotent::{self, Dispatch, KeyError, KeyHash};
use crate::limits::{Limit, MAX_INFORMATIONAL, StreamBudget};
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
        Ok((head, rest, key)) => (Ok((head, key)), rest),
        Err(not_sent) => (Err(not_sent), Rest::default()),
    };
    let complete = rest.complete || kind.upgrade.is_some();
    let inbound = Arc::new(Inbound::new(source, opener, session, rest, record.clone()));
    let sent = head.and_then(|(head, key)| {
        send(proxy, head, key, complete, &inbound, budget.as_ref(), &record)
    });
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
) -> Result<(AppHead, Rest, Option<KeyHash>), NotSent> {
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
            let key = key_of(proxy, head).map_err(NotSent::Answer)?;
            let app_head = AppHead::new(head, *fin, binding, proxy.upstream.protocol());
            app_head.map(|(head, rest)| (head, rest, key)).map_err(NotSent::Answer)
        }
        Ok(Event::Reset(_)) => Err(NotSent::Reset(ResetCode::CANCELLED)),
        Err(StreamError::Head(error)) => Err(NotSent::Answer((*error).into())),
        Ok(_) | Err(_) => Err(NotSent::Reset(ResetCode::PROTOCOL_ERROR)),
    }
}

/// The request's idempotency key. One that cannot be honoured is never ignored.
fn key_of(proxy: &Proxy, head: &RequestHead) -> Result<Option<KeyHash>, AppError> {
    let Some(key) = KeyHash::of(head)? else { return Ok(None) };
    if proxy.idempotent.is_off() {
        return Err(AppError::NotImplemented);
    }
    if head.upgrade().is_some() {
        return Err(AppError::MalformedRequest);
    }
    let max_body = proxy.limits.max_idempotent_body as u64;
    if head.content_length().is_some_and(|declared| declared > max_body) {
        return Err(AppError::Key(KeyError::TooLarge));
    }
    Ok(Some(key))
}

fn send(
    proxy: &Proxy,
    head: AppHead,
    key: Option<KeyHash>,
    complete: bool,
    inbound: &Arc<Inbound>,
    budget: Option<&StreamBudget>,
    record: &Record,
) -> Result<(Exchange, mpsc::Receiver<Bytes>), NotSent> {
    let mut request = Request::new(());
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
    let exchange = match key {
        Some(key) => {
            let budget = budget.ok_or(NotSent::Reset(ResetCode::REFUSED))?;
            let dispatch = keyed(proxy, budget.clone(), record);
            idempotent::exchange(dispatch, key, request, inbound.clone(), on_interim)
        }
        None => {
            let body = if complete { AppBody::Empty } else { AppBody::Stream(inbound.clone()) };
            proxy.upstream.send(request.map(|()| body), on_interim)
        }
    };
    Ok((exchange, interim))
}

/// What the execution of a request with a key needs when its stream is gone.
fn keyed(proxy: &Proxy, budget: StreamBudget, record: &Record) -> Dispatch {
    let limits = &proxy.limits;
    Dispatch {
        memory: proxy.idempotent.clone(),
        upstream: proxy.upstream.clone(),
        metrics: proxy.metrics.clone(),
        max_body: limits.max_idempotent_body,
        room: proxy.budget.share(),
        _budget: budget,
        response_timeout: limits.app_response_timeout.min(limits.stream_idle_timeout),
        idle_timeout: limits.stream_idle_timeout,
        end: record.begun() + limits.stream_timeout,
    }
}
