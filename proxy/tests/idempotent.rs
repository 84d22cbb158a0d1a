//! Requests with an idempotency key: executed once, whatever the host does (row 8).
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::client::{Call, Failure, Reader, read};
use common::early::{deliver, early};
use common::outer::Body;
use common::{Fixture, STREAM, app, eventually, h2c, outer};
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use steve_protocol::stream::{Event, ResetCode};
use steve_protocol::suite::Suite;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// An app that counts what it executes.
#[derive(Clone)]
struct Counting {
    executed: Arc<AtomicUsize>,
    /// Answers wait for this.
    gate: Arc<Semaphore>,
}

impl Counting {
    async fn start(open: bool) -> (Self, SocketAddr) {
        let gate = Arc::new(Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 }));
        let app = Self { executed: Arc::default(), gate };
        let shared = app.clone();
        let address = app::serve(move |request| shared.clone().answer(request)).await;
        (app, address)
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let number = self.executed.fetch_add(1, SeqCst) + 1;
        let path = request.uri().path().to_owned();
        let length = request.headers().get("content-length").cloned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.gate.acquire().await.unwrap().forget();
        if path == "/large" {
            return app::text(vec![b'x'; 300_000]);
        }
        if path == "/breaks" {
            let frames = [
                Ok(Frame::data(Bytes::from_static(b"half"))),
                Err(std::io::Error::other("the app dies")),
            ];
            return Response::new(
                StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync(),
            );
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let text = format!("{number}: {} bytes", body.len());
        let frames = [Ok(Frame::data(Bytes::from(text))), Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = http::StatusCode::CREATED;
        response.headers_mut().insert("trailer", "x-sum".parse().unwrap());
        response.headers_mut().insert("x-number", number.into());
        if let Some(length) = length {
            response.headers_mut().insert("x-length", length);
        }
        response
    }

    fn executed(&self) -> usize {
        self.executed.load(SeqCst)
    }
}

fn key(letter: char) -> String {
    letter.to_string().repeat(42) + "A"
}

fn keyed(path: &str, letter: char) -> Call {
    Call::post(path, "body").field("steve-idempotency-key", &key(letter)).field("te", "trailers")
}

#[tokio::test]
async fn row_08_a_repetition_gets_the_first_response_in_any_session() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let first = keyed("/", 'a').send(proxy.address, &session).await.unwrap();
    assert_eq!((first.status, first.text()), (201, "1: 4 bytes"));
    assert_eq!(first.field("x-length"), Some("4"));
    let other = proxy.connect(Suite::XWingChaCha20Poly1305).await;
    for session in [&session, &other] {
        let again = keyed("/", 'a').send(proxy.address, session).await.unwrap();
        assert_eq!((again.status, again.text()), (201, first.text()));
        assert_eq!((&again.fields, &again.trailers), (&first.fields, &first.trailers));
    }
    assert_eq!(first.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    assert_eq!(app.executed(), 1);
    keyed("/", 'b').send(proxy.address, &session).await.unwrap();
    Call::post("/", "body").send(proxy.address, &session).await.unwrap();
    assert_eq!(app.executed(), 3);
}

