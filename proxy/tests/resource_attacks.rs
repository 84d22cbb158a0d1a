//! Attacks that try to use up what the proxy has. The numbers are those of the project's list.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::client::{Call, Failure, read};
use common::{EVIDENCE, Fixture, HEALTH, STREAM, app, now_ms, outer, rng};
use std::io;
use std::time::Duration;
use steve_protocol::handshake::ClientHandshake;
use steve_protocol::stream::ResetCode;
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// Stream requests that begin with `bytes` and then say nothing, in one HTTP/2 connection.
async fn silent(
    proxy: &Fixture,
    count: usize,
    bytes: &[u8],
) -> Vec<mpsc::Sender<io::Result<Bytes>>> {
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(io));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let mut open = Vec::new();
    for _ in 0..count {
        let (body_sender, body) = outer::channel();
        sender.ready().await.unwrap();
        let request = http::Request::post(format!("http://x{STREAM}")).body(body).unwrap();
        tokio::spawn(sender.send_request(request));
        if !bytes.is_empty() {
            body_sender.send(Ok(Bytes::copy_from_slice(bytes))).await.unwrap();
        }
        open.push(body_sender);
    }
    sleep(Duration::from_millis(200)).await;
    open
}

#[tokio::test]
async fn row_19_silent_requests_keep_nobody_out() {
    let proxy = Fixture::with(app::echo().await, |c| {
        c.limits.max_open_streams = 4;
        c.limits.max_anonymous = 8;
        c.limits.max_opening = 8;
    })
    .await;
    let session = proxy.connect(SUITE).await;
    Call::get("/").send(proxy.address, &session).await.unwrap();
    let open = session.open_stream().unwrap().open.encode();
    let _silent = silent(&proxy, 100, &[]).await;
    let _named = silent(&proxy, 100, &open).await;
    let _unknown = silent(&proxy, 100, &[9; 24]).await;
    for _ in 0..5 {
        Call::get("/").send(proxy.address, &session).await.unwrap();
    }
    // Nor a newcomer.
    proxy.get("/").await;
    // Nor one whose bytes come one after the other.
    let mut stream = session.open_stream().unwrap();
    let sealed = Call::get("/").seal(&mut stream);
    let (sender, body) = outer::channel();
    tokio::spawn(async move {
        for piece in sealed.chunks(8) {
            sender.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
            sleep(Duration::from_millis(2)).await;
        }
    });
    let response = outer::post(proxy.address, STREAM, body).await;
    read(stream.response, response).await.unwrap();
}

#[tokio::test]
async fn row_19_the_oldest_silent_request_makes_room() {
    let proxy = Fixture::with(app::nowhere().await, |c| c.limits.max_anonymous = 2).await;
    let (mut open, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (sender, body) = outer::channel();
        open.push(sender);
        asked.push(tokio::spawn(outer::post(proxy.address, STREAM, body)));
        sleep(Duration::from_millis(100)).await;
    }
    let refused = timeout(Duration::from_secs(5), asked.remove(0)).await.unwrap().unwrap();
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    assert!(asked.iter().all(|later| !later.is_finished()));
}

#[tokio::test]
async fn streams_above_the_budget_are_refused_inside_the_channel() {
    let app = app::serve(|_| std::future::pending());
    let proxy = Fixture::with(app.await, |c| c.limits.max_open_streams = 2).await;
    let session = proxy.connect(SUITE).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = session.open_stream().unwrap();
        let body = outer::whole(Call::get("/").seal(&mut stream));
        open.push(outer::post(proxy.address, STREAM, body).await);
    }
    let refused = Call::get("/").send(proxy.address, &session).await.unwrap_err();
    assert_eq!(refused, Failure::Reset(ResetCode::REFUSED));
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A POST to `path`, then the frames of its body.
fn h2_post(stream: u32, path: &str, body: &[(&[u8], bool)]) -> Vec<u8> {
    let mut head = vec![0x83, 0x86, 0x04, path.len() as u8];
    head.extend_from_slice(path.as_bytes());
    head.extend_from_slice(&[0x01, 1, b'x']);
    let mut out = frame(1, 4, stream, &head);
    for (data, end) in body {
        out.extend(frame(0, u8::from(*end), stream, data));
    }
    out
}

async fn h2_connect(proxy: &Fixture, settings: &[u8]) -> TcpStream {
    let mut io = TcpStream::connect(proxy.address).await.unwrap();
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(4, 0, 0, settings));
    out.extend(frame(4, 1, 0, &[]));
    io.write_all(&out).await.unwrap();
    io
}

/// The type and the payload of the next HTTP/2 frame.
async fn h2_next(io: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    timeout(Duration::from_secs(3), io.read_exact(&mut head)).await.ok()?.ok()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; len as usize];
    io.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

#[tokio::test]
async fn the_end_of_a_hello_may_come_in_an_empty_http2_frame() {
    let proxy = Fixture::start(app::nowhere().await).await;
    let enclave = proxy.attest().await;
    let (handshake, hello) =
        ClientHandshake::start(&enclave, &[SUITE], now_ms(), &mut rng()).unwrap();
    let mut io = h2_connect(&proxy, &[]).await;
    io.write_all(&h2_post(1, STREAM, &[(b"", false), (&hello, false), (b"", true)])).await.unwrap();
    let data = loop {
        if let (0, payload) = h2_next(&mut io).await.unwrap() {
            break payload;
        }
    };
    handshake.finish(&data, now_ms()).unwrap();
}

