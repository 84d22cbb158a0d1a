//! Attacks on streams and handshakes. The numbers are those of the project's list of attacks.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::app::RawApp;
use common::client::{Call, Failure, Reader, read};
use common::{Fixture, STREAM, app, eventually, now_ms, outer, rng};
use std::io;
use std::time::{Duration, Instant};
use steve_protocol::handshake::{ClientHandshake, ClientHello};
use steve_protocol::session::{ClientSession, ClientStream, StreamOpen};
use steve_protocol::stream::ResetCode;
use steve_protocol::suite::Suite;

const SUITE: Suite = Suite::X25519Aes256Gcm;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// StreamOpen, HEAD and DATA without FIN.
fn unfinished(stream: &mut ClientStream, fields: &[(&str, &str)], data: &[u8]) -> BytesMut {
    let call = fields.iter().fold(Call::new("POST", "/"), |call, (n, v)| call.field(n, v));
    let mut out = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&call.head(), false, &mut out).unwrap();
    stream.request.data(data, false, &mut out).unwrap();
    out
}

async fn answer_to(proxy: &Fixture, stream: ClientStream, body: impl Into<Bytes>) -> Failure {
    let response = outer::post(proxy.address, STREAM, outer::whole(body)).await;
    read(stream.response, response).await.unwrap_err()
}

#[tokio::test]
async fn row_06_an_app_that_dies_half_way_gives_reset_and_never_fin() {
    for half in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n01234",
        "HTTP/1.1 200 OK\r\nx-half: ",
        "",
    ] {
        let proxy = Fixture::start(RawApp::start(half).await.address).await;
        let session = proxy.connect(SUITE).await;
        let result = Call::get("/").send(proxy.address, &session).await;
        assert_eq!(result.unwrap_err(), Failure::Reset(ResetCode::APP_FAILED), "{half:?}");
    }
}

#[tokio::test]
async fn row_06_a_truncated_request_is_never_complete_at_the_app() {
    for (fields, data) in [
        (&[][..], &b"abc"[..]),
        (&[("content-length", "3")], b"abc"),
        (&[("content-length", "30")], b"abc"),
        (&[("content-length", "0")], b""),
        (&[], b""),
    ] {
        let app = RawApp::start(OK).await;
        let proxy = Fixture::start(app.address).await;
        let session = proxy.connect(SUITE).await;
        let mut stream = session.open_stream().unwrap();
        let cut = unfinished(&mut stream, fields, data);
        let failure = answer_to(&proxy, stream, cut).await;
        assert_eq!(failure, Failure::Reset(ResetCode::TRUNCATED), "{fields:?}");
        assert_incomplete(&app.seen());
    }
}

/// The request has neither all bytes of a declared length nor a last chunk.
fn assert_incomplete(seen: &str) {
    let Some((head, body)) = seen.split_once("\r\n\r\n") else { return };
    if head.contains("transfer-encoding: chunked") {
        assert!(!body.ends_with("0\r\n\r\n"), "{seen}");
    } else {
        let declared = head.split("content-length: ").nth(1).unwrap();
        let declared: usize = declared.lines().next().unwrap().parse().unwrap();
        assert!(body.len() < declared, "{seen}");
    }
}

#[tokio::test]
async fn row_06_a_lost_connection_aborts_the_request() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let (sender, body) = outer::channel();
    sender.send(Ok(unfinished(&mut stream, &[], b"abc").freeze())).await.unwrap();
    let request = http::Request::post(STREAM).body(body).unwrap();
    let sent = tokio::spawn(outer::try_send(proxy.address, request));
    eventually("the first part", || app.seen().contains("abc")).await;
    sender.send(Err(io::Error::other("given up"))).await.unwrap();
    drop(sent);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_incomplete(&app.seen());
}

#[tokio::test]
async fn a_tampered_later_frame_aborts_the_request() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let mut sealed = unfinished(&mut stream, &[], b"first");
    let start = sealed.len();
    stream.request.data(b"second", true, &mut sealed).unwrap();
    sealed[start + 4] ^= 1;
    let failure = answer_to(&proxy, stream, sealed).await;
    assert_eq!(failure, Failure::Reset(ResetCode::PROTOCOL_ERROR));
    assert_incomplete(&app.seen());
    assert!(!app.seen().contains("second"));
}

#[tokio::test]
async fn bytes_after_fin_are_ignored() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let mut sealed = BytesMut::from(&Call::get("/").seal(&mut stream)[..]);
    sealed.extend_from_slice(b"more");
    let response = outer::post(proxy.address, STREAM, outer::whole(sealed)).await;
    assert_eq!(read(stream.response, response).await.unwrap().text(), "ok");
    assert!(!app.seen().contains("more"));
}

#[tokio::test]
async fn a_client_that_resets_is_answered_and_the_app_sees_no_end() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let mut sealed = unfinished(&mut stream, &[], b"abc");
    stream.request.reset(ResetCode::CANCELLED, &mut sealed).unwrap();
    let failure = answer_to(&proxy, stream, sealed).await;
    assert_eq!(failure, Failure::Reset(ResetCode::CANCELLED));
    assert_incomplete(&app.seen());
}

/// A StreamOpen and a request, as bytes that can be changed.
fn opened(session: &ClientSession) -> Vec<u8> {
    Call::get("/").seal(&mut session.open_stream().unwrap()).to_vec()
}

