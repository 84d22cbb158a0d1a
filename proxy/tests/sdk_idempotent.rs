//! Requests of the SDK with an idempotency key, through a host that misbehaves (row 8).
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::outer::{self, Body};
use common::{Fixture, STREAM, app};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steve_proxy::attester::{AttestError, Attester, DevAttester};
use steve_sdk::{Client, ClientBuilder, Error, IdempotencyKey, UnknownOutcome};

/// What the host does with one stream.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Delivers it and forges the answer.
    Forge(u16),
    /// Delivers it and breaks the connection in the middle of the answer.
    Cut,
    /// Delivers it and ends the answer before its first frame.
    Swallow,
    /// Forges an answer and keeps it for later.
    Hold,
    /// Delivers it and never answers.
    Silence,
    /// Delivers it, forges an answer, and from then on leads to another enclave.
    Divert,
}

struct Host {
    target: Mutex<SocketAddr>,
    other: SocketAddr,
    plan: Mutex<VecDeque<Fate>>,
    held: Mutex<Vec<Bytes>>,
}

impl Host {
    async fn start(target: SocketAddr, other: SocketAddr) -> (Arc<Self>, SocketAddr) {
        let (plan, held) = Default::default();
        let host = Arc::new(Self { target: Mutex::new(target), other, plan, held });
        let shared = host.clone();
        let address = app::serve(move |request| shared.clone().forward(request)).await;
        (host, address)
    }

    fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        self.plan.lock().unwrap().extend(fates);
    }

    async fn forward(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        // A StreamOpen, or a ClientHello with early data.
        let is_request = body.first() == Some(&2) || (body.len() > 2350 && body[5] == 1);
        let fate = is_request.then(|| self.plan.lock().unwrap().pop_front()).flatten();
        if let Some(Fate::Hold) = fate {
            self.held.lock().unwrap().push(body);
            return forged(503);
        }
        let target = *self.target.lock().unwrap();
        let outer = Request::builder().method(parts.method).uri(parts.uri);
        let answer = outer::send(target, outer.body(outer::whole(body)).unwrap()).await;
        let answer = outer::collect(answer).await;
        match fate {
            Some(Fate::Forge(status)) => forged(status),
            Some(Fate::Cut) => {
                let frames = [
                    Ok(Frame::data(answer.body.slice(..answer.body.len() / 2))),
                    Err(std::io::Error::other("cut")),
                ];
                let frames = futures_util::stream::iter(frames);
                Response::new(StreamBody::new(frames).boxed_unsync())
            }
            Some(Fate::Swallow) => app::text(""),
            Some(Fate::Silence) => std::future::pending().await,
            Some(Fate::Divert) => {
                *self.target.lock().unwrap() = self.other;
                forged(422)
            }
            Some(Fate::Hold) | None => {
                let mut response = app::text(answer.body);
                *response.status_mut() = answer.status;
                response
            }
        }
    }
}

fn forged(status: u16) -> Response<Body> {
    let mut response = app::text(r#"{"error":"unavailable"}"#);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

/// Both enclaves are genuine.
#[derive(Clone)]
struct Shared(Arc<Mutex<DevAttester>>);

impl Attester for Shared {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        self.0.lock().unwrap().attest(user_data, nonce)
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        Ok(None)
    }

    fn name(&self) -> &'static str {
        "dangerous-development"
    }
}

struct Scene {
    executed: Arc<AtomicUsize>,
    proxy: Fixture,
    _other: Fixture,
    host: Arc<Host>,
    address: SocketAddr,
    client: Client,
}

async fn scene() -> Scene {
    let executed = Arc::new(AtomicUsize::new(0));
    let count = executed.clone();
    let app = app::serve(move |_| {
        let number = count.fetch_add(1, SeqCst) + 1;
        async move { app::text(format!("execution {number}")) }
    });
    let app = app.await;
    let mut attester = None;
    let proxy = Fixture::with_attester(
        app,
        |_| (),
        |own| {
            let shared = Shared(Arc::new(Mutex::new(own)));
            attester = Some(shared.clone());
            Box::new(shared)
        },
    );
    let proxy = proxy.await;
    let attester = attester.unwrap();
    let other = Fixture::with_attester(app, |_| (), |_| Box::new(attester)).await;
    let (host, address) = Host::start(proxy.address, other.address).await;
    let client = proxy.sdk_at(address, |builder| builder);
    Scene { executed, proxy, _other: other, host, address, client }
}

async fn pay(client: &Client, key: &IdempotencyKey, early: bool) -> Result<String, Error> {
    let request = client.post("/pay").body("1 euro").early(early).idempotency_key(key.clone());
    let response = request.send().await?;
    response.into_body().text().await
}

#[tokio::test]
async fn row_08_whatever_is_forged_or_lost_a_keyed_post_is_executed_once() {
    for early in [false, true] {
        for fate in [Fate::Forge(503), Fate::Forge(422), Fate::Swallow, Fate::Hold] {
            let scene = scene().await;
            let key = IdempotencyKey::random().unwrap();
            scene.host.plan([fate]);
            let mut answer = pay(&scene.client, &key, early).await;
            if early && matches!(fate, Fate::Swallow) {
                // Without a ServerHello nothing is repeated, but the error does not hide that.
                assert!(matches!(answer, Err(Error::OutcomeUnknown { .. })), "{answer:?}");
                answer = pay(&scene.client, &key, early).await;
            }
            assert_eq!(answer.unwrap(), "execution 1", "{fate:?} {early}");
            assert_eq!(scene.executed.load(SeqCst), 1, "{fate:?} {early}");
            let held = std::mem::take(&mut *scene.host.held.lock().unwrap());
            for copy in held {
                outer::call(scene.proxy.address, "POST", STREAM, copy).await;
            }
            assert_eq!(pay(&scene.client, &key, early).await.unwrap(), "execution 1");
            assert_eq!(scene.executed.load(SeqCst), 1, "{fate:?} {early}: released late");
        }
    }
}