#[tokio::test]
async fn row_17_and_18_evidence_that_is_not_read_is_bounded() {
    let proxy = Fixture::with(app::nowhere().await, |c| {
        c.manifest = vec![b'm'; 65_535];
        c.limits.max_unread_evidence = 8;
        c.limits.challenge_timeout = Duration::from_secs(1);
    })
    .await;
    // With windows of zero, and of one byte.
    for window in [0, 1] {
        let mut io = h2_connect(&proxy, &[0, 4, 0, 0, 0, window]).await;
        for index in 0..40_u8 {
            let stream = 2 * u32::from(index) + 1;
            io.write_all(&h2_post(stream, EVIDENCE, &[(&[index; 32], true)])).await.unwrap();
        }
        let (mut granted, mut refused) = (0, 0);
        while granted + refused < 40 {
            match h2_next(&mut io).await.unwrap() {
                (1, head) if head[0] == 0x88 => granted += 1,
                (1, _) => refused += 1,
                _ => {}
            }
        }
        assert_eq!((granted, refused), (8, 32), "window {window}");
        // Nobody else has to wait.
        proxy.attest().await;
    }
    // Who reads gets all.
    let mut io = h2_connect(&proxy, &[0, 4, 0, 2, 0, 0]).await;
    io.write_all(&frame(8, 0, 0, &0x7000_0000_u32.to_be_bytes())).await.unwrap();
    for index in 0..40_u8 {
        let stream = 2 * u32::from(index) + 1;
        io.write_all(&h2_post(stream, EVIDENCE, &[(&[index; 32], true)])).await.unwrap();
    }
    let mut granted = 0;
    while granted < 40 {
        if let (1, head) = h2_next(&mut io).await.unwrap() {
            assert_eq!(head[0], 0x88);
            granted += 1;
        }
    }
}

#[tokio::test]
async fn row_19_a_full_table_makes_room_for_a_request_and_never_for_less() {
    let app = app::serve(|request| async move {
        if request.uri().path() == "/slow" {
            sleep(Duration::from_millis(500)).await;
        }
        app::text("ok")
    });
    let proxy = Fixture::with(app.await, |c| c.limits.max_sessions = 2).await;
    let enclave = proxy.attest().await;
    let busy = proxy.handshake(&enclave, SUITE).await;
    let idle = proxy.handshake(&enclave, SUITE).await;
    Call::get("/").send(proxy.address, &idle).await.unwrap();
    let mut open = busy.open_stream().unwrap();
    let slow = outer::whole(Call::get("/slow").seal(&mut open));
    let slow = outer::post(proxy.address, STREAM, slow).await;
    // Sessions that ask nothing of the app displace nobody.
    for _ in 0..10 {
        let session = proxy.handshake(&enclave, SUITE).await;
        let mut stream = session.open_stream().unwrap();
        let mut out = BytesMut::from(&stream.open.encode()[..]);
        stream.request.reset(ResetCode::CANCELLED, &mut out).unwrap();
        let answer = outer::post(proxy.address, STREAM, outer::whole(out.freeze())).await;
        let failure = read(stream.response, answer).await.unwrap_err();
        assert_eq!(failure, Failure::Reset(ResetCode::CANCELLED));
        let refused = Call::new("CONNECT", "/").send(proxy.address, &session).await.unwrap();
        assert_eq!(refused.error(), (501, "not_implemented"));
    }
    Call::get("/").send(proxy.address, &idle).await.unwrap();
    // One that asks displaces the idle one, and not the one with an open stream.
    let newcomer = proxy.handshake(&enclave, SUITE).await;
    Call::get("/").send(proxy.address, &newcomer).await.unwrap();
    let gone = Call::get("/").send(proxy.address, &idle).await.unwrap_err();
    assert_eq!(gone, Failure::Outer(http::StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(read(open.response, slow).await.unwrap().text(), "ok");
    Call::get("/").send(proxy.address, &busy).await.unwrap();
}

#[tokio::test]
async fn row_19_a_table_of_busy_sessions_refuses_newcomers() {
    let app = app::serve(|_| std::future::pending());
    let proxy = Fixture::with(app.await, |c| c.limits.max_sessions = 1).await;
    let (busy, newcomer) = (proxy.connect(SUITE).await, proxy.connect(SUITE).await);
    let mut stream = busy.open_stream().unwrap();
    let body = outer::whole(Call::get("/").seal(&mut stream));
    let _open = outer::post(proxy.address, STREAM, body).await;
    let refused = Call::get("/").send(proxy.address, &newcomer).await.unwrap_err();
    assert_eq!(refused, Failure::Reset(ResetCode::REFUSED));
}

#[tokio::test]
async fn row_32_idle_http2_connections_do_not_hold_their_places() {
    let app = app::serve(|_| async {
        sleep(Duration::from_millis(2500)).await;
        app::text("late")
    });
    let proxy = Fixture::with(app.await, |c| {
        c.limits.max_connections = 2;
        c.limits.header_read_timeout = Duration::from_millis(500);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    // Both places: one client that does nothing, one whose answer takes its time.
    let mut idle = h2_connect(&proxy, &[]).await;
    let mut ask = vec![0x82, 0x86, 0x04, HEALTH.len() as u8];
    ask.extend_from_slice(HEALTH.as_bytes());
    ask.extend_from_slice(&[0x01, 1, b'x']);
    idle.write_all(&frame(1, 5, 1, &ask)).await.unwrap();
    let slow = Call::get("/");
    let slow = slow.send(proxy.address, &session);
    let other = async {
        sleep(Duration::from_millis(200)).await;
        timeout(Duration::from_secs(2), outer::call(proxy.address, "GET", HEALTH, "")).await
    };
    let (slow, other) = tokio::join!(slow, other);
    assert_eq!(other.unwrap().status, 200, "the place of the idle one");
    assert_eq!(slow.unwrap().text(), "late");
    let mut told = false;
    while let Some((kind, _)) = h2_next(&mut idle).await {
        told |= kind == 7;
    }
    assert!(told, "GOAWAY");
}
