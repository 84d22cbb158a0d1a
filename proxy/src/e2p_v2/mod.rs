//! Server mode for clients that speak `STEVE-E2P-V2`, the protocol before this one.
//!
//! It is off by default and apart from everything else, and there to be left out one day: README.md
//! beside this file says what it does where the protocol leaves a choice, and `docs/from-v2.md` how a
//! deployment leaves it.

mod answer;
mod buffer;
mod cbor;
mod content;
mod establish;
mod exchange;
mod forward;
mod inner;
mod memory;
mod messages;
mod metrics;
mod reading;
mod refusal;
mod schedule;
mod sessions;
mod window;

pub(crate) use answer::Answer;
pub(crate) use exchange::KeyExchange;
pub(crate) use metrics::Metrics;
pub(crate) use refusal::Refusal;

use crate::body::OuterBody;
use crate::limits::{Budget, Limits, Share};
use crate::metrics::{Outcome, Record};
use crate::routes::{Outer, answers, cors};
use crate::server::Proxy;
use buffer::Buffer;
use bytes::Bytes;
use content::Content;
use http::header::{CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::{Body, Incoming};
use inner::AppRequest;
use memory::Memory;
use messages::Envelope;
use reading::MAX_SMALL_BODY;
use schedule::Message;
use sessions::Sessions;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

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
/// Longest body of a request to `request` in bytes: 32 MiB and 64 KiB, as clients accept of answers.
const MAX_BODY: usize = 33_619_968;
/// Documents that wait for the attester. At 30 ms each, with a batch of challenges in between, the last
/// one is there within the 10 s that clients wait.
pub(crate) const MAX_DOCUMENTS: usize = 64;
/// Longest message in bytes that is sealed and opened where connections are served.
const MAX_INLINE: usize = 256 * 1024;
/// Longer messages that are sealed and opened at once.
const MAX_LONG: usize = 2;

/// What the paths name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resource {
    Session,
    Confirm,
    Request,
}

impl Resource {
    fn max_body(self) -> usize {
        match self {
            Self::Session | Self::Confirm => MAX_SMALL_BODY,
            Self::Request => MAX_BODY,
        }
    }
}

/// The mode, when it is on.
pub(crate) struct Service {
    key_exchange: KeyExchange,
    sessions: Sessions,
    memory: Memory,
    /// For messages that are sealed and opened apart.
    long: Arc<Semaphore>,
}

impl Service {
    /// To be called before anything else takes of the budget.
    pub(crate) fn new(key_exchange: KeyExchange, limits: &Limits, budget: &Budget) -> Self {
        let memory = Memory::new(budget);
        tracing::info!(key_exchange = key_exchange.name(), memory = memory.len(), "E2P v2 is on");
        let long = Arc::new(Semaphore::new(MAX_LONG));
        Self { key_exchange, sessions: Sessions::new(limits), memory, long }
    }