#[tokio::test]
async fn row_08_without_a_key_the_same_is_an_error() {
    for fate in [Fate::Forge(503), Fate::Forge(422), Fate::Cut, Fate::Swallow] {
        let scene = scene().await;
        scene.host.plan([fate]);
        let sent = scene.client.post("/pay").body("1 euro").send().await;
        let text = match sent {
            Ok(response) => response.into_body().text().await,
            Err(error) => Err(error),
        };
        text.unwrap_err();
        assert_eq!(scene.executed.load(SeqCst), 1, "{fate:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_cut_off_can_be_asked_for_again() {
    let scene = scene().await;
    let key = IdempotencyKey::random().unwrap();
    scene.host.plan([Fate::Cut, Fate::Cut, Fate::Cut]);
    let mut answer = pay(&scene.client, &key, false).await;
    for _ in 0..3 {
        if answer.is_err() {
            answer = pay(&scene.client, &key, false).await;
        }
    }
    assert_eq!(answer.unwrap(), "execution 1");
    assert_eq!(scene.executed.load(SeqCst), 1);
}

#[tokio::test]
async fn row_08_another_instance_does_not_get_what_one_may_have_executed() {
    for early in [false, true] {
        let scene = scene().await;
        let key = IdempotencyKey::random().unwrap();
        let first = scene.client.verify().await.unwrap().instance();
        scene.host.plan([Fate::Divert]);
        let error = pay(&scene.client, &key, early).await.unwrap_err();
        let Error::OutcomeUnknown { reason, instance, .. } = &error else { panic!("{error}") };
        assert_eq!((*reason, *instance), (UnknownOutcome::OtherInstance, first));
        assert_eq!(scene.executed.load(SeqCst), 1, "{early}");
        // An application that was restarted knows no more than the key and the instance.
        let kept = IdempotencyKey::from_bytes(*key.as_bytes()).for_instance(*instance);
        let error = pay(&scene.client, &kept, early).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
        assert_eq!(scene.executed.load(SeqCst), 1, "{early}");
        // Without anything unknown about it a request goes where there is an enclave.
        let new = IdempotencyKey::random().unwrap();
        assert_eq!(pay(&scene.client, &new, early).await.unwrap(), "execution 2");
        *scene.host.target.lock().unwrap() = scene.proxy.address;
        scene.client.verify().await.unwrap();
        let back = scene.proxy.sdk_at(scene.address, |builder| builder);
        assert_eq!(pay(&back, &kept, early).await.unwrap(), "execution 1");
        assert_eq!(scene.executed.load(SeqCst), 2);
    }
}

#[tokio::test]
async fn when_nobody_answers_the_error_says_that_the_outcome_is_unknown() {
    let scene = scene().await;
    let key = IdempotencyKey::random().unwrap();
    scene.host.plan([Fate::Forge(503); 3]);
    let error = pay(&scene.client, &key, false).await.unwrap_err();
    let Error::OutcomeUnknown { reason, .. } = &error else { panic!("{error}") };
    assert_eq!(*reason, UnknownOutcome::NoAnswer);
    assert!(error.is_transport() && !error.is_not_dispatched());
    assert!(error.to_string().contains("nobody knows"), "{error}");
    assert_eq!(pay(&scene.client, &key, false).await.unwrap(), "execution 1");
    assert_eq!(scene.executed.load(SeqCst), 1);
}

#[tokio::test]
async fn a_request_to_upgrade_cannot_have_a_key() {
    let scene = scene().await;
    let key = IdempotencyKey::random().unwrap();
    let request = Request::get("/").header("upgrade", "websocket").extension(key).body(()).unwrap();
    let error = scene.client.upgrade(request).await.err().unwrap();
    assert!(error.to_string().contains("idempotency key"), "{error}");
}

#[tokio::test]
async fn row_08_connection_takes_no_key_away() {
    let scene = scene().await;
    scene.host.plan([Fate::Cut]);
    let key = IdempotencyKey::random().unwrap();
    let request = scene.client.post("/pay").header("connection", "steve-idempotency-key");
    let answer = request.body("1 euro").idempotency_key(key).send().await.unwrap();
    assert_eq!(answer.into_body().text().await.unwrap(), "execution 1");
    assert_eq!(scene.executed.load(SeqCst), 1);
}

#[tokio::test]
async fn row_08_what_is_given_up_names_where_it_may_have_been_executed() {
    for early in [false, true] {
        let scene = scene().await;
        let hasty = |builder: ClientBuilder| builder.request_timeout(Duration::from_secs(2));
        let client = scene.proxy.sdk_at(scene.address, hasty);
        scene.host.plan([Fate::Silence]);
        let key = IdempotencyKey::random().unwrap();
        let error = pay(&client, &key, early).await.unwrap_err();
        let Error::OutcomeUnknown { reason, instance, cause } = &error else { panic!("{error}") };
        assert_eq!(*reason, UnknownOutcome::NoAnswer);
        assert!(matches!(cause.as_deref(), Some(Error::Timeout { .. })), "{error:?}");
        assert_eq!(scene.executed.load(SeqCst), 1, "{early}");
        let again = key.for_instance(*instance);
        assert_eq!(pay(&client, &again, early).await.unwrap(), "execution 1");
        assert_eq!(scene.executed.load(SeqCst), 1, "{early}");
    }
}
