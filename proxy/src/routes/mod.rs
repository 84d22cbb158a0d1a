//! What the outside sees: the resources of SPEC.md, Section 11, and a refusal of everything else.

pub(crate) mod answers;
pub(crate) mod cors;
mod plaintext;

pub(crate) use answers::Refusal;

use crate::body::OuterBody;
#[cfg(feature = "e2p-v2")]
use crate::e2p_v2;
use crate::evidence::Encoded;
use crate::server::Proxy;
use crate::stream::{self, Source, discard};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::header::EXPECT;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use steve_protocol::evidence::{CHALLENGE_LEN, Challenge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

const BASE: &str = "/.well-known/steve/";

/// What a request's outer connection holds for it.
#[derive(Clone)]
pub(crate) struct Outer {
    /// Limits the evidence that the connection has not read.
    pub(crate) unread: Arc<Semaphore>,
    /// Takes what the connection is to do after it has become a tunnel.
    pub(crate) tunnel: mpsc::Sender<BoxFuture<'static, ()>>,
    /// True when shutdown has begun.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Answers one outer request.
pub(crate) async fn route(
    proxy: Arc<Proxy>,
    outer: Outer,
    request: Request<Incoming>,
) -> Response<OuterBody> {
    let (mut parts, body) = request.into_parts();
    #[cfg(feature = "e2p-v2")]
    if let Some(service) = &proxy.e2p_v2
        && let Some(resource) = e2p_v2::resource(parts.uri.path()).map(str::to_owned)
    {
        return e2p_v2::serve(&proxy, service, &resource, parts, body).await;
    }
    match parts.uri.path().strip_prefix(BASE).map(str::to_owned) {
        Some(resource) => steve(&proxy, &outer, &mut parts, &resource, body).await,
        None => plaintext::serve(&proxy, parts, body).await,
    }
}

async fn steve(
    proxy: &Arc<Proxy>,
    outer: &Outer,
    parts: &mut Parts,
    resource: &str,
    body: Incoming,
) -> Response<OuterBody> {
    let origin = cors::allowed_origin(&parts.headers, &proxy.cors_origins);
    let mut response = if origin.is_some() && cors::is_preflight(&parts.method, &parts.headers) {
        cors::preflight()
    } else {
        let answer = answer(proxy, outer, parts, resource, body).await;
        answer.unwrap_or_else(|refusal| {
            proxy.metrics.refused(refusal);
            refusal.response()
        })
    };
    if !proxy.cors_origins.is_empty() {
        cors::decorate(&mut response, origin);
    }
    response
}

async fn answer(
    proxy: &Arc<Proxy>,
    outer: &Outer,
    parts: &mut Parts,
    resource: &str,
    body: Incoming,
) -> Result<Response<OuterBody>, Refusal> {
    let (get, post) = match parts.method {
        Method::GET | Method::HEAD => (true, false),
        Method::POST => (false, true),
        _ => (false, false),
    };
    let refusal = match resource {
        "v3/stream" if post => {
            forget(parts);
            return stream::serve(proxy, body).await;
        }
        "v3/evidence" if post => {
            forget(parts);
            return evidence(proxy, outer, body).await;
        }
        "v3/evidence" if get => return unchallenged(proxy),
        "health" if get => return Ok(health(proxy)),
        "v3/tunnel" if parts.method == Method::GET => return tunnel(proxy, outer, parts),
        "v3/stream" => Refusal::MethodNotAllowed("POST"),
        "v3/evidence" => Refusal::MethodNotAllowed("GET, HEAD, POST"),
        "health" => Refusal::MethodNotAllowed("GET, HEAD"),
        "v3/tunnel" => Refusal::MethodNotAllowed("GET"),
        _ => Refusal::NotFound,
    };
    refuse(proxy, parts, body, refusal).await
}

/// The handshake of a tunnel. Its connection goes on to carry it.
fn tunnel(
    proxy: &Arc<Proxy>,
    outer: &Outer,
    parts: &mut Parts,
) -> Result<Response<OuterBody>, Refusal> {
    if !cors::may_open_tunnel(&parts.headers, &proxy.cors_origins) {
        return Err(Refusal::OriginNotAllowed);
    }
    let (response, carry) = stream::tunnel::accept(proxy.clone(), parts, outer.stop.clone())?;
    outer.tunnel.try_send(Box::pin(carry)).map_err(|_| Refusal::Unavailable)?;
    Ok(response)
}

/// Frees a head before its body is waited for: a connection may have hundreds of them (row 18).
fn forget(parts: &mut Parts) {
    *parts = Request::new(()).into_parts().0;
}

/// Refuses a request without looking at its body.
async fn refuse<T>(
    proxy: &Proxy,
    parts: &mut Parts,
    body: Incoming,
    refusal: Refusal,
) -> Result<T, Refusal> {
    // Reading would invite a client that asks first.
    let invites = parts.headers.contains_key(EXPECT);
    forget(parts);
    if !body.is_end_stream() && !invites {
        discard(&mut body.into(), &proxy.limits).await;
    }
    Err(refusal)
}

/// Evidence for a challenge. The permit stays with the answer's bytes until the connection has taken
/// them (row 18). Every connection has its own permits, so that a client that does not read keeps
/// nobody else from evidence.
async fn evidence(
    proxy: &Proxy,
    outer: &Outer,
    body: Incoming,
) -> Result<Response<OuterBody>, Refusal> {
    let mut source = Source::from(body);
    let read = timeout(proxy.limits.first_frame_timeout, challenge(&mut source)).await;
    let challenge = read.map_err(|_| Refusal::Timeout).flatten();
    let challenge = match challenge {
        Ok(challenge) => challenge,
        Err(refusal) => {
            discard(&mut source, &proxy.limits).await;
            return Err(refusal);
        }
    };
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let permit =
        timeout(proxy.limits.challenge_timeout, outer.unread.clone().acquire_owned()).await;
    let permit = permit.ok().and_then(Result::ok).ok_or(Refusal::Unavailable)?;
    let encoded = proxy.evidence.challenge(challenge).await;
    let Encoded { own, shared } = encoded.map_err(|_| Refusal::Unavailable)?;
    let own = Bytes::from_owner(Held { bytes: own, _permit: permit });
    Ok(answers::evidence(Encoded { own, shared }, false))
}

/// Bytes with the permit that allows them.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body, which must be a challenge.
async fn challenge(source: &mut Source) -> Result<Challenge, Refusal> {
    let mut bytes = BytesMut::with_capacity(CHALLENGE_LEN);
    while let Some(chunk) = source.next_chunk().await {
        if bytes.len() + chunk.len() > CHALLENGE_LEN {
            return Err(Refusal::Malformed);
        }
        bytes.extend_from_slice(&chunk);
    }
    Challenge::try_from(bytes.as_ref()).map_err(|_| Refusal::Malformed)
}

fn unchallenged(proxy: &Proxy) -> Result<Response<OuterBody>, Refusal> {
    let encoded = proxy.evidence.unchallenged();
    encoded.map(|encoded| answers::evidence(encoded, true)).map_err(|_| Refusal::Unavailable)
}

fn health(proxy: &Proxy) -> Response<OuterBody> {
    if proxy.is_ready() {
        answers::json(StatusCode::OK, r#"{"status":"ready"}"#)
    } else {
        answers::json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable"}"#)
    }
}