#[tokio::test]
async fn row_24_whatever_depends_on_a_secret_has_one_answer() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::with(app.address, |c| {
        c.suites = vec![Suite::X25519Aes256Gcm, Suite::XWingAes256Gcm];
        c.limits.session_lifetime = Duration::from_secs(2);
    })
    .await;
    let enclave = proxy.attest().await;
    let hello = |suite, change: fn(&mut ClientHello)| {
        let (_, hello) = ClientHandshake::start(&enclave, &[suite], now_ms(), &mut rng()).unwrap();
        let mut hello = ClientHello::decode(&hello).unwrap();
        change(&mut hello);
        hello.encode()
    };
    let session = proxy.handshake(&enclave, SUITE).await;
    let expired = proxy.handshake(&enclave, SUITE).await;
    let replayed = opened(&session);
    assert_eq!(outer::call(proxy.address, "POST", STREAM, replayed.clone()).await.status, 200);

    let change = |at: usize, mut bytes: Vec<u8>| {
        bytes[at] ^= 1;
        bytes
    };
    let mut cut = opened(&session);
    cut.truncate(StreamOpen::LEN + 10);
    let mut impossible = opened(&session);
    impossible[StreamOpen::LEN..][..4].copy_from_slice(&[0xff; 4]);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let session = proxy.handshake(&enclave, SUITE).await;
    let cases = [
        ("unknown key", hello(SUITE, |hello| hello.key_id[0] ^= 1)),
        ("key of another suite", hello(SUITE, |h| h.suite = Suite::X25519ChaCha20Poly1305)),
        ("enc that gives zero", hello(SUITE, |hello| hello.enc.fill(0))),
        ("epk that gives zero", hello(SUITE, |hello| hello.epk.fill(0))),
        ("epk that is no key", hello(Suite::XWingAes256Gcm, |hello| hello.epk.fill(0xff))),
        ("unknown session", change(1, opened(&session))),
        ("expired session", opened(&expired)),
        ("tampered frame", change(StreamOpen::LEN + 4, opened(&session))),
        ("tampered header", change(StreamOpen::LEN + 3, opened(&session))),
        ("tampered stream id", change(StreamOpen::LEN - 1, opened(&session))),
        ("replayed stream", replayed),
        ("cut frame", cut),
        ("impossible length", impossible),
    ];
    let mut first = None;
    for (what, body) in cases {
        let mut request = format!(
            "POST {STREAM} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        let answer = outer::raw(proxy.address, &request).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 422 "), "{what}: {answer}");
        assert!(answer.ends_with("\r\n\r\n{\"error\":\"unrecognized\"}"), "{what}: {answer}");
        assert_eq!(first.get_or_insert_with(|| answer.clone()), &answer, "{what}");
    }
    assert_eq!(app.connections(), 1, "only the first sending reached the app");
}

#[tokio::test]
async fn a_replayed_stream_is_executed_once_even_when_sent_at_once() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let sealed = opened(&session);
    let sendings = (0..20).map(|_| outer::call(proxy.address, "POST", STREAM, sealed.clone()));
    let answers = futures_util::future::join_all(sendings).await;
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((accepted, app.connections()), (1, 1));
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 422)));
}

#[tokio::test]
async fn row_18_impossible_lengths_are_refused_before_their_bytes_come() {
    let proxy = Fixture::start(app::nowhere().await).await;
    let session = proxy.connect(SUITE).await;
    let mut huge = session.open_stream().unwrap().open.encode().to_vec();
    huge.extend_from_slice(&[0xff; 4]);
    for (path, start, status) in
        [(STREAM, huge, 422), (STREAM, vec![9; 30], 400), (common::EVIDENCE, vec![0; 33], 400)]
    {
        let (sender, body) = outer::channel();
        sender.send(Ok(start.into())).await.unwrap();
        let began = Instant::now();
        let response = outer::post(proxy.address, path, body).await;
        assert_eq!(response.status(), status);
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(sender);
    }
}

#[tokio::test]
async fn row_19_a_flood_of_handshakes_does_not_displace_a_session_in_use() {
    let app = app::echo().await;
    let proxy = Fixture::with(app, |c| c.limits.max_unconfirmed = 8).await;
    let enclave = proxy.attest().await;
    let used = proxy.handshake(&enclave, SUITE).await;
    Call::get("/").send(proxy.address, &used).await.unwrap();
    let oldest = proxy.handshake(&enclave, SUITE).await;
    let mut newest = None;
    for _ in 0..30 {
        newest = Some(proxy.handshake(&enclave, SUITE).await);
    }
    Call::get("/").send(proxy.address, &used).await.unwrap();
    Call::get("/").send(proxy.address, &newest.unwrap()).await.unwrap();
    let refused = Call::get("/").send(proxy.address, &oldest).await.unwrap_err();
    assert_eq!(refused, Failure::Outer(http::StatusCode::UNPROCESSABLE_ENTITY));
}

#[tokio::test]
async fn streams_above_the_limit_are_refused_and_places_come_back() {
    let app = app::echo().await;
    let proxy = Fixture::with(app, |c| c.limits.max_streams = 2).await;
    let session = proxy.connect(SUITE).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = session.open_stream().unwrap();
        let (sender, body) = outer::channel();
        sender.send(Ok(unfinished(&mut stream, &[], b"a").freeze())).await.unwrap();
        let response = outer::post(proxy.address, STREAM, body).await;
        open.push((sender, Reader::new(stream.response, response).unwrap()));
    }
    let refused = Call::get("/").send(proxy.address, &session).await.unwrap_err();
    assert_eq!(refused, Failure::Reset(ResetCode::REFUSED));
    open.clear();
    for attempt in 0.. {
        match Call::get("/").send(proxy.address, &session).await {
            Ok(_) => break,
            Err(_) => assert!(attempt < 100),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
