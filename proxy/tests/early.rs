//! Early requests: served, and never twice (row 7).
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::app::RawApp;
use common::client::{Call, Failure, Inner};
use common::early::{Early, deliver, early};
use common::{Fixture, STREAM, app, now_ms, outer, rng};
use futures_util::future::join_all;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::HashMap;
use std::time::Duration;
use steve_protocol::handshake::{ClientHandshake, EarlyHandshake};
use steve_protocol::session::ClientSession;
use steve_protocol::stream::{Event, MessageOpener, ResetCode, Response as Inbound};
use steve_protocol::suite::Suite;

const SUITE: Suite = Suite::X25519Aes256Gcm;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a client makes of the answer: the session, and the response if the request was accepted.
fn conclude(
    early: Early,
    answer: &outer::Answer,
) -> (ClientSession, Option<Result<Inner, Failure>>) {
    assert_eq!(answer.status, 200);
    let hello_len = early.handshake.server_hello_len();
    let outcome = early.handshake.finish(&answer.body[..hello_len], now_ms()).unwrap();
    let rest = answer.body.slice(hello_len..);
    (outcome.session, outcome.response.map(|opener| whole(opener, rest)))
}

fn whole(mut opener: MessageOpener<Inbound>, bytes: Bytes) -> Result<Inner, Failure> {
    opener.push(bytes);
    let (mut status, mut fields, mut body) = (0, Vec::new(), BytesMut::new());
    while let Some(event) = opener.next_event().map_err(Failure::Stream)? {
        match event {
            Event::Head { head, .. } => {
                status = head.status();
                fields.extend(head.fields().iter().map(|line| {
                    let value = String::from_utf8_lossy(line.value()).into_owned();
                    (line.name().to_owned(), value)
                }));
            }
            Event::Data { data, .. } => body.extend_from_slice(&data),
            Event::Reset(code) => return Err(Failure::Reset(code)),
            event => panic!("{event:?}"),
        }
    }
    opener.end().map_err(Failure::Stream)?;
    Ok(Inner { interim: Vec::new(), status, fields, body: body.freeze(), trailers: Vec::new() })
}

fn statuses(answers: &[outer::Answer]) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.status.as_u16()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn an_early_request_is_served_along_with_the_handshake() {
    let proxy = Fixture::start(app::echo().await).await;
    let enclave = proxy.attest().await;
    for call in [Call::get("/path?query"), Call::post("/", vec![b'x'; 200_000])] {
        let early = early(&enclave, &call);
        let answer = deliver(&proxy, &early.wire).await;
        let (session, response) = conclude(early, &answer);
        let response = response.unwrap().unwrap();
        let binding = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            session.binding(),
        );
        assert!(response.text().starts_with(&format!("{} {}\n", call.method, call.path)));
        assert!(response.text().contains(&format!("steve-session: {binding}\n")));
        assert!(response.text().ends_with(&"x".repeat(call.body.map_or(0, |body| body.len()))));
        assert_eq!(Call::get("/").send(proxy.address, &session).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn the_server_hello_does_not_wait_for_the_app() {
    let app = RawApp::start("").await;
    let proxy = Fixture::start(app.address).await;
    let early = early(&proxy.attest().await, &Call::get("/"));
    let body = outer::whole(early.wire);
    let mut answer: Response<Incoming> = outer::post(proxy.address, STREAM, body).await;
    let mut hello = BytesMut::new();
    while hello.len() < early.handshake.server_hello_len() {
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        hello.extend_from_slice(&frame.into_data().unwrap());
    }
    assert!(early.handshake.finish(&hello, now_ms()).unwrap().response.is_some());
}

#[tokio::test]
async fn row_07_of_a_hundred_copies_at_once_one_is_executed() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let early = early(&proxy.attest().await, &Call::post("/pay", "1 euro"));
    let answers = join_all((0..100).map(|_| deliver(&proxy, &early.wire))).await;
    assert_eq!(statuses(&answers), HashMap::from([(200, 1), (422, 99)]));
    let again = deliver(&proxy, &early.wire).await;
    assert_eq!(
        (again.status.as_u16(), &again.body[..]),
        (422, &b"{\"error\":\"unrecognized\"}"[..])
    );
    assert_eq!(app.seen().matches("POST /pay").count(), 1);
    let answer = answers.iter().find(|answer| answer.status == 200).unwrap();
    let (_, response) = conclude(early, answer);
    assert_eq!(response.unwrap().unwrap().text(), "ok");
}

#[tokio::test]
async fn row_07_cut_and_tampered_copies_are_not_executed() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let early = early(&proxy.attest().await, &Call::get("/"));
    let cut = join_all(
        (early.hello_len..early.wire.len()).map(|len| deliver(&proxy, &early.wire[..len])),
    );
    assert_eq!(statuses(&cut.await).keys().collect::<Vec<_>>(), [&422]);
    let tampered = join_all((5..early.wire.len()).map(|at| {
        let mut wire = early.wire.clone();
        wire[at] ^= 1;
        async { deliver(&proxy, &{ wire }).await }
    }));
    // The bit that says whether there is an early request makes what follows it superfluous.
    assert_eq!(statuses(&tampered.await), HashMap::from([(400, 1), (422, early.wire.len() - 6)]));
    assert_eq!(app.connections(), 0);
    let (_, response) = conclude_after(&proxy, early).await;
    assert_eq!(response.unwrap().unwrap().text(), "ok", "nothing of this was recorded");
}

