//! Attacks on tunnels and upgraded connections.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::BytesMut;
use common::client::Call;
use common::tunnel::{Tunnel, socket};
use common::{Fixture, app, outer};
use futures_util::{SinkExt, StreamExt};
use http::Response;
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::time::Duration;
use steve_protocol::session::ClientSession;
use steve_protocol::stream::{Event, ResetCode};
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const WAIT: u64 = 5;
const SUITE: Suite = Suite::X25519Aes256Gcm;
const AGREED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n";

/// An app that answers every request head, and hands the connection over.
async fn answering(answer: &'static str) -> (SocketAddr, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, connections) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.unwrap());
            }
            io.write_all(answer.as_bytes()).await.unwrap();
            sender.send(io).await.unwrap();
        }
    });
    (address, connections)
}

async fn upgraded() -> (Fixture, ClientSession, Tunnel, TcpStream) {
    let (address, mut connections) = answering(AGREED).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
    assert_eq!(tunnel.status().await, 101);
    (proxy, session, tunnel, connections.recv().await.unwrap())
}

/// The app has said everything and still listens: the client vanishes half-way.
async fn half_after_the_apps_end(reset: bool) {
    let (_proxy, _session, mut tunnel, mut io) = upgraded().await;
    io.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await, "");
    tunnel.data(b"half a mess", false).await;
    let mut read = vec![0; 11];
    io.read_exact(&mut read).await.unwrap();
    if reset {
        let mut out = BytesMut::new();
        tunnel.stream.request.reset(ResetCode::CANCELLED, &mut out).unwrap();
        tunnel.frame(out.freeze()).await;
    } else {
        drop(tunnel);
    }
    let ended = timeout(Duration::from_secs(1), io.read_to_end(&mut read)).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn row_06_a_client_that_vanishes_after_the_apps_end_breaks_the_connection() {
    half_after_the_apps_end(false).await;
}

#[tokio::test]
async fn row_06_a_client_that_resets_after_the_apps_end_breaks_the_connection() {
    half_after_the_apps_end(true).await;
}

struct Ended(mpsc::UnboundedSender<&'static str>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

/// Row 32: as for a request that is complete with its head.
#[tokio::test]
async fn row_32_a_client_that_leaves_after_its_body_cancels_the_request() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let address = app::serve(move |request| {
        let ended = Ended(sender.clone());
        async move {
            ended.0.send("begun").unwrap();
            request.into_body().collect().await.unwrap();
            ended.0.send("read").unwrap();
            std::future::pending::<()>().await;
            app::text("")
        }
    })
    .await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(events.recv().await, Some("begun"));
    tunnel.data(b"all", true).await;
    assert_eq!(events.recv().await, Some("read"));
    drop(tunnel);
    let ended = timeout(Duration::from_secs(2), events.recv()).await;
    assert_eq!(ended.expect("not cancelled"), Some("ended"));
}

