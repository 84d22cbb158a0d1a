//! Requests that go along with a handshake (SPEC.md, Section 12).

use crate::body::Body;
use crate::client::Inner;
use crate::error::{Error, Stage};
use crate::exchange::{self, Failed, OuterBody, Prepared};
use crate::request_body::{Kind, RequestBody};
use crate::session::Session;
use crate::sessions::wants_new_evidence;
use crate::transport::{read_first, read_nothing};
use crate::trusted::{self, Trusted};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use hyper::body::Incoming;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steve_protocol::handshake::{EarlyHandshake, EarlyOutcome};
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
}

/// What became of an [`Offer`].
enum Outcome {
    /// Nothing of it has left the client.
    NotSent,
    /// It may have.
    Sent,
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
    pub(crate) fn new(prepared: &Prepared, body: &RequestBody) -> Option<Arc<Self>> {
        let Kind::Complete(body) = &body.0 else { return None };
        let small = prepared.head().len().max(body.len()) <= MAX_EARLY_LEN;
        (small && !prepared.expects_continue()).then(|| {
            let (head, body) = (prepared.head().clone(), body.clone());
            let outcome = Mutex::new(Outcome::NotSent);
            Arc::new(Self { head, body, shaping: prepared.shaping(), outcome })
        })
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
        if matches!(*outcome, Outcome::Sent) {
            *outcome = Outcome::Failed(error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sends `offer` if a session has to be made for it. None when the request is to be sent as a
    /// stream of the session that there is now.
    pub(crate) async fn early(
        self: &Arc<Self>,
        offer: &Arc<Offer>,
        prepared: &Prepared,
        repeatable: bool,
    ) -> Result<Option<Response<Body>>, Failed> {
        let session = self.session_for(Some(offer)).await;
        let outcome = mem::replace(&mut *offer.lock(), Outcome::NotSent);
        let unknown = |error| Failed { error, sent: true };
        let (session, accepted) = match (outcome, session) {
            (Outcome::Late(answering), session) => {
                let answered = match session {
                    Ok(_) => answering.await,
                    // Nothing shows that anybody is at the other end.
                    Err(error) => answering.now_or_never().ok_or_else(|| unknown(error))?,
                };
                match answered {
                    Ok((session, Some(accepted))) => (Arc::new(session), accepted),
                    Ok((_, None)) => return Ok(None),
                    Err(error) if repeatable && wants_new_evidence(&error) => return Ok(None),
                    Err(error) => return Err(unknown(error)),
                }
            }
            (Outcome::Accepted(accepted), Ok(session)) => (session, accepted),
            (Outcome::Failed(error), Ok(_)) if !repeatable => return Err(unknown(error)),
            (_, Ok(_)) => return Ok(None),
            (Outcome::NotSent, Err(error)) => return Err(Failed { error, sent: false }),
            (_, Err(error)) => return Err(unknown(error)),
        };
        let request_bytes = offer.body.len();
        exchange::early_answer(session, *accepted, prepared, request_bytes, self.idle_timeout)
            .await
            .map(Some)
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
        let body = offer.seal(&hello, sealer)?;
        *offer.lock() = Outcome::Sent;
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
        body: Bytes,
        started_ms: u64,
    ) -> Result<Answered, Error> {
        let stage = Stage::Handshake;
        let mut answer = self.transport.stream(OuterBody::whole(body), stage).await?;
        let len = handshake.server_hello_len();
        let (server_hello, rest) = read_first(&mut answer, len, stage).await?;
        let EarlyOutcome { session, response } =
            handshake.finish(&server_hello, trusted.clock.now_ms())?;
        let session = Session::new(session, trusted.clone(), started_ms, response.is_some());
        let Some(opener) = response else {
            trusted.rejects_early();
            read_nothing(rest, answer, stage).await?;
            return Ok((session, None));
        };
        let reason = "it allows no streams";
        let permit = session.permit().await.ok_or(Error::NotSteve { stage, reason })?;
        Ok((session, Some(Box::new(Accepted { opener, rest, answer, permit }))))
    }
}