#[tokio::test]
async fn row_08_copies_at_once_execute_once() {
    let (app, address) = Counting::start(false).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let call = keyed("/", 'a');
    let copies = join_all((0..20).map(|_| call.send(proxy.address, &session)));
    let release = async {
        eventually("it is executed", || app.executed() == 1).await;
        app.gate.add_permits(1);
    };
    let (answers, ()) = tokio::join!(copies, release);
    for answer in answers {
        assert_eq!(answer.unwrap().text(), "1: 4 bytes");
    }
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn row_08_an_execution_goes_on_without_its_client() {
    let (app, address) = Counting::start(false).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let call = keyed("/", 'a');
    let lost = tokio::spawn({
        let (call, at, session) = (call.clone(), proxy.address, proxy.connect(SUITE).await);
        async move { call.send(at, &session).await }
    });
    eventually("it is executed", || app.executed() == 1).await;
    lost.abort();
    let _ = lost.await;
    app.gate.add_permits(1);
    let again = call.send(proxy.address, &session).await.unwrap();
    assert_eq!(again.text(), "1: 4 bytes");
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn row_06_a_truncated_copy_executes_nothing_and_takes_no_key() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let call = keyed("/", 'a');
    let mut stream = session.open_stream().unwrap();
    let sealed = call.seal(&mut stream);
    let cut = sealed.slice(..sealed.len() - 1);
    let answer = outer::post(proxy.address, STREAM, outer::whole(cut)).await;
    let failure = read(stream.response, answer).await.unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::TRUNCATED));
    assert_eq!(app.executed(), 0);
    // Nor does one whose end the host withholds for as long as it likes.
    let mut stream = session.open_stream().unwrap();
    let sealed = call.seal(&mut stream);
    let (sender, body) = outer::channel();
    sender.send(Ok(sealed.slice(..sealed.len() - 1))).await.unwrap();
    let held = tokio::spawn(outer::post(proxy.address, STREAM, body));
    let first = call.send(proxy.address, &session).await.unwrap();
    assert_eq!(first.text(), "1: 4 bytes");
    sender.send(Ok(sealed.slice(sealed.len() - 1..))).await.unwrap();
    drop(sender);
    let late = read(stream.response, held.await.unwrap()).await.unwrap();
    assert_eq!(late.text(), "1: 4 bytes");
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn row_08_a_copy_that_the_host_releases_late_executes_nothing() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::start(address).await;
    let enclave = proxy.attest().await;
    let session = proxy.handshake(&enclave, SUITE).await;
    let call = keyed("/", 'a');
    let held = early(&enclave, &call);
    let mut held_stream = session.open_stream().unwrap();
    let held_wire = call.seal(&mut held_stream);
    let other = proxy.connect(SUITE).await;
    assert_eq!(call.send(proxy.address, &other).await.unwrap().text(), "1: 4 bytes");

    let answer = outer::post(proxy.address, STREAM, outer::whole(held_wire)).await;
    assert_eq!(read(held_stream.response, answer).await.unwrap().text(), "1: 4 bytes");
    assert_eq!(deliver(&proxy, &held.wire).await.status, 200);
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn responses_without_a_body_are_repeated_too() {
    let address = app::serve(|request| async move {
        let mut response = app::text("");
        if request.method() == "DELETE" {
            *response.status_mut() = http::StatusCode::NO_CONTENT;
        }
        response
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(SUITE).await;
    for (method, letter, status) in [("DELETE", 'a', 204), ("HEAD", 'b', 200), ("POST", 'c', 200)] {
        for _ in 0..2 {
            let call = Call::new(method, "/").field("steve-idempotency-key", &key(letter));
            let answer = call.send(proxy.address, &session).await.unwrap();
            assert_eq!((answer.status, answer.text()), (status, ""), "{method}");
        }
    }
}

#[tokio::test]
async fn bodies_and_trailers_arrive_whole_over_both_protocols() {
    let http1 = Fixture::start(app::echo().await).await;
    let (http2, _) = h2c::serve(|request| async move {
        let collected = request.into_body().collect().await.unwrap();
        let sum = collected.trailers().map(|trailers| trailers["x-sum"].to_str().unwrap());
        let mut text = format!("trailer x-sum: {}\n", sum.unwrap_or("none")).into_bytes();
        text.extend_from_slice(&collected.to_bytes());
        app::text(text)
    })
    .await;
    let http2 = h2c::fixture(http2).await;
    for proxy in [&http1, &http2] {
        let session = proxy.connect(SUITE).await;
        let body = "x".repeat(300_000);
        let call = Call::post("/", body.clone()).field("steve-idempotency-key", &key('a'));
        let with_trailers = Call::post("/", body.clone())
            .field("steve-idempotency-key", &key('b'))
            .field("trailer", "x-sum")
            .trailer("x-sum", "9");
        for (call, has_trailers) in [(call, false), (with_trailers, true)] {
            for _ in 0..2 {
                let answer = call.send(proxy.address, &session).await.unwrap();
                let text = answer.text();
                assert!(text.ends_with(&format!("\n{body}")), "{} bytes", text.len());
                assert_eq!(text.contains("trailer x-sum: 9\n"), has_trailers, "{}", &text[..100]);
            }
        }
    }
}

/// A response without an end would otherwise be read for a day.
#[tokio::test]
async fn an_execution_that_nobody_waits_for_ends() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    let address = app::serve(move |_| {
        count.fetch_add(1, SeqCst);
        let (sender, body) = outer::channel();
        let count = count.clone();
        tokio::spawn(async move {
            sender.closed().await;
            count.fetch_sub(1, SeqCst);
        });
        async { Response::new(body) }
    });
    let proxy = Fixture::with(address.await, |config| {
        config.limits.app_response_timeout = Duration::from_millis(300);
    });
    let proxy = proxy.await;
    let session = proxy.connect(SUITE).await;
    let call = keyed("/", 'a');
    let lost = tokio::time::timeout(Duration::from_secs(1), call.send(proxy.address, &session));
    lost.await.unwrap_err();
    eventually("it ends", || open.load(SeqCst) == 0).await;
    let failure = call.send(proxy.address, &session).await.unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::APP_FAILED));
    assert_eq!(open.load(SeqCst), 0);
}

