//! The one session that a client's requests share: made once however many need it.

use crate::client::Inner;
use crate::early::Offer;
use crate::error::{Error, Stage};
use crate::exchange::OuterBody;
use crate::session::{Sending, Session};
use crate::transport::read_exact;
use crate::trusted::{self, Trusted};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use http::StatusCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use steve_protocol::handshake::{ClientHandshake, HandshakeError};

/// Time for evidence, and for a handshake.
pub(crate) const SETUP_TIMEOUT: Duration = Duration::from_secs(30);

type Establishing = BoxFuture<'static, Result<Arc<Session>, Error>>;

/// What a client keeps from request to request.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    trusted: Option<Arc<Trusted>>,
    session: Option<Arc<Session>>,
    /// Lives as long as somebody waits for it.
    establishing: Option<WeakShared<Establishing>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The current session, or a new one if there is none that is good for new streams.
    pub(crate) async fn session(self: &Arc<Self>, sending: Sending) -> Result<Arc<Session>, Error> {
        self.session_for(None, sending).await
    }

    /// The same; a new one is made with `offer` along with its handshake, unless that was given up
    /// by then.
    pub(crate) async fn session_for(
        self: &Arc<Self>,
        offer: Option<&Arc<Offer>>,
        sending: Sending,
    ) -> Result<Arc<Session>, Error> {
        let establishing = {
            let mut slots = self.sessions.lock();
            if let Some(session) = slots.session.as_ref().filter(|s| s.is_usable(sending)) {
                return Ok(session.clone());
            }
            slots.session = None;
            slots.establishing.as_ref().and_then(WeakShared::upgrade).unwrap_or_else(|| {
                let shared: Shared<Establishing> =
                    self.clone().establish(offer.map(Arc::downgrade)).boxed().shared();
                slots.establishing = shared.downgrade();
                shared
            })
        };
        establishing.await
    }

    async fn establish(self: Arc<Self>, offer: Option<Weak<Offer>>) -> Result<Arc<Session>, Error> {
        let result = self.try_establish(offer).await.map(Arc::new);
        let mut slots = self.sessions.lock();
        slots.establishing = None;
        slots.session = result.as_ref().ok().cloned();
        result
    }

    /// A handshake; with new evidence if the evidence at hand leads nowhere (SPEC.md, Section 13.4).
    async fn try_establish(self: &Arc<Self>, offer: Option<Weak<Offer>>) -> Result<Session, Error> {
        let known = self.sessions.lock().trusted.clone().filter(|trusted| trusted.is_valid());
        let trusted = match known {
            Some(trusted) => trusted,
            None => self.fetch_trusted().await?,
        };
        // A request that was given up meanwhile must not be sent because others wait for the session.
        let offer = offer.and_then(|offer| offer.upgrade());
        let first = match offer
            .as_deref()
            .filter(|offer| trusted.may_take_early() && offer.is_for(&trusted.enclave))
        {
            Some(offer) => self.early_handshake(trusted, offer).await,
            None => self.handshake(trusted).await,
        };
        match first {
            Err(error) if wants_new_evidence(&error) => {
                if let Some(offer) = offer {
                    offer.fail(error);
                }
                let trusted = self.fetch_trusted().await?;
                self.handshake(trusted).await
            }
            result => result,
        }
    }

    /// Fetches and appraises evidence, and keeps it for new sessions. Again, if the policy is replaced
    /// meanwhile.
    pub(crate) async fn fetch_trusted(&self) -> Result<Arc<Trusted>, Error> {
        loop {
            let rules = self.appraisal.rules();
            let fetching = Trusted::fetch(&self.transport, rules.clone(), self.appraisal.origin());
            let result = within(Stage::Evidence, fetching).await;
            if rules.are_replaced() {
                continue;
            }
            let trusted = Arc::new(result?);
            self.sessions.lock().trusted = Some(trusted.clone());
            return Ok(trusted);
        }
    }

    pub(crate) async fn handshake(&self, trusted: Arc<Trusted>) -> Result<Session, Error> {
        if !trusted.is_valid() {
            return Err(HandshakeError::EvidenceExpired.into());
        }
        within(Stage::Handshake, async {
            let mut rng = trusted::rng()?;
            let started_ms = trusted.clock.now_ms();
            let (handshake, hello) =
                ClientHandshake::start(&trusted.enclave, &self.suites, started_ms, &mut rng)?;
            let body = OuterBody::whole(hello.into());
            let answer = self.transport.stream(body, &trusted.route, Stage::Handshake).await?;
            let len = handshake.server_hello_len();
            let server_hello = read_exact(answer, len, Stage::Handshake).await?;
            let session = handshake.finish(&server_hello, trusted.clock.now_ms())?;
            Ok(Session::new(session, trusted, started_ms, false))
        })
        .await
    }
}

async fn within<T>(
    stage: Stage,
    doing: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let after = SETUP_TIMEOUT;
    tokio::time::timeout(after, doing).await.unwrap_or(Err(Error::Timeout { stage, after }))
}

/// True when the enclave may have been restarted, has changed its keys since it was verified, or is
/// shutting down.
pub(crate) fn wants_new_evidence(error: &Error) -> bool {
    match error {
        Error::Outer { status, .. } if *status == StatusCode::UNPROCESSABLE_ENTITY => true,
        Error::Handshake(error) => *error == HandshakeError::EvidenceExpired,
        _ => is_unavailable(error),
    }
}

/// True when an intermediary does not reach the enclave, or it serves nobody now.
pub(crate) fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Outer { status, .. } if (502..=504).contains(&status.as_u16()))
}
