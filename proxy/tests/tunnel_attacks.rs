//! Attacks on tunnels and upgraded connections.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::BytesMut;
use common::client::Call;
use common::tunnel::{AGREED, Tunnel, close_of, socket, switching, upgraded};
use common::{Fixture, app, outer};
use futures_util::{SinkExt, StreamExt};
use http::Response;
use http_body_util::BodyExt;
use std::io::ErrorKind;
use std::time::Duration;
use steve_protocol::session::ClientSession;
use steve_protocol::stream::{Event, ResetCode};
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

const WAIT: u64 = 5;
const SUITE: Suite = Suite::X25519Aes256Gcm;
const PING: Duration = Duration::from_millis(50);
const SILENCE: Duration = Duration::from_millis(300);

/// Row 6: the app has said everything and still listens, and the client gives up half-way.
#[tokio::test]
async fn row_06_a_client_that_resets_after_the_app_has_ended() {
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
    io.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await, "");
    tunnel.data(b"half a mess", false).await;
    let mut read = [0; 11];
    io.read_exact(&mut read).await.unwrap();
    let mut out = BytesMut::new();
    tunnel.stream.request.reset(ResetCode::CANCELLED, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(broken(io).await, ErrorKind::ConnectionReset);
}

/// How the app's connection ends, if it is an error.
async fn broken(mut io: TcpStream) -> ErrorKind {
    let ended = timeout(Duration::from_secs(WAIT), io.read_u8()).await;
    ended.expect("the connection is still open").unwrap_err().kind()
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
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
    tunnel.data(b"all", true).await;
    let mut read = String::new();
    io.read_to_string(&mut read).await.unwrap();
    drop(tunnel);
    let broken = async {
        while io.write_all(b"news").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(WAIT), broken).await.expect("not broken");
}

/// An upgraded connection through a proxy that pings often.
async fn pinged() -> (Fixture, ClientSession, Tunnel, TcpStream) {
    let (address, mut connections) = switching(AGREED).await;
    let proxy = Fixture::with(address, |config| {
        config.upgrades = vec!["echo/1".into()];
        (config.limits.tunnel_ping, config.limits.tunnel_silence) = (PING, SILENCE);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
    assert_eq!(tunnel.status().await, 101);
    (proxy, session, tunnel, connections.recv().await.unwrap().1)
}

/// Row 32: a client that was lost without a word does not answer pings, even while the app sends.
#[tokio::test]
async fn row_32_a_client_that_answers_no_ping_is_gone() {
    let (_proxy, _session, _silent, io) = pinged().await;
    let (mut from_proxy, mut to_proxy) = io.into_split();
    let talking = tokio::spawn(async move {
        while to_proxy.write_all(b"news").await.is_ok() {
            sleep(PING / 5).await;
        }
    });
    let ended = timeout(Duration::from_secs(WAIT), from_proxy.read_u8()).await;
    assert_eq!(ended.expect("still open").unwrap_err().kind(), ErrorKind::ConnectionReset);
    timeout(Duration::from_secs(WAIT), talking).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_only_answers_pings_stays() {
    let (_proxy, _session, mut tunnel, mut io) = pinged().await;
    assert!(timeout(4 * SILENCE, tunnel.next()).await.is_err(), "something happened");
    io.write_all(b"still here").await.unwrap();
    drop(io);
    assert_eq!(tunnel.rest().await, "still here");
}

/// Answers may be stuck behind bytes that the app does not take.
#[tokio::test]
async fn an_app_that_does_not_read_makes_no_client_gone() {
    const LEN: usize = 40_000_000;
    let (_proxy, _session, mut tunnel, mut io) = pinged().await;
    let client = tokio::spawn(async move {
        for sent in (0..LEN).step_by(50_000) {
            tunnel.data(&[7; 50_000], sent + 50_000 == LEN).await;
        }
        tunnel.rest().await
    });
    sleep(4 * SILENCE).await;
    let mut read = Vec::new();
    timeout(Duration::from_secs(30), io.read_to_end(&mut read)).await.unwrap().unwrap();
    assert_eq!(read.len(), LEN);
    drop(io);
    assert_eq!(client.await.unwrap(), "");
}

/// An app that neither reads nor closes must not keep the client's connection open once the response
/// is over.
#[tokio::test]
async fn row_32_a_tunnel_that_is_over_is_closed_though_the_app_does_not_read() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (address, mut connections) = switching(answer).await;
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
    for _ in 0..20 {
        socket.send(Message::binary(vec![0; 10_000])).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(close_of(socket).await, (4422, "unrecognized".into()));
}

/// What no tunnel carries is said to be so after FIN too.
#[tokio::test]
async fn a_wrong_message_after_the_end_of_the_request() {
    let app = app::RawApp::start("").await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    for (message, code) in
        [(Message::text("hello"), 1003), (Message::binary(vec![0; 65_558]), 1009)]
    {
        let mut tunnel = Tunnel::open(proxy.address, &session).await;
        let mut out = BytesMut::new();
        tunnel.stream.request.head(&Call::get("/").head(), true, &mut out).unwrap();
        tunnel.frame(out.freeze()).await;
        tunnel.socket.send(message).await.unwrap();
        assert_eq!(close_of(tunnel.socket).await.0, code);
    }
}

/// A client that floods pings, and does not read, holds up nobody and does not fill memory.
#[tokio::test]
async fn pings_that_are_not_read_are_not_collected() {
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
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

/// Row 6: at the end of the wait for open streams neither end takes what it got for all there is.
#[tokio::test]
async fn row_06_shutdown_breaks_upgraded_connections() {
    let (address, mut connections) = switching(AGREED).await;
    let proxy = Fixture::with(address, |config| {
        config.upgrades = vec!["echo/1".into()];
        config.limits.drain_timeout = Duration::from_millis(300);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
    assert_eq!(tunnel.status().await, 101);
    let (_, mut io) = connections.recv().await.unwrap();
    let shutdown = tokio::spawn(proxy.running.shutdown());
    io.write_all(b"half a mess").await.unwrap();
    let Ok(Event::Data { data, fin: false }) = tunnel.next().await else { panic!("no data") };
    assert_eq!(data, "half a mess");
    assert_eq!(tunnel.next().await, Ok(Event::Reset(ResetCode::INTERNAL)));
    assert_eq!(tunnel.next().await, Err((1001, String::new())));
    assert_eq!(broken(io).await, ErrorKind::ConnectionReset);
    drop(tunnel);
    timeout(Duration::from_secs(WAIT), shutdown).await.unwrap().unwrap();
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
    assert_eq!(ended.ok().flatten(), Some("ended"), "not cancelled");
}