#[tokio::test]
async fn an_early_request_may_have_a_key() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::start(address).await;
    let enclave = proxy.attest().await;
    let call = keyed("/", 'a');
    let first = early(&enclave, &call);
    assert_eq!(deliver(&proxy, &first.wire).await.status, 200);
    let session = proxy.handshake(&enclave, SUITE).await;
    assert_eq!(call.send(proxy.address, &session).await.unwrap().text(), "1: 4 bytes");
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn another_request_with_the_key_is_refused() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    keyed("/", 'a').send(proxy.address, &session).await.unwrap();
    let with_key = |call: Call| call.field("steve-idempotency-key", &key('a'));
    let others = [
        keyed("/other", 'a'),
        keyed("/", 'a').field("x", "y"),
        with_key(Call::post("/", "Body").field("te", "trailers")),
        with_key(Call::post("/", "body")),
        with_key(Call { method: "PUT".into(), ..Call::post("/", "body") }).field("te", "trailers"),
        keyed("/", 'a').field("trailer", "x-sum").trailer("x-sum", "1"),
    ];
    for other in others {
        let refused = other.send(proxy.address, &session).await.unwrap();
        assert_eq!(refused.error(), (422, "idempotency_mismatch"));
    }
    // How it is framed is no difference.
    let declared = keyed("/", 'a').field("content-length", "4");
    assert_eq!(declared.send(proxy.address, &session).await.unwrap().status, 201);
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn limits_refuse_before_anything_is_executed() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::with(address, |config| {
        config.limits.max_idempotent_requests = 1;
        config.limits.max_idempotent_body = 100_000;
    });
    let proxy = proxy.await;
    let session = proxy.connect(SUITE).await;
    let send = async |call: Call| call.send(proxy.address, &session).await.unwrap();
    let long = |len: usize| Call { body: Some(vec![b'x'; len].into()), ..keyed("/", 'b') };
    assert_eq!(send(long(100_001)).await.error(), (413, "idempotency_too_large"));
    let declared = long(100_001).field("content-length", "100001");
    assert_eq!(send(declared).await.error(), (413, "idempotency_too_large"));
    assert_eq!(app.executed(), 0);
    assert_eq!(send(keyed("/large", 'a')).await.body.len(), 300_000);
    assert_eq!(send(keyed("/large", 'a')).await.error(), (500, "idempotency_response_gone"));
    let full = send(long(100_000)).await;
    assert_eq!(full.error(), (503, "idempotency_full"));
    assert!(full.text().contains("--max-idempotent-requests"));
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn a_key_is_never_ignored() {
    let (app, address) = Counting::start(true).await;
    let off = Fixture::with(address, |config| config.limits.max_idempotent_requests = 0).await;
    let session = off.connect(SUITE).await;
    let refused = keyed("/", 'a').send(off.address, &session).await.unwrap();
    assert_eq!(refused.error(), (501, "not_implemented"));
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let malformed = [
        Call::post("/", "body").field("steve-idempotency-key", "short"),
        keyed("/", 'a').field("steve-idempotency-key", &key('a')),
    ];
    for call in malformed {
        let refused = call.send(proxy.address, &session).await.unwrap();
        assert_eq!(refused.error(), (400, "malformed_request"));
    }
    assert_eq!(app.executed(), 0);
}

