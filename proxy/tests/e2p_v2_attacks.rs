//! Peers of E2P v2 that try to keep others from it.
#![cfg(all(feature = "dangerous-dev-attester", feature = "e2p-v2"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::v2::{Client, encode, field, get, on, post, request, session_request};
use common::{EVIDENCE, Fixture, app, eventually, outer};
use http::{Request, Response};
use hyper::body::Incoming;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use steve_protocol::suite::{Kem, Suite};
use steve_proxy::Config;
use steve_proxy::attester::{AttestError, Attester, DevAttester};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

/// So little memory that a session gets 5.4 MiB of it, and all of them 8.7 MiB.
fn small(config: &mut Config) {
    on(config);
    config.limits.memory_budget = 64 << 20;
    config.limits.linger_time = Duration::from_millis(10);
}

type Pieces = mpsc::Sender<std::io::Result<Bytes>>;

/// Begins to send a message, over a connection of its own.
async fn begin(proxy: &Fixture, beginning: Vec<u8>) -> (Pieces, JoinHandle<Response<Incoming>>) {
    let (pieces, body) = outer::channel();
    let sending = Request::post("/e2p/v2/request").header("content-type", "application/cbor");
    let sending = outer::send(proxy.address, sending.body(body).unwrap());
    pieces.send(Ok(beginning.into())).await.unwrap();
    (pieces, tokio::spawn(sending))
}

#[tokio::test]
async fn a_session_that_is_not_there_is_refused_at_once() {
    let proxy = Fixture::with(app::echo().await, small).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let stranger = Client { id: [9; 16], ..client };
    let (_more, answer) = begin(&proxy, stranger.envelope(1, 1, &[0; 100])[..60].to_vec()).await;
    assert_eq!(answer.await.unwrap().status(), 401);
}

#[tokio::test]
async fn little_is_held_before_the_session_is_named() {
    let proxy = Fixture::with(app::echo().await, small).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let last = |sequence, request: &[u8]| {
        let envelope = client.envelope(1, sequence, request);
        let (id, sealed) = (field(&envelope, "session_id"), field(&envelope, "ciphertext"));
        encode(|out| {
            out.map(4).unwrap().str("version").unwrap().u8(2).unwrap();
            out.str("ciphertext").unwrap().bytes(&sealed).unwrap();
            out.str("sequence").unwrap().bytes(&field(&envelope, "sequence")).unwrap();
            out.str("session_id").unwrap().bytes(&id).unwrap();
        })
    };
    assert_eq!(post(proxy.address, "request", last(1, &get("/"))).await.status, 200);
    let large = request("PUT", "/", &[], Some(&[1; 4096]));
    assert_eq!(post(proxy.address, "request", last(2, &large)).await.status, 413);
    assert_eq!(client.call(2, &large).await.status, 200);
}

#[tokio::test]
async fn one_session_leaves_memory_to_others() {
    let proxy = Fixture::with(app::echo().await, small).await;
    let greedy = Client::connect(proxy.address, "X25519").await;
    let other = Client::connect(proxy.address, "X25519").await;
    let upload = request("PUT", "/", &[], Some(&vec![1; 1_000_000]));
    let mut unfinished = Vec::new();
    for sequence in 1..=4 {
        let beginning = greedy.envelope(1, sequence, &upload);
        unfinished.push(begin(&proxy, beginning[..beginning.len() - 1].to_vec()).await);
    }
    let mut refused = false;
    for sequence in 5..60 {
        let status = greedy.send(sequence, &upload).await.status;
        assert!(status == 200 || status == 503, "{status}");
        // Whichever came last.
        refused = status == 503 || unfinished.iter().any(|(_, answer)| answer.is_finished());
        if refused {
            break;
        }
    }
    assert!(refused, "it has its share");
    assert_eq!(other.call(1, &upload).await.status, 200);
}

