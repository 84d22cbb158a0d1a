//! Server mode for clients that speak `STEVE-E2P-V2`, the protocol before this one.
//!
//! It is off by default and apart from everything else, and there to be left out one day: README.md
//! beside this file says what it does where the protocol leaves a choice, and `docs/from-v2.md` how a
//! deployment leaves it.

mod buffer;
mod cbor;
mod exchange;
mod forward;
mod inner;
mod messages;
mod metrics;
mod refusal;
mod schedule;
mod sessions;
mod window;

pub(crate) use exchange::KeyExchange;
pub(crate) use metrics::Metrics;
pub(crate) use refusal::Refusal;

use crate::body::OuterBody;
use crate::limits::{Budget, Limits, Share, StreamBudget};
use crate::metrics::{Outcome, Record};
use crate::routes::{answers, cors};
use crate::server::Proxy;
use crate::stream::{Source, discard};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use buffer::{Buffer, Full};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::{Body, Incoming};
use inner::AppRequest;
use messages::{Envelope, SessionReply, SessionRequest};
use rand::Rng;
use schedule::{Keys, Message, Transcript};
use serde::Serialize;
use sessions::{Session, Sessions};
use std::time::Duration;
use steve_protocol::aead::TAG_LEN;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

const BASE: &str = "/e2p/v2/";
const CBOR: &str = "application/cbor";
/// What web pages load before they can encrypt. GET and, except for the first, HEAD.
pub(crate) const BOOTSTRAP: [&str; 5] = [
    "/",
    "/attestation-widget.js",
    "/enclave-sw.js",
    "/register.js",
    "/xwing/steve_xwing_wasm_bg.wasm",
];
/// Longest body of a request to `session` or `confirm` in bytes.
const MAX_SMALL_BODY: usize = 4096;
/// Longest body of a request to `request` in bytes: 32 MiB and 64 KiB, as clients accept of answers.
const MAX_BODY: usize = 33_619_968;
/// Longest time for all of a body: clients wait no longer for an answer.
const BODY_TIMEOUT: Duration = Duration::from_secs(300);
/// Part of the memory for connections and streams that is set apart.
const MEMORY_PART: usize = 4;
/// What the answer to `session` may hold until it is written.
const SESSION_REPLY_BYTES: usize = 16 * 1024;

/// The mode, when it is on.
pub(crate) struct Service {
    key_exchange: KeyExchange,
    sessions: Sessions,
    /// Memory for messages, of which every one is held whole.
    memory: Share,
    _set_apart: Option<OwnedSemaphorePermit>,
}

impl Service {
    /// To be called before anything else takes of the budget.
    pub(crate) fn new(key_exchange: KeyExchange, limits: &Limits, budget: &Budget) -> Self {
        let bytes = budget.usage().1 / MEMORY_PART;
        tracing::info!(key_exchange = key_exchange.name(), memory = bytes, "E2P v2 is on");
        Self {
            key_exchange,
            sessions: Sessions::new(limits),
            memory: Share::new(bytes),
            _set_apart: budget.share().try_take(bytes),
        }
    }

    /// Drops sessions that are over, for ever.
    pub(crate) async fn sweep(&self) {
        self.sessions.sweep().await;
    }
}

/// Which resource of this protocol the path names.
pub(crate) fn resource(path: &str) -> Option<&str> {
    path.strip_prefix(BASE)
}

/// True for what web pages load before they can encrypt.
pub(crate) fn is_bootstrap(parts: &Parts) -> bool {
    let path = parts.uri.path();
    parts.method == Method::GET && BOOTSTRAP.contains(&path)
        || parts.method == Method::HEAD && BOOTSTRAP[1..].contains(&path)
}