#[tokio::test]
async fn the_key_does_not_reach_the_app() {
    let proxy = Fixture::start(app::echo().await).await;
    let session = proxy.connect(SUITE).await;
    let seen = keyed("/", 'a').send(proxy.address, &session).await.unwrap();
    assert!(!seen.text().contains("idempotency"), "{}", seen.text());
    assert!(seen.text().ends_with("\nbody"));
}

#[tokio::test]
async fn a_response_that_breaks_off_does_so_again() {
    let (app, address) = Counting::start(true).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    for _ in 0..3 {
        let failure = keyed("/breaks", 'a').send(proxy.address, &session).await.unwrap_err();
        assert_eq!(failure, Failure::Reset(ResetCode::APP_FAILED));
    }
    assert_eq!(app.executed(), 1);
}

/// Nobody knows what an app did that closes its connection without an answer.
#[tokio::test]
async fn an_app_that_does_not_answer_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            if let Ok(1..) = io.read(&mut [0; 1024]).await {
                count.fetch_add(1, SeqCst);
            }
        }
    });
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    for _ in 0..3 {
        let failure = keyed("/", 'a').send(proxy.address, &session).await.unwrap_err();
        assert_eq!(failure, Failure::Reset(ResetCode::APP_FAILED));
    }
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn an_app_that_takes_too_long_is_not_asked_again() {
    let (app, address) = Counting::start(false).await;
    let proxy = Fixture::with(address, |config| {
        config.limits.app_response_timeout = Duration::from_millis(300);
    });
    let proxy = proxy.await;
    let session = proxy.connect(SUITE).await;
    for _ in 0..2 {
        let late = keyed("/", 'a').send(proxy.address, &session).await.unwrap();
        assert_eq!(late.error(), (504, "app_timeout"));
    }
    assert_eq!(app.executed(), 1);
}

#[tokio::test]
async fn what_did_not_reach_the_app_can_be_repeated() {
    let address = app::nowhere().await;
    let proxy = Fixture::with(address, |config| config.limits.max_idempotent_requests = 1).await;
    let session = proxy.connect(SUITE).await;
    for letter in ['a', 'a', 'b'] {
        let refused = keyed("/", letter).send(proxy.address, &session).await.unwrap();
        assert_eq!(refused.error(), (502, "app_unreachable"));
    }
}

#[tokio::test]
async fn the_first_response_streams_while_it_is_recorded() {
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    let address = app::serve(move |_| {
        let wait = wait.clone();
        let frames = futures_util::stream::unfold((0, wait), |(number, wait)| async move {
            if number > 0 {
                wait.acquire().await.unwrap().forget();
            }
            let text = ["first", "second"].get(number)?;
            Some((Ok(Frame::data(Bytes::from_static(text.as_bytes()))), (number + 1, wait)))
        });
        async { Response::new(StreamBody::new(frames).boxed_unsync()) }
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(SUITE).await;
    let call = keyed("/", 'a');
    let mut stream = session.open_stream().unwrap();
    let sealed = outer::whole(call.seal(&mut stream));
    let answer = outer::post(proxy.address, STREAM, sealed).await;
    let mut reader = Reader::new(stream.response, answer).unwrap();
    assert!(matches!(reader.next().await, Ok(Some(Event::Head { .. }))));
    let Ok(Some(Event::Data { data, .. })) = reader.next().await else { panic!("no data") };
    assert_eq!(data, "first");
    gate.add_permits(2);
    assert_eq!(call.send(proxy.address, &session).await.unwrap().text(), "firstsecond");
}
