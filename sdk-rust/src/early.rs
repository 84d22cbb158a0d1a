//! Requests that go along with a handshake (SPEC.md, Section 12).

use crate::body::Body;
use crate::client::Inner;
use crate::error::{Error, Stage};
use crate::exchange::{self, Failed, Notice, OuterBody, Prepared};
use crate::request_body::{Kind, RequestBody};
use crate::session::{Sending, Session};
use crate::sessions::{is_unavailable, wants_new_evidence};
use crate::transport::{read_first, read_nothing};
use crate::trusted::{self, Trusted};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use hyper::body::Incoming;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use steve_protocol::evidence::VerifiedEnclave;
use steve_protocol::handshake::{EarlyHandshake, EarlyOutcome};
use steve_protocol::key_config::Instance;
use steve_protocol::shaping::Shaping;
use steve_protocol::stream::{MessageOpener, MessageSealer, Request, SealError};
use tokio::sync::OwnedSemaphorePermit;

/// Largest head and largest body that are sent early, in bytes: a request that is rejected is sent
/// twice.
const MAX_EARLY_LEN: usize = 16 * 1024;
/// How long other requests wait for the session of an early one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Put into the extensions of a request: whether it may go along with the handshake, if it is the
/// first one of a session. Without it, that is done for safe methods (GET, HEAD, OPTIONS, TRACE), unless
/// [`ClientBuilder::early_data`](crate::ClientBuilder::early_data) says otherwise.
///
/// It saves a round trip and has a price. Until the enclave has erased its keys (about an hour, with
/// the proxy's defaults) whoever gets hold of them can decrypt the request, but never the response.
/// And until then the host can hold the request back and deliver it late; the enclave executes it once
/// at most. So for other methods the caller promises that no harm is done when the request is executed
/// late, after the client was told that it failed.
///
/// Requests with a body of more than 16 KiB, with a body that is a stream, or with `expect:
/// 100-continue` are never sent early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Early(pub bool);

/// A request that goes along with a handshake, if its sender is the one who has to make it.
pub(crate) struct Offer {
    head: Bytes,
    body: Bytes,
    shaping: Shaping,
    outcome: Mutex<Outcome>,
    /// A byte of it may have left the client.
    sent: Arc<AtomicBool>,
    /// The only enclave process that it may be sent to.
    only: Option<Instance>,
    /// The one that it was sent to.
    instance: OnceLock<Instance>,
}

/// What became of a request that was to go along with a handshake.
pub(crate) enum Went {
    Answered(Response<Body>),
    /// It is to be sent as a stream of the session that there is now.
    AsStream(Before),
}

/// What became of it with the handshake.
pub(crate) enum Before {
    NotSent,
    /// It was sent, and certainly not dispatched.
    Rejected,
    /// Nobody knows.
    Unknown(Error),
}

/// What became of an [`Offer`].
enum Outcome {
    /// It goes with no handshake, or nobody knows yet what came of it.
    Open,
    /// The ServerHello is late; it is only waited for by the sender of the request.
    Late(Answering),
    /// It is being served as stream 0.
    Accepted(Box<Accepted>),
    /// It was not dispatched, and never will be.
    Rejected,
    /// Nobody knows; the session was made without it.
    Failed(Error),
}

/// The response to an early request, as far as it is there.
pub(crate) struct Accepted {
    pub(crate) opener: MessageOpener<steve_protocol::stream::Response>,
    /// What came with the ServerHello.
    pub(crate) rest: Bytes,
    pub(crate) answer: Incoming,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The session of a handshake, and its early request unless that is rejected.
type Answered = (Session, Option<Box<Accepted>>);

type Answering = BoxFuture<'static, Result<Answered, Error>>;

impl Offer {
    /// None for a request that is too large, or not at hand.
    pub(crate) fn new(
        prepared: &Prepared,
        body: &RequestBody,
        only: Option<Instance>,
    ) -> Option<Arc<Self>> {
        let Kind::Complete(body) = &body.0 else { return None };
        let small = prepared.head().len().max(body.len()) <= MAX_EARLY_LEN;
        (small && !prepared.expects_continue()).then(|| {
            let (head, body) = (prepared.head().clone(), body.clone());
            let (outcome, sent) = (Mutex::new(Outcome::Open), Arc::default());
            let shaping = prepared.shaping();
            Arc::new(Self { head, body, shaping, outcome, sent, only, instance: OnceLock::new() })
        })
    }

    /// True if it may be sent there.
    pub(crate) fn is_for(&self, enclave: &VerifiedEnclave) -> bool {
        self.only.is_none_or(|only| only == enclave.instance())
    }

    /// The enclave process that it may have been sent to.
    pub(crate) fn instance(&self) -> Option<Instance> {
        self.instance.get().copied()
    }

    /// ClientHello and request.
    fn seal(&self, hello: &[u8], mut sealer: MessageSealer<Request>) -> Result<Bytes, SealError> {
        let mut out = BytesMut::from(hello);
        sealer.set_shaping(self.shaping);
        sealer.head(&self.head, self.body.is_empty(), &mut out)?;
        if !self.body.is_empty() {
            sealer.data(&self.body, true, &mut out)?;
            sealer.settle(&mut out)?;
        }
        Ok(out.freeze())
    }