/// Answers a request for one of the resources.
pub(crate) async fn serve(
    proxy: &Proxy,
    service: &Service,
    resource: &str,
    parts: Parts,
    body: Incoming,
) -> Response<OuterBody> {
    let origin = cors::allowed_origin(&parts.headers, &proxy.cors_origins);
    let mut response = if origin.is_some() && cors::is_preflight(&parts.method, &parts.headers) {
        cors::preflight()
    } else {
        match answer(proxy, service, resource, parts, body).await {
            Ok(bytes) => {
                let (status, cbor) = (StatusCode::OK, HeaderValue::from_static(CBOR));
                answers::answer(status, cbor, answers::NO_STORE, OuterBody::Whole(bytes))
            }
            Err(refusal) => {
                proxy.metrics.e2p_v2.refused(refusal);
                refusal.response()
            }
        }
    };
    if !proxy.cors_origins.is_empty() {
        cors::decorate(&mut response, origin);
    }
    response
}

async fn answer(
    proxy: &Proxy,
    service: &Service,
    resource: &str,
    parts: Parts,
    body: Incoming,
) -> Result<Bytes, Refusal> {
    let max = match resource {
        "session" | "confirm" => Ok(MAX_SMALL_BODY),
        "request" => Ok(MAX_BODY),
        _ => Err(Refusal::NotFound),
    };
    let max = max.and_then(|max| match parts.method {
        Method::POST => Ok(max),
        _ => Err(Refusal::MethodNotAllowed),
    });
    let is_cbor = is_cbor(&parts.headers);
    let max = max.and_then(|max| if is_cbor { Ok(max) } else { Err(Refusal::Protocol) });
    let max = max.and_then(|max| match body.size_hint().lower() {
        len if len > max as u64 => Err(Refusal::TooLarge),
        _ => Ok(max),
    });
    let invites = parts.headers.contains_key(EXPECT);
    // A connection may have hundreds of heads whose bodies are waited for.
    drop(parts);
    let message = read(proxy, service, body, max, invites).await?;
    match resource {
        "session" => session(proxy, service, &message).await,
        "confirm" => confirm(proxy, service, message),
        _ => request(proxy, service, message).await,
    }
}

fn is_cbor(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let essence = one.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(CBOR.as_bytes())
}

/// The whole body, of at most `max` bytes if it is wanted at all.
async fn read(
    proxy: &Proxy,
    service: &Service,
    body: Incoming,
    max: Result<usize, Refusal>,
    invites: bool,
) -> Result<Buffer, Refusal> {
    let is_empty = body.is_end_stream();
    let mut source = Source::from(body);
    let read = match max {
        Ok(max) => {
            let all = collect(proxy, service, &mut source, max);
            timeout(BODY_TIMEOUT, all).await.unwrap_or(Err(Refusal::Timeout))
        }
        // Reading would invite a client that asks first.
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
    source: &mut Source,
    max: usize,
) -> Result<Buffer, Refusal> {
    let mut message = Buffer::new(&service.memory, max);
    let idle = proxy.limits.first_frame_timeout;
    while let Some(chunk) =
        timeout(idle, source.next_chunk()).await.map_err(|_| Refusal::Timeout)?
    {
        message.append(&chunk)?;
    }
    Ok(message)
}

/// User data of a session's document. The order is part of the format as far as we are concerned:
/// clients parse JSON.
#[derive(Serialize)]
struct UserData<'a> {
    protocol: &'a str,
    key_exchange: &'a str,
    session_id: String,
    transcript_hash: String,
    binder: String,
}

