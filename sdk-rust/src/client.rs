use crate::body::Body;
use crate::builder::ClientBuilder;
use crate::early::{Before, Early, Offer, Went};
use crate::error::{BoxError, Error, Stage};
use crate::exchange::{self, Failed, Prepared, Ticket};
use crate::idempotency::Reach;
use crate::origin::Origin;
use crate::request::RequestBuilder;
use crate::request_body::RequestBody;
use crate::retry::{self, Attempt, Decision, Idempotent};
use crate::session::Sending;
use crate::sessions::Sessions;
use crate::transport::Transport;
use crate::trusted::Appraisal;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use steve_protocol::evidence::{Policy, VerifiedEnclave};
use steve_protocol::shaping::Shaping;
use steve_protocol::suite::Suite;

/// Sessions tried for one stream: they can end while a request waits for its turn.
const MAX_SESSIONS: usize = 8;

/// Sends HTTP requests to an app inside an enclave, after verifying that it is the right one.
///
/// A client keeps one verified enclave and one session, renews them when that is due, and carries
/// any number of concurrent requests. Cloning it is cheap, and clones share all of that.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) origin: Origin,
    pub(crate) transport: Transport,
    pub(crate) appraisal: Appraisal,
    pub(crate) suites: Vec<Suite>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) early_data: bool,
    pub(crate) shaping: Shaping,
    pub(crate) sessions: Sessions,
}

impl Client {
    /// A client for the app behind `url`, an origin such as `https://app.example.com`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    /// The service's origin.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// Fetches fresh evidence and appraises it, whether or not there is evidence that still holds.
    ///
    /// New sessions use it from now on. Its report says what was checked and what is not proven.
    pub async fn verify(&self) -> Result<VerifiedEnclave, Error> {
        let mut number = 1;
        loop {
            let error = match self.inner.fetch_trusted().await {
                Ok(trusted) => return Ok(trusted.enclave.clone()),
                Err(error) => error,
            };
            let attempt = Attempt { number, sent: false, repeatable: true, replayable: true };
            match retry::decide(attempt, &error) {
                Decision::Fail => return Err(error),
                Decision::RetryAfter(delay) => tokio::time::sleep(delay).await,
            }
            number += 1;
        }
    }

    /// Replaces the policy of this client and its clones. Nothing is sent. A signed policy is not
    /// replaced by an older one of its namespace: callers that load policies at the same time need not
    /// agree on who comes last.
    ///
    /// Requests from now on go to an enclave that was verified under the new policy; those that have
    /// begun come to their end under the old one.
    pub fn update_policy(&self, policy: Policy) {
        self.inner.appraisal.replace_policy(policy);
    }

    /// The value by which the app knows this client's session (the field `steve-session`), in
    /// base64url without padding. Establishes a session if there is none.
    ///
    /// It is a secret between client and app, and changes with every session.
    pub async fn session_binding(&self) -> Result<String, Error> {
        let session = self.inner.session(Sending::Repeatable).await?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode(session.core.binding()))
    }

    /// Sends a request; gives the response as soon as its head is there.
    ///
    /// The URI is a path, or an absolute URI of the client's origin. The request is sent again, at
    /// most twice, only if its body is not a stream, and the enclave certainly did not hand it to the
    /// app; or its method is safe (GET, HEAD, OPTIONS, TRACE) or it carries [`Idempotent`] or an
    /// [`IdempotencyKey`](crate::IdempotencyKey). Only the
    /// setup before it, which sends nothing of it, is repeated for any request. To go along with a
    /// handshake counts as being sent, also when the enclave rejects that.
    ///
    /// The response may come while the body is still being sent; that then goes on as long as the
    /// response is being read. With the field `expect: 100-continue` the body is held back until the
    /// app has sent an informational 100 or a response with success, or 1 second has passed; after
    /// any other response it is never asked for, and the request is reset when the response is over.
    ///
    /// The first request of a session goes along with its handshake if its method is safe; see
    /// [`Early`].
    ///
    /// With [`Shaping`] in its extensions it is padded otherwise than
    /// [`ClientBuilder::padding`] says.
    ///
    /// Informational responses go to [`OnInformational`](crate::OnInformational).
    ///
    /// Dropping the future cancels the exchange.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let body = RequestBody::new(body);
        // Not idempotent methods: the original may come after requests sent later (SPEC.md, 13.4).
        let repeatable = parts.method.is_safe() || parts.extensions.get::<Idempotent>().is_some();
        let mut reach = Reach::new(parts.extensions.get(), repeatable);
        let sending = reach.sending(repeatable);
        let early = match parts.extensions.get::<Early>() {
            Some(Early(early)) => *early,
            None => self.inner.early_data && parts.method.is_safe(),
        };
        parts.extensions.get_or_insert(self.inner.shaping);
        let prepared = Prepared::new(&self.inner.origin, parts, &body)?;
        let exchange = self.inner.send(&prepared, body, sending, early, &mut reach);
        match self.inner.request_timeout {
            None => exchange.await,
            Some(after) => match tokio::time::timeout(after, exchange).await {
                Ok(answered) => answered,
                Err(_) => Err(reach.give_up(Error::Timeout { stage: Stage::Request, after })),
            },
        }
    }

    /// Begins a request with the method and path (or absolute URI) given.
    pub fn method(&self, method: Method, uri: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, uri)
    }

    /// Begins a GET request.
    pub fn get(&self, uri: &str) -> RequestBuilder {
        self.method(Method::GET, uri)
    }

    /// Begins a POST request.
    pub fn post(&self, uri: &str) -> RequestBuilder {
        self.method(Method::POST, uri)
    }

    /// Begins a PUT request.
    pub fn put(&self, uri: &str) -> RequestBuilder {
        self.method(Method::PUT, uri)
    }

    /// Begins a DELETE request.
    pub fn delete(&self, uri: &str) -> RequestBuilder {
        self.method(Method::DELETE, uri)
    }
}