    /// Notes that the session is to be made without the request, if that was sent.
    pub(crate) fn fail(&self, error: Error) {
        let mut outcome = self.lock();
        let unknown = match &*outcome {
            Outcome::Open => self.was_sent(),
            // The new session may be with another enclave, and shows nothing about this one.
            Outcome::Late(_) => is_unavailable(&error),
            _ => false,
        };
        if unknown {
            *outcome = Outcome::Failed(error);
        }
    }

    /// False when certainly no byte of it has left the client.
    fn was_sent(&self) -> bool {
        self.sent.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sends `offer` if a session has to be made for it.
    pub(crate) async fn early(
        self: &Arc<Self>,
        offer: &Arc<Offer>,
        prepared: &Prepared,
        sending: Sending,
    ) -> Result<Went, Failed> {
        let session = self.session_for(Some(offer), sending).await;
        let outcome = mem::replace(&mut *offer.lock(), Outcome::Open);
        let failed = |error| Failed { error, sent: offer.was_sent() };
        let repeatable = sending == Sending::Repeatable;
        let (session, accepted) = match (outcome, session) {
            (Outcome::Late(answering), session) => {
                let answered = match session {
                    Ok(_) => answering.await,
                    // Nothing shows that anybody is at the other end.
                    Err(error) => answering.now_or_never().ok_or_else(|| failed(error))?,
                };
                match answered {
                    Ok((session, Some(accepted))) => (Arc::new(session), accepted),
                    Ok((_, None)) => return Ok(Went::AsStream(Before::Rejected)),
                    Err(error) if repeatable && wants_new_evidence(&error) => {
                        return Ok(Went::AsStream(Before::Unknown(error)));
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
            (Outcome::Accepted(accepted), Ok(session)) => (session, accepted),
            (Outcome::Failed(error), Ok(_)) if !repeatable => return Err(failed(error)),
            (Outcome::Failed(error), Ok(_)) => {
                return Ok(Went::AsStream(Before::Unknown(error)));
            }
            (_, Ok(_)) if offer.was_sent() => return Ok(Went::AsStream(Before::Rejected)),
            (_, Ok(_)) => return Ok(Went::AsStream(Before::NotSent)),
            (_, Err(error)) => return Err(failed(error)),
        };
        let request_bytes = offer.body.len();
        exchange::early_answer(session, *accepted, prepared, request_bytes, self.idle_timeout)
            .await
            .map(Went::Answered)
    }

    /// A handshake with the request of `offer` behind its ClientHello, or without it if the answer is
    /// late: whoever holds answers back until they are complete holds the ServerHello back too.
    pub(crate) async fn early_handshake(
        self: &Arc<Self>,
        trusted: Arc<Trusted>,
        offer: &Offer,
    ) -> Result<Session, Error> {
        let mut rng = trusted::rng()?;
        let started_ms = trusted.clock.now_ms();
        let (handshake, hello, sealer) =
            EarlyHandshake::start(&trusted.enclave, &self.suites, started_ms, &mut rng)?;
        let bytes = offer.seal(&hello, sealer)?;
        offer.instance.get_or_init(|| trusted.enclave.instance());
        let body = OuterBody::Whole { bytes, notice: Notice::Early(offer.sent.clone()) };
        let exchange = self.clone().early_exchange(trusted.clone(), handshake, body, started_ms);
        let mut answering = exchange.boxed();
        match tokio::time::timeout(PATIENCE, &mut answering).await {
            Ok(answered) => {
                let (session, accepted) = answered?;
                *offer.lock() = accepted.map_or(Outcome::Rejected, Outcome::Accepted);
                Ok(session)
            }
            Err(_late) => {
                trusted.rejects_early();
                *offer.lock() = Outcome::Late(answering);
                self.handshake(trusted).await
            }
        }
    }

    async fn early_exchange(
        self: Arc<Self>,
        trusted: Arc<Trusted>,
        handshake: EarlyHandshake,
        body: OuterBody,
        started_ms: u64,
    ) -> Result<Answered, Error> {
        let stage = Stage::Handshake;
        let mut answer = self.transport.stream(body, &trusted.route, stage).await?;
        let len = handshake.server_hello_len();
        let (server_hello, rest) = read_first(&mut answer, len, stage).await?;
        let EarlyOutcome { session, response } =
            handshake.finish(&server_hello, trusted.clock.now_ms())?;
        let session = Session::new(session, trusted.clone(), started_ms, response.is_some());
        let Some(opener) = response else {
            trusted.rejects_early();
            // It is authentic as it is: whoever holds back the end of the answer gains nothing.
            let end = read_nothing(rest, answer, stage);
            let _ = tokio::time::timeout(PATIENCE, end).await;
            return Ok((session, None));
        };
        let reason = "it allows no streams";
        let permit =
            session.permit(Sending::Repeatable).await.ok_or(Error::NotSteve { stage, reason })?;
        Ok((session, Some(Box::new(Accepted { opener, rest, answer, permit }))))
    }
}