/// The same for an upgraded connection whose client has said everything.
#[tokio::test]
async fn row_32_a_client_that_leaves_after_its_end_breaks_the_connection() {
    let (_proxy, _session, mut tunnel, mut io) = upgraded().await;
    tunnel.data(b"all", true).await;
    let mut read = Vec::new();
    io.read_to_end(&mut read).await.unwrap();
    drop(tunnel);
    let broken = async {
        while io.write_all(b"news").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = &mut read;
    timeout(Duration::from_secs(2), broken).await.expect("not broken");
}

/// An app that neither reads nor closes must not keep the client's connection open once the response
/// is over.
#[tokio::test]
async fn row_32_a_tunnel_that_is_over_is_closed_though_the_app_does_not_read() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (address, mut connections) = answering(answer).await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let Tunnel { socket, stream } = Tunnel::open(proxy.address, &session).await;
    let (mut request, mut response) = (stream.request, stream.response);
    let (mut sender, mut receiver) = socket.split();
    // The response is read only when everything is stuck.
    let mut out = BytesMut::new();
    request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    sender.send(Message::Binary(out.split().freeze())).await.unwrap();
    let _io = connections.recv().await.unwrap();
    let filling = async {
        for _ in 0..400 {
            request.data(&[0; 60_000], false, &mut out).unwrap();
            if sender.send(Message::Binary(out.split().freeze())).await.is_err() {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), filling).await;
    let ends = async {
        while let Some(Ok(message)) = receiver.next().await {
            if let Message::Binary(frame) = message {
                response.push(frame);
                while let Some(event) = response.next_event().unwrap() {
                    if let Event::Data { data, .. } = event {
                        assert_eq!(data, "ok");
                    }
                }
            }
        }
    };
    timeout(Duration::from_secs(5), ends).await.expect("the connection is still open");
}

/// A refusal reaches a client that is still sending, as it does outside tunnels.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let proxy = Fixture::start(app::echo().await).await;
    let mut socket = socket(proxy.address).await;
    let session = proxy.connect(SUITE).await;
    let mut open = session.open_stream().unwrap().open.encode();
    open[1] ^= 1;
    socket.send(Message::binary(open.to_vec())).await.unwrap();
    let mut sent = 0;
    while sent < 20 && socket.send(Message::binary(vec![0; 60_000])).await.is_ok() {
        sent += 1;
    }
    let close = loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(close)))) => break u16::from(close.code),
            Some(Ok(_)) => {}
            other => panic!("{other:?} after {sent} messages"),
        }
    };
    assert_eq!(close, 4422);
}

/// A client that floods pings, and does not read, holds up nobody and does not fill memory.
#[tokio::test]
async fn pings_that_are_not_read_are_not_collected() {
    let (_proxy, _session, mut tunnel, mut io) = upgraded().await;
    for _ in 0..20_000 {
        if tunnel.socket.send(Message::Ping(vec![0; 125].into())).await.is_err() {
            return;
        }
    }
    tunnel.data(b"still here", false).await;
    let mut read = [0; 10];
    io.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");
}

/// The client ends its direction before the app has agreed: SPEC.md, Section 10.6, calls that an error.
#[tokio::test]
async fn empty_data_before_the_app_has_agreed_is_an_error() {
    let app = app::RawApp::start("").await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
    tunnel.data(b"", true).await;
    assert_eq!(tunnel.next().await, Ok(Event::Reset(ResetCode::PROTOCOL_ERROR)));
}

/// At the end of the wait for open streams an upgraded connection breaks.
#[tokio::test]
async fn row_06_shutdown_breaks_upgraded_connections() {
    let (address, mut connections) = answering(AGREED).await;
    let proxy = Fixture::with(address, |config| {
        config.limits.drain_timeout = Duration::from_millis(300);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
    assert_eq!(tunnel.status().await, 101);
    let mut io = connections.recv().await.unwrap();
    timeout(Duration::from_secs(2), proxy.running.shutdown()).await.unwrap();
    let ended = timeout(Duration::from_secs(1), io.read_u8()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(!matches!(tunnel.next().await, Ok(Event::Data { fin: true, .. })));
}

/// Row 32: an echo over HTTP/1.1 whose client does not read, and leaves when all buffers are full.
#[tokio::test]
async fn row_32_an_echo_that_is_stuck_ends_when_its_client_leaves() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let address = app::serve(move |request| {
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
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let before = sockets();
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(tunnel.status().await, 200);
    let filling = async {
        for _ in 0..2000 {
            tunnel.data(&[0; 60_000], false).await;
        }
    };
    assert!(timeout(Duration::from_secs(4), filling).await.is_err(), "the client is not stuck");
    drop(tunnel);
    let ended = timeout(Duration::from_secs(WAIT), events.recv()).await;
    // Both ends of the connection to the app are in this process.
    let kept = sockets().saturating_sub(before);
    assert_eq!(ended.ok().flatten(), Some("ended"), "not cancelled; {kept} sockets kept");
}

fn sockets() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}