    /// The memory for messages of a new connection.
    pub(crate) fn of_connection(&self) -> Share {
        self.memory.of_peer()
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
    outer: &Outer,
    resource: &str,
    parts: Parts,
    body: Incoming,
) -> Response<OuterBody> {
    let origin = cors::allowed_origin(&parts.headers, &proxy.cors_origins);
    let mut response = if origin.is_some() && cors::is_preflight(&parts.method, &parts.headers) {
        cors::preflight()
    } else {
        match answer(proxy, service, outer, resource, parts, body).await {
            Ok(answer) => {
                let (status, cbor) = (StatusCode::OK, HeaderValue::from_static(CBOR));
                answers::answer(status, cbor, answers::NO_STORE, OuterBody::Timed(answer))
            }
            Err(refusal) => {
                if let Some(metrics) = &proxy.metrics.e2p_v2 {
                    metrics.refused(refusal);
                }
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
    outer: &Outer,
    resource: &str,
    parts: Parts,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let named = match resource {
        "session" => Ok(Resource::Session),
        "confirm" => Ok(Resource::Confirm),
        "request" => Ok(Resource::Request),
        _ => Err(Refusal::NotFound),
    };
    let is_cbor = is_cbor(&parts.headers);
    let named = named.and_then(|resource| match parts.method {
        Method::POST if !is_cbor => Err(Refusal::Protocol),
        Method::POST if body.size_hint().lower() > resource.max_body() as u64 => {
            Err(Refusal::TooLarge)
        }
        Method::POST => Ok(resource),
        _ => Err(Refusal::MethodNotAllowed),
    });
    let invites = parts.headers.contains_key(EXPECT);
    // A connection may have hundreds of heads whose bodies are waited for.
    drop(parts);
    let message = reading::read(proxy, service, &outer.messages, body, named, invites).await?;
    match named? {
        Resource::Session => establish::session(proxy, service, outer, &message).await,
        Resource::Confirm => confirm(proxy, service, outer, message),
        Resource::Request => request(proxy, service, outer, message).await,
    }
}

fn is_cbor(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let essence = one.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(CBOR.as_bytes())
}

/// Sealing, opening and the like on a long message, apart from the threads that serve connections, and
/// few at once.
async fn apart<T: Send + 'static>(
    service: &Service,
    len: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if len <= MAX_INLINE {
        return Ok(work());
    }
    let permit = service.long.clone().acquire_owned().await.map_err(|_| Refusal::Unavailable)?;
    let work = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    work.await.map_err(|_| Refusal::Unavailable)
}

fn confirm(
    proxy: &Proxy,
    service: &Service,
    outer: &Outer,
    mut message: Buffer,
) -> Result<Answer, Refusal> {
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let envelope = Envelope::decode(&message)?;
    // What can be refused without confirming the session is refused first.
    let room = Buffer::reserved(service.memory.place(&outer.messages), content::SMALL)?;
    let session = service.sessions.confirm(&envelope, &mut message)?;
    if let Some(metrics) = &proxy.metrics.e2p_v2 {
        metrics.confirmed.inc();
    }
    let content = Content::small(room, &session.keys.transcript_hash)?;
    let sealed = content.seal(&session, Message::Confirmation, envelope.sequence);
    Ok(Answer::new(sealed, proxy.limits.e2p_v2_timeout, None, None))
}

async fn request(
    proxy: &Proxy,
    service: &Service,
    outer: &Outer,
    mut message: Buffer,
) -> Result<Answer, Refusal> {
    let envelope = Envelope::decode(&message)?;
    let session = service.sessions.get(&envelope.session_id)?;
    // What can be refused without using the sequence up is refused first.
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let one = session.requests.clone().try_acquire_owned().map_err(|_| Refusal::Unavailable)?;
    let budget = proxy.budget.stream(Default::default()).ok_or(Refusal::Unavailable)?;
    let place = service.memory.place(&outer.messages).and(&session.memory);
    // An error must be told inside the channel even if there is no memory left then.
    let spare = Buffer::reserved(place.clone(), content::SMALL)?;
    let sequence = envelope.sequence;
    let (opening, len) = (session.clone(), message.len());
    let open = move || opening.open(&envelope, &mut message).map(|opened| (message, opened));
    let (message, opened) = apart(service, len, open).await??;
    let record = Record::begin(&proxy.metrics);
    if let Some(metrics) = &proxy.metrics.e2p_v2 {
        metrics.requests.inc();
    }
    record.received(message.len());

    let plaintext = Bytes::from_owner(message).slice(opened);
    let request = AppRequest::decode(&plaintext)?;
    let is_head = request.method == "HEAD";
    let binding = &session.keys.transcript_hash;
    let request = forward::app_request(proxy, &request, &plaintext, binding);
    // From now on it is held only until the app has it.
    drop(plaintext);
    let response = match request {
        Ok(request) => forward::forward(proxy, &place, request, is_head, &record).await,
        Err(error) => Err(error.into()),
    };
    let (content, outcome) = match response {
        Ok(content) => (content, Outcome::Complete),
        Err(failure) => {
            let (status, code) = failure.parts();
            (Content::small(spare, &inner::error(status, code))?, Outcome::Answered(code))
        }
    };
    let len = content.len();
    let seal = move || content.seal(&session, Message::Application, sequence);
    let sealed = apart(service, len, seal).await?;
    record.sent(sealed.len());
    record.ends(outcome);
    drop(one);
    Ok(Answer::new(sealed, proxy.limits.e2p_v2_timeout, Some(budget), None))
}
