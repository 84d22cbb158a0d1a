//! Attacks on exchanges with apps that speak HTTP/2.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::BytesMut;
use common::client::{Call, Failure};
use common::h2c::{fixture, serve};
use common::outer;
use common::tunnel::Tunnel;
use common::{Fixture, STREAM, app};
use http::Response;
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use steve_protocol::head::encode_request;
use steve_protocol::session::ClientSession;
use steve_protocol::stream::ResetCode;
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const WAIT: u64 = 5;
const SUITE: Suite = Suite::X25519Aes256Gcm;

/// An app that answers the first request of each connection with `frames`, and goes on reading, or
/// closes.
async fn raw_app(frames: &'static [u8], closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            tokio::spawn(async move {
                let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
                io.write_all(&settings).await.unwrap();
                io.read_exact(&mut [0; 24]).await.unwrap();
                loop {
                    let mut header = [0; 9];
                    io.read_exact(&mut header).await.unwrap();
                    let len = u32::from_be_bytes([0, header[0], header[1], header[2]]);
                    io.read_exact(&mut vec![0; len as usize]).await.unwrap();
                    if header[3] == 1 {
                        break;
                    }
                }
                io.write_all(frames).await.unwrap();
                if !closes {
                    let _ = io.read_to_end(&mut Vec::new()).await;
                }
            });
        }
    });
    address
}

const HEADERS_DATA: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\0\0\0\0\x01half";
const RST_NO_ERROR: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\0\0\0\0\x01half\
    \0\0\x04\x03\0\0\0\0\x01\0\0\0\0";
const RST_CANCEL: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\0\0\0\0\x01half\
    \0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
const GOAWAY: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\0\0\0\0\x01half\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
const GOAWAY_0: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\0\0\0\0\x01half\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

async fn breaks_off(frames: &'static [u8], closes: bool) {
    let proxy = fixture(raw_app(frames, closes).await).await;
    let session = proxy.connect(SUITE).await;
    let answer = Call::get("/").send(proxy.address, &session).await;
    assert_eq!(answer.map(|inner| inner.body).unwrap_err(), Failure::Reset(ResetCode::APP_FAILED));
}

/// Row 6: RST_STREAM(NO_ERROR) without END_STREAM, what Node sends for `stream.close()`.
#[tokio::test]
async fn row_06_a_stream_closed_without_its_end_is_a_reset() {
    breaks_off(RST_NO_ERROR, false).await;
}

#[tokio::test]
async fn row_06_a_stream_cancelled_is_a_reset() {
    breaks_off(RST_CANCEL, false).await;
}

#[tokio::test]
async fn row_06_a_connection_that_ends_is_a_reset() {
    breaks_off(HEADERS_DATA, true).await;
}

#[tokio::test]
async fn row_06_a_connection_that_goes_away_is_a_reset() {
    breaks_off(GOAWAY, true).await;
}

#[tokio::test]
async fn row_06_a_connection_that_goes_away_without_the_stream_is_a_reset() {
    breaks_off(GOAWAY_0, true).await;
}

/// A complete answer before the request's end, then RST_STREAM(NO_ERROR) (RFC 9113, Section 8.1).
#[tokio::test]
async fn an_early_answer_is_complete() {
    let frames = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\x01\0\0\0\x01done\
        \0\0\x04\x03\0\0\0\0\x01\0\0\0\0";
    let proxy = fixture(raw_app(frames, false).await).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(tunnel.status().await, 200);
    assert_eq!(tunnel.rest().await, "done");
}

/// One session's open streams use up what the app allows on the connection that all clients share.
#[tokio::test]
async fn row_23_one_session_does_not_keep_others_from_the_app() {
    let (app, _) = serve(|request| async move {
        if request.uri().path() == "/quick" {
            return app::text("quick");
        }
        let (sender, body) = outer::channel();
        tokio::spawn(async move { sender.closed().await });
        Response::new(body)
    })
    .await;
    let proxy = fixture(app).await;
    let attacker = proxy.connect(SUITE).await;
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = attacker.open_stream().unwrap();
        let body = outer::whole(Call::get("/forever").seal(&mut stream));
        open.push(outer::post(proxy.address, STREAM, body).await);
    }
    let session = proxy.connect(SUITE).await;
    let call = Call::get("/quick");
    let quick = timeout(Duration::from_secs(5), call.send(proxy.address, &session)).await;
    assert_eq!(quick.expect("kept out").unwrap().text(), "quick");
}

async fn get_from(proxy: &Fixture, session: &ClientSession, authority: &str) -> u16 {
    let mut tunnel = Tunnel::open(proxy.address, session).await;
    let head = encode_request("GET", "https", authority, "/", [].into_iter()).unwrap();
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&head, true, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    let status = tunnel.status().await;
    tunnel.rest().await;
    status
}