#[tokio::test]
async fn two_hosts_are_one_too_many() {
    let proxy = Fixture::with(app::echo().await, on).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let both = request("GET", "/", &[("host", "a.example"), ("Host", "b.example")], None);
    assert_eq!(client.call(1, &both).await.status, 400);
    let long = "a".repeat(1 << 20);
    let large = request("GET", "/", &[(&long, ""), (&format!("{long}b"), "")], None);
    assert_eq!(client.call(2, &large).await.status, 431);
}

/// Held once, three MiB fit; when they do not the client learns so inside the channel.
#[tokio::test]
async fn a_response_is_held_once_and_an_error_always_fits() {
    let app = app::serve(|request| async move {
        let len = if request.uri().path() == "/fits" { 3_000_000 } else { 6_000_000 };
        Response::new(outer::whole(vec![1; len]))
    });
    let proxy = Fixture::with(app.await, small).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let fits = client.call(1, &get("/fits")).await;
    assert_eq!(fits.body.map(|body| body.len()), Some(3_000_000), "{:?}", fits.error);
    let refused = client.call(2, &get("/larger")).await;
    assert_eq!((refused.status, refused.error.as_deref()), (503, Some("no_room_for_response")));
}

#[tokio::test]
async fn a_response_without_an_end_is_late() {
    let app = app::serve(|_| async {
        let (sender, body) = outer::channel();
        tokio::spawn(async move {
            while sender.send(Ok("x".into())).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Response::new(body)
    });
    let proxy = Fixture::with(app.await, |config| {
        on(config);
        config.limits.e2p_v2_timeout = Duration::from_millis(500);
    })
    .await;
    let client = Client::connect(proxy.address, "X25519").await;
    let late = client.call(1, &get("/")).await;
    assert_eq!((late.status, late.error.is_some()), (504, true));
}

#[tokio::test]
async fn a_session_has_64_requests_at_once() {
    let (arrived, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, held) = (arrived.clone(), gate.clone());
    let app = app::serve(move |_| {
        let (count, held) = (count.clone(), held.clone());
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = held.acquire().await;
            Response::new(outer::whole("x"))
        }
    });
    let proxy = Fixture::with(app.await, on).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let waiting: Vec<_> = (1..=64)
        .map(|sequence| client.envelope(1, sequence, &get("/")))
        .map(|message| tokio::spawn(post(proxy.address, "request", message)))
        .collect();
    eventually("64 requests", || arrived.load(Ordering::Relaxed) == 64).await;
    assert_eq!(client.send(65, &get("/")).await.status, 503);
    gate.add_permits(100);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(client.call(65, &get("/")).await.status, 200, "the sequence was not used up");
}

/// Works while its gate is open.
struct Gated(DevAttester, Arc<(Mutex<bool>, Condvar)>);

impl Attester for Gated {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        let (open, changed) = &*self.1;
        let _open = changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap();
        self.0.attest(user_data, nonce)
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        self.0.random()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

/// With the attester in the way of everybody, challenges do not take the places of documents.
#[tokio::test]
async fn a_flood_of_challenges_leaves_places_for_sessions() {
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let set = |open| {
        *gate.0.lock().unwrap() = open;
        gate.1.notify_all();
    };
    let attesters = gate.clone();
    let proxy = Fixture::with_attester(
        app::echo().await,
        |config| {
            on(config);
            config.limits.max_challenges = 4;
            config.limits.challenge_timeout = Duration::from_secs(60);
        },
        |attester| Box::new(Gated(attester, attesters)),
    )
    .await;
    set(false);
    let (statuses, mut seen) = mpsc::channel(400);
    for _ in 0..400 {
        let (address, statuses) = (proxy.address, statuses.clone());
        tokio::spawn(async move {
            let answer = outer::call(address, "POST", EVIDENCE, vec![7; 32]).await;
            statuses.send(answer.status).await.unwrap();
        });
    }
    for _ in 0..300 {
        assert_eq!(seen.recv().await.unwrap(), 503, "the queue is bounded");
    }
    let hello = session_request("X25519", &[1; 32], &[9; 32]);
    let session = tokio::spawn(post(proxy.address, "session", hello));
    // Nobody is refused any more but this one, if it is.
    while let Ok(Some(status)) = tokio::time::timeout(Duration::from_secs(1), seen.recv()).await {
        assert_eq!(status, 503);
    }
    set(true);
    assert_eq!(session.await.unwrap().status, 200);
}

type Sender = h2::client::SendRequest<Bytes>;

/// An HTTP/2 connection that opens no window for answers.
async fn connection(proxy: &Fixture) -> Sender {
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends a message; what comes is its answer, which is not read.
async fn ask(sender: &mut Sender, resource: &str, message: Vec<u8>) -> h2::client::ResponseFuture {
    *sender = sender.clone().ready().await.unwrap();
    let request = Request::post(format!("http://x/e2p/v2/{resource}"));
    let request = request.header("content-type", "application/cbor").body(()).unwrap();
    let (answer, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(message.into(), true).unwrap();
    answer
}

#[tokio::test]
async fn one_connection_leaves_places_for_others() {
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let attesters = gate.clone();
    let proxy = Fixture::with_attester(
        app::echo().await,
        |config| {
            on(config);
            config.limits.challenge_timeout = Duration::from_secs(60);
        },
        |attester| Box::new(Gated(attester, attesters)),
    )
    .await;
    *gate.0.lock().unwrap() = false;
    let mut greedy = connection(&proxy).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let hello = session_request("X25519", &[1; 32], &[9; 32]);
        waiting.push(ask(&mut greedy, "session", hello).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let hello = session_request("X25519", &[1; 32], &[9; 32]);
    let other = tokio::spawn(post(proxy.address, "session", hello));
    tokio::time::sleep(Duration::from_millis(500)).await;
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert_eq!(other.await.unwrap().status, 200);
}

#[tokio::test]
async fn unread_answers_give_their_memory_back() {
    let app = app::serve(|_| async { Response::new(outer::whole(vec![1; 4_000_000])) });
    let proxy = Fixture::with(app.await, |config| {
        small(config);
        config.limits.e2p_v2_timeout = Duration::from_secs(3);
    })
    .await;
    let mut unread = Vec::new();
    for _ in 0..2 {
        let client = Client::connect(proxy.address, "X25519").await;
        let mut sender = connection(&proxy).await;
        let answer = ask(&mut sender, "request", client.envelope(1, 1, &get("/"))).await;
        unread.push((answer.await.unwrap(), sender));
    }
    let client = Client::connect(proxy.address, "X25519").await;
    for sequence in 1..100 {
        let answer = client.call(sequence, &get("/")).await;
        if answer.status == 200 {
            return;
        }
        assert_eq!(answer.error.as_deref(), Some("no_room_for_response"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the memory is still taken");
}

#[tokio::test]
async fn its_key_exchange_is_its_own() {
    let proxy = Fixture::with(app::echo().await, |config| {
        on(config);
        config.e2p_v2_key_exchange = Some(Kem::X25519);
        config.suites = vec![Suite::XWingAes256Gcm];
    })
    .await;
    let client = Client::connect(proxy.address, "X25519").await;
    assert_eq!(client.call(1, &get("/")).await.status, 200);
    let session = proxy.connect(Suite::XWingAes256Gcm).await;
    assert!(common::client::Call::get("/").send(proxy.address, &session).await.is_ok());
}

#[tokio::test]
async fn what_is_off_is_not_counted() {
    for is_on in [false, true] {
        let proxy = Fixture::with(app::echo().await, |config| {
            on(config);
            config.e2p_v2 = is_on;
        })
        .await;
        let metrics = proxy.running.metrics_addr().unwrap();
        let metrics = outer::call(metrics, "GET", "/metrics", "").await.body;
        assert_eq!(String::from_utf8_lossy(&metrics).contains("steve_e2p_v2"), is_on);
    }
}