async fn conclude_after(
    proxy: &Fixture,
    early: Early,
) -> (ClientSession, Option<Result<Inner, Failure>>) {
    let answer = deliver(proxy, &early.wire).await;
    conclude(early, &answer)
}

#[tokio::test]
async fn row_07_when_the_memory_is_full_requests_are_rejected_for_good() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::with(app.address, |c| c.limits.max_early_requests = 1).await;
    let enclave = proxy.attest().await;
    let [first, second] = [early(&enclave, &Call::get("/1")), early(&enclave, &Call::get("/2"))];
    let first_wire = first.wire.clone();
    assert!(conclude_after(&proxy, first).await.1.is_some());
    for _ in 0..3 {
        let answer = deliver(&proxy, &second.wire).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 80), "a ServerHello alone");
        assert_eq!(deliver(&proxy, &first_wire).await.status, 422, "it has been executed");
    }
    let (session, response) = conclude_after(&proxy, second).await;
    assert!(response.is_none());
    assert!(!app.seen().contains("/2"));
    let again = Call::get("/2").send(proxy.address, &session).await.unwrap();
    assert_eq!(again.text(), "ok");
    assert_eq!(app.seen().matches("GET /2").count(), 1);
}

#[tokio::test]
async fn row_07_replays_across_the_rotation_of_keys() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::with(app.address, |c| {
        c.limits.key_rotation = Duration::from_secs(3);
        c.limits.key_overlap = Duration::from_secs(2);
    })
    .await;
    let enclave = proxy.attest().await;
    let [before, overlap] = ["/before", "/overlap"].map(|path| early(&enclave, &Call::get(path)));
    let wires = [before.wire.clone(), overlap.wire.clone()];
    let mut probes: Vec<_> = std::iter::repeat_with(|| {
        ClientHandshake::start(&enclave, &[SUITE], now_ms(), &mut rng()).unwrap().1
    })
    .take(200)
    .collect();
    assert!(conclude_after(&proxy, before).await.1.is_some());

    while proxy.attest().await.key_config().fields().epoch == 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(deliver(&proxy, &wires[0]).await.status, 422, "the old memory lives with its key");
    assert!(conclude_after(&proxy, overlap).await.1.is_some(), "and takes in what is new");
    assert_eq!(deliver(&proxy, &wires[1]).await.status, 422);
    let current = early(&proxy.attest().await, &Call::get("/current"));
    assert!(conclude_after(&proxy, current).await.1.is_some(), "the new one has its own");

    while deliver(&proxy, &probes.pop().unwrap()).await.status == 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for wire in &wires {
        assert_eq!(deliver(&proxy, wire).await.status, 422, "the old key is gone");
    }
    assert_eq!(app.seen().matches("GET /before").count(), 1);
    assert_eq!(app.seen().matches("GET /overlap").count(), 1);
}