/// A client chooses the authority, but not the number of connections to the app.
#[tokio::test]
async fn authorities_do_not_cost_connections() {
    let (app, connections) = serve(|_| async { app::text("hello") }).await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    for number in 0..60 {
        assert_eq!(get_from(&proxy, &session, &format!("a{number}.example")).await, 200);
    }
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections < 10, "{connections} connections for one client, one request at a time");
}

/// Row 23: what one client cancels does not have the connection closed that others share.
#[tokio::test]
async fn row_23_a_connection_on_which_much_was_cancelled_gets_no_new_streams() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (app, connections) = serve(move |request| {
        let sender = sender.clone();
        async move {
            if request.uri().path() == "/" {
                return app::text("hello");
            }
            sender.send(()).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    assert_eq!(get_from(&proxy, &session, "a.example").await, 200);
    let before = connections.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert_eq!(get_from(&proxy, &session, "a.example").await, 200);
    }
    assert_eq!(connections.load(Ordering::Relaxed), before, "whole exchanges do not count");
    for _ in 0..80 {
        let mut tunnel = Tunnel::open(proxy.address, &session).await;
        let mut out = BytesMut::new();
        let head = Call::get("/hang").head();
        tunnel.stream.request.head(&head, true, &mut out).unwrap();
        tunnel.frame(out.freeze()).await;
        events.recv().await.unwrap();
    }
    assert_eq!(get_from(&proxy, &session, "a.example").await, 200);
    let more = connections.load(Ordering::Relaxed) - before;
    assert!((1..10).contains(&more), "{more}");
}

/// Row 32: also an app that does not read learns that the client has left.
#[tokio::test]
async fn row_32_a_client_that_leaves_cancels_what_the_app_does_not_read() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (app, _) = serve(move |request| {
        let sender = sender.clone();
        async move {
            let (body_sender, body) = outer::channel();
            tokio::spawn(async move {
                body_sender.closed().await;
                sender.send("ended").unwrap();
                drop(request);
            });
            Response::new(body)
        }
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(tunnel.status().await, 200);
    // Some 12 MB are more than all buffers on the way.
    let filling = async {
        for _ in 0..200 {
            tunnel.data(&[0; 60_000], false).await;
        }
    };
    assert!(timeout(Duration::from_secs(1), filling).await.is_err(), "the app reads");
    drop(tunnel);
    let ended = timeout(Duration::from_secs(75), events.recv()).await;
    assert_eq!(ended.expect("not cancelled"), Some("ended"));
}

#[tokio::test]
async fn every_request_for_an_app_that_is_down_says_so() {
    let proxy = fixture(app::nowhere().await).await;
    let session = proxy.connect(SUITE).await;
    let calls = (0..30).map(|_| async {
        Call::get("/").send(proxy.address, &session).await.map(|inner| inner.status)
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, Ok(502));
    }
}

#[tokio::test]
async fn unusual_requests_pass() {
    let (app, _) = serve(|request| async move { app::text(request.method().to_string()) }).await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    for path in ["/", "*"] {
        let options = Call::new("OPTIONS", path).send(proxy.address, &session).await.unwrap();
        assert_eq!(options.status, 200, "{path}");
    }
    for authority in ["[::1]:80", "a", "a:65535", "a,b;c=d", "xn--a.~!$&'()*+"] {
        assert!(get_from(&proxy, &session, authority).await < 500, "{authority}");
    }
}

/// Row 32: an echo whose client does not read, and leaves when all buffers are full.
#[tokio::test]
async fn row_32_an_echo_that_is_stuck_ends_when_its_client_leaves() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (app, _) = serve(move |request| {
        let sender = sender.clone();
        async move {
            let mut received = request.into_body();
            let (chunks, body) = outer::channel();
            tokio::spawn(async move {
                while let Some(Ok(frame)) = received.frame().await {
                    if chunks.send(Ok(frame.into_data().unwrap_or_default())).await.is_err() {
                        break;
                    }
                }
                sender.send("ended").unwrap();
            });
            Response::new(body)
        }
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(tunnel.status().await, 200);
    let filling = async {
        for _ in 0..1000 {
            tunnel.data(&[0; 60_000], false).await;
        }
    };
    assert!(timeout(Duration::from_secs(3), filling).await.is_err(), "the client is not stuck");
    drop(tunnel);
    let ended = timeout(Duration::from_secs(WAIT), events.recv()).await;
    assert_eq!(ended.ok().flatten(), Some("ended"), "not cancelled");
}