impl Inner {
    async fn send(
        self: &Arc<Self>,
        prepared: &Prepared,
        mut body: RequestBody,
        sending: Sending,
        early: bool,
        reach: &mut Reach,
    ) -> Result<Response<Body>, Error> {
        let mut number = 1;
        let mut offer = early.then(|| Offer::new(prepared, &body, reach.only())).flatten();
        loop {
            // Once: whatever became of it, the next attempt is a stream.
            let mut instance = None;
            let early = match offer.take() {
                Some(offer) => {
                    reach.try_early(&offer);
                    let went = self.early(&offer, prepared, sending).await;
                    instance = offer.instance();
                    reach.tried();
                    went
                }
                None => Ok(Went::AsStream(Before::NotSent)),
            };
            if let Ok(Went::AsStream(before @ (Before::Rejected | Before::Unknown(_)))) = &early {
                number += 1;
                if let (Before::Unknown(error), Some(instance)) = (before, instance) {
                    reach.may_be_executed(instance, error);
                }
            }
            let (Failed { error, sent }, again) = match early {
                Ok(Went::Answered(response)) => return Ok(response),
                Err(failed) => (failed, Some(body)),
                Ok(Went::AsStream(_)) => match self.ticket(sending).await {
                    Err(error) => (Failed { error, sent: false }, Some(body)),
                    Ok(ticket) => {
                        let of_session = ticket.session.trusted.enclave.instance();
                        reach.check(of_session)?;
                        instance = Some(of_session);
                        let again = body.replay();
                        reach.try_stream(of_session);
                        let attempt = self.attempt(ticket, prepared, body).await;
                        reach.tried();
                        match attempt {
                            Ok(response) => return Ok(response),
                            Err(failed) => (failed, again),
                        }
                    }
                },
            };
            if let Some(instance) = instance.filter(|_| sent && !error.is_not_dispatched()) {
                reach.may_be_executed(instance, &error);
            }
            let repeatable = sending == Sending::Repeatable;
            let attempt = Attempt { number, sent, repeatable, replayable: again.is_some() };
            match (retry::decide(attempt, &error), again) {
                (Decision::RetryAfter(delay), Some(again)) => {
                    tokio::time::sleep(delay).await;
                    body = again;
                    number += 1;
                }
                _ => return Err(reach.conclude(error)),
            }
        }
    }

    async fn attempt(
        &self,
        ticket: Ticket,
        prepared: &Prepared,
        body: RequestBody,
    ) -> Result<Response<Body>, Failed> {
        exchange::attempt(&self.transport, ticket, prepared, body, self.idle_timeout).await
    }

    /// Opens a stream on a session that is good for it.
    pub(crate) async fn ticket(self: &Arc<Self>, sending: Sending) -> Result<Ticket, Error> {
        for _ in 0..MAX_SESSIONS {
            let session = self.session(sending).await?;
            let Some(permit) = session.permit(sending).await else { continue };
            if let Some((stream, opening)) = session.open_stream(sending) {
                return Ok(Ticket { session, stream, opening, permit });
            }
            session.end();
        }
        let reason = "its sessions end before they can be used";
        Err(Error::NotSteve { stage: Stage::Handshake, reason })
    }
}

impl<B> tower_service::Service<Request<B>> for Client
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.request(request).await })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("origin", &self.inner.origin.to_string()).finish()
    }
}