async fn session(proxy: &Proxy, service: &Service, message: &[u8]) -> Result<Bytes, Refusal> {
    let request = SessionRequest::decode(message)?;
    let key_exchange = service.key_exchange.name();
    if request.key_exchange != key_exchange {
        return Err(Refusal::Protocol);
    }
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let room = service.memory.take(SESSION_REPLY_BYTES).ok_or(Refusal::Unavailable)?;
    let (id, keys, server_key_material) = {
        let mut rng = proxy.entropy.fork();
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let (server_key_material, shared) =
            service.key_exchange.respond(request.client_key_material, &mut rng)?;
        let transcript = Transcript {
            key_exchange,
            client_nonce: request.client_nonce,
            client_key_material: request.client_key_material,
            server_key_material: &server_key_material,
            session_id: &id,
            context_hash: request.context_hash,
        };
        (id, Keys::derive(&shared, transcript.hash()), server_key_material)
    };
    let user_data = UserData {
        protocol: "STEVE-E2P-V2",
        key_exchange,
        session_id: URL_SAFE_NO_PAD.encode(id),
        transcript_hash: URL_SAFE_NO_PAD.encode(keys.transcript_hash),
        binder: URL_SAFE_NO_PAD.encode(keys.binder),
    };
    let user_data = serde_json::to_vec(&user_data).map_err(|_| Refusal::Unavailable)?;
    let document = proxy.evidence.document(user_data, *request.client_nonce).await?;
    service.sessions.insert(Session::new(id, keys));
    let reply = SessionReply {
        key_exchange,
        session_id: &id,
        server_key_material: &server_key_material,
        attestation_document: &document,
        expires_in_seconds: proxy.limits.unconfirmed_lifetime.as_secs().max(1),
    };
    Ok(Bytes::from_owner(Held { bytes: reply.encode(), _permit: room }))
}

fn confirm(proxy: &Proxy, service: &Service, mut message: Buffer) -> Result<Bytes, Refusal> {
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let envelope = Envelope::decode(&message)?;
    let session = service.sessions.confirm(&envelope, &mut message)?;
    proxy.metrics.e2p_v2.confirmed.inc();
    let hash = &session.keys.transcript_hash;
    let sealed = seal(service, &session, Message::Confirmation, envelope.sequence, hash)?;
    Ok(Bytes::from_owner(sealed))
}

async fn request(proxy: &Proxy, service: &Service, mut message: Buffer) -> Result<Bytes, Refusal> {
    let envelope = Envelope::decode(&message)?;
    let session = service.sessions.get(&envelope.session_id)?;
    // What can be refused without using the sequence up is refused first.
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let budget = proxy.budget.stream(Default::default()).ok_or(Refusal::Unavailable)?;
    let opened = session.open(&envelope, &mut message)?;
    let record = Record::begin(&proxy.metrics);
    proxy.metrics.e2p_v2.requests.inc();
    record.received(message.len());

    let plaintext = Bytes::from_owner(message).slice(opened);
    let request = AppRequest::decode(&plaintext)?;
    let binding = &session.keys.transcript_hash;
    let response =
        forward::forward(proxy, &service.memory, &request, &plaintext, binding, &record).await;
    drop(request);
    drop(plaintext);
    let (sealed, outcome) = match response {
        Ok(content) => {
            let content = content.bytes();
            let kind = Message::Application;
            (seal(service, &session, kind, envelope.sequence, content)?, Outcome::Complete)
        }
        Err(failure) => {
            let (status, code) = failure.parts();
            let content = inner::error(status, code);
            let kind = Message::Application;
            (seal(service, &session, kind, envelope.sequence, &content)?, Outcome::Answered(code))
        }
    };
    record.sent(sealed.len());
    record.ends(outcome);
    Ok(Bytes::from_owner(Answer { sealed, _budget: budget }))
}

/// An envelope. Its sequence must be one that was marked as used just now, or that of the
/// confirmation: no other answer may be sealed with it.
fn seal(
    service: &Service,
    session: &Session,
    kind: Message,
    sequence: u64,
    content: &[u8],
) -> Result<Buffer, Full> {
    let len = content.len() + TAG_LEN;
    let head = Envelope::head(&session.id, sequence, len);
    let mut sealed = Buffer::new(&service.memory, head.len() + len);
    sealed.append(&head)?;
    let out = sealed.append_zeros(len)?;
    session.keys.seal(kind, &session.id, sequence, content, out);
    Ok(sealed)
}

/// Bytes with the permit that allows them.
struct Held {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer with its share of the budget.
struct Answer {
    sealed: Buffer,
    _budget: StreamBudget,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.sealed
    }
}