#[tokio::test]
async fn row_07_a_proxy_that_is_told_so_rejects_all() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::with(app.address, |c| c.early_data = false).await;
    let enclave = proxy.attest().await;
    for path in ["/1", "/2"] {
        let early = early(&enclave, &Call::get(path));
        assert_eq!(deliver(&proxy, &early.wire).await.body.len(), 80);
        let (_, response) = conclude_after(&proxy, early).await;
        assert!(response.is_none());
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn row_19_an_early_request_confirms_no_session() {
    let proxy = Fixture::with(app::echo().await, |c| c.limits.max_unconfirmed = 2).await;
    let enclave = proxy.attest().await;
    let displaced = conclude_after(&proxy, early(&enclave, &Call::get("/"))).await.0;
    let used = conclude_after(&proxy, early(&enclave, &Call::get("/"))).await.0;
    assert_eq!(Call::get("/").send(proxy.address, &used).await.unwrap().status, 200);
    for _ in 0..2 {
        conclude_after(&proxy, early(&enclave, &Call::get("/"))).await;
    }
    assert_eq!(Call::get("/").send(proxy.address, &used).await.unwrap().status, 200);
    let gone = Call::get("/").send(proxy.address, &displaced).await.unwrap_err();
    assert_eq!(gone, Failure::Outer(http::StatusCode::UNPROCESSABLE_ENTITY));
}

#[tokio::test]
async fn a_displaced_session_finishes_its_early_request() {
    let (release, held) = tokio::sync::watch::channel(false);
    let address = app::serve(move |_| {
        let mut held = held.clone();
        async move {
            held.wait_for(|released| *released).await.unwrap();
            app::text("late")
        }
    })
    .await;
    let proxy = Fixture::with(address, |c| c.limits.max_unconfirmed = 1).await;
    let enclave = proxy.attest().await;
    let early = early(&enclave, &Call::get("/"));
    let answer = outer::post(proxy.address, STREAM, outer::whole(early.wire.clone())).await;
    proxy.handshake(&enclave, SUITE).await;
    release.send_replace(true);
    let answer = outer::collect(answer).await;
    assert_eq!(conclude(early, &answer).1.unwrap().unwrap().text(), "late");
}

#[tokio::test]
async fn limits_and_refusals_of_streams_hold_inside() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::with(app.address, |c| c.limits.max_head_size = 1024).await;
    let enclave = proxy.attest().await;
    let upgrade = Call::get("/").field("upgrade", "websocket");
    let (handshake, hello, mut sealer) =
        EarlyHandshake::start(&enclave, &[SUITE], now_ms(), &mut rng()).unwrap();
    let mut out = BytesMut::from(&hello[..]);
    sealer.head(&upgrade.head(), false, &mut out).unwrap();
    let upgrade = Early { handshake, wire: out.to_vec(), hello_len: hello.len() };
    let response = conclude_after(&proxy, upgrade).await.1.unwrap().unwrap();
    assert_eq!(response.error(), (400, "malformed_request"));

    let large = early(&enclave, &Call::get("/").field("x", &"x".repeat(2000)));
    let response = conclude_after(&proxy, large).await.1.unwrap().unwrap();
    assert_eq!(response.bodiless_error(), (431, "head_too_large"));

    let post = early(&enclave, &Call::post("/", "body"));
    let cut = post.wire.len() - 1;
    let answer = deliver(&proxy, &post.wire[..cut]).await;
    let failure = conclude(post, &answer).1.unwrap().unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::TRUNCATED));
    assert!(!app.seen().contains("0\r\n\r\n"));
}

#[tokio::test]
async fn a_proxy_at_its_limit_says_inside_that_nothing_was_dispatched() {
    let app = RawApp::start("").await;
    let proxy = Fixture::with(app.address, |c| c.limits.max_open_streams = 1).await;
    let enclave = proxy.attest().await;
    let session = proxy.handshake(&enclave, SUITE).await;
    let (_open, body) = outer::channel();
    let mut stream = session.open_stream().unwrap();
    let mut sealed = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&Call::post("/", "").head(), false, &mut sealed).unwrap();
    _open.send(Ok(sealed.freeze())).await.unwrap();
    let _answer = outer::post(proxy.address, STREAM, body).await;
    let early = early(&enclave, &Call::get("/early"));
    let wire = early.wire.clone();
    let failure = conclude_after(&proxy, early).await.1.unwrap().unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::REFUSED));
    assert_eq!(deliver(&proxy, &wire).await.status, 422, "no copy of it will be dispatched");
    assert!(!app.seen().contains("/early"));
}

#[tokio::test]
async fn row_19_a_first_frame_that_does_not_come_is_not_waited_for() {
    let proxy = Fixture::with(app::nowhere().await, |c| {
        c.limits.first_frame_timeout = Duration::from_millis(200);
        c.limits.linger_time = Duration::from_millis(100);
    })
    .await;
    let early = early(&proxy.attest().await, &Call::get("/"));
    let (sender, body) = outer::channel();
    let part = Bytes::copy_from_slice(&early.wire[..early.wire.len() - 1]);
    sender.send(Ok(part)).await.unwrap();
    assert_eq!(outer::post(proxy.address, STREAM, body).await.status(), 408);
    let (_, response) = conclude_after(&proxy, early).await;
    assert_eq!(response.unwrap().unwrap().error(), (502, "app_unreachable"));
}
