//! Row 25: what lengths and times of frames tell an observer of the wire.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::client::{Call, Failure};
use common::{Fixture, STREAM, app, outer};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use steve_protocol::shaping::{FIELD, Padding, Shaping};
use steve_protocol::suite::Suite;
use steve_sdk::{Client, Error, Receipt, RequestBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

type Record = Arc<Mutex<Vec<u8>>>;

/// Somebody on the way who reads along.
struct Observer {
    address: SocketAddr,
    to_proxy: Record,
    to_client: Record,
}

impl Observer {
    async fn of(proxy: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to_proxy, to_client) = (Record::default(), Record::default());
        let records = (to_proxy.clone(), to_client.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from_client, client) = client.into_split();
                let (from_proxy, proxy) = TcpStream::connect(proxy).await.unwrap().into_split();
                tokio::spawn(copy(from_client, proxy, records.0.clone()));
                tokio::spawn(copy(from_proxy, client, records.1.clone()));
            }
        });
        Self { address, to_proxy, to_client }
    }

    fn forget(&self) {
        for record in [&self.to_proxy, &self.to_client] {
            record.lock().unwrap().clear();
        }
    }

    /// Lengths of the frames of requests and responses so far, in order.
    fn frames(&self) -> [Vec<usize>; 2] {
        [&self.to_proxy, &self.to_client].map(|record| {
            let record = std::mem::take(&mut *record.lock().unwrap());
            messages(&record).into_iter().flat_map(|body| lengths(&body)).collect()
        })
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, record: Record) {
    let mut chunk = [0; 16_384];
    while let Ok(len @ 1..) = from.read(&mut chunk).await {
        record.lock().unwrap().extend_from_slice(&chunk[..len]);
        if to.write_all(&chunk[..len]).await.is_err() {
            return;
        }
    }
}

/// Bodies of HTTP/1.1 messages, one after the other.
fn messages(mut wire: &[u8]) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    while !wire.is_empty() {
        let end = wire.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(wire[..end].to_vec()).unwrap().to_lowercase();
        wire = &wire[end..];
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            loop {
                let line = wire.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
                let size = std::str::from_utf8(&wire[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                body.extend_from_slice(&wire[line + 2..][..size]);
                wire = &wire[line + 2 + size + 2..];
                if size == 0 {
                    break;
                }
            }
        } else if let Some((_, length)) = head.split_once("content-length: ") {
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            body.extend_from_slice(&wire[..length]);
            wire = &wire[length..];
        }
        bodies.push(body.into());
    }
    bodies
}

/// Lengths of the frames in the body of a stream: of a request (kind 2) or a response.
fn lengths(body: &[u8]) -> Vec<usize> {
    let mut rest = if body.first() == Some(&2) { &body[25..] } else { body };
    let mut lengths = Vec::new();
    while let Some((header, _)) = rest.split_first_chunk() {
        let len = 4 + u32::from_be_bytes(*header) as usize;
        lengths.push(len);
        rest = &rest[len..];
    }
    lengths
}

fn client(proxy: &Fixture, observer: &Observer, shaping: &str) -> Client {
    let shaping: Shaping = shaping.parse().unwrap();
    proxy.sdk_at(observer.address, |builder| builder.padding(shaping).early_data(false))
}

/// The app that answers with as many bytes as the path says.
async fn sized() -> SocketAddr {
    app::serve(|request| async move {
        let len = request.uri().path()[1..].parse().unwrap();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert!(body.iter().all(|byte| *byte == 7));
        app::text(vec![b'x'; len])
    })
    .await
}

#[tokio::test]
async fn row_25_lengths_within_a_bucket_look_alike() {
    let proxy = Fixture::start(sized().await).await;
    let observer = Observer::of(proxy.address).await;
    for (shaping, alike) in [("none", false), ("padme", true), ("block=2048", true)] {
        let client = client(&proxy, &observer, shaping);
        client.session_binding().await.unwrap();
        let mut seen = Vec::new();
        for (request, response) in [(3000, 1000), (3050, 1002)] {
            observer.forget();
            let sending = client.post(&format!("/{response}")).body(vec![7; request]).send();
            let body = sending.await.unwrap().into_body().bytes().await.unwrap();
            assert_eq!(body.len(), response);
            seen.push(observer.frames());
        }
        assert_eq!(seen[0] == seen[1], alike, "{shaping}: {seen:?}");
        let padding = shaping.parse::<Shaping>().unwrap().padding;
        for frames in seen.iter().flatten() {
            let total: usize = frames.iter().sum();
            assert!(frames.len() >= 2);
            assert_eq!(padding.bucket(total as u64), total as u64);
        }
    }
}

/// The app that writes its first bytes at once, and the rest when it is told to.
async fn speaks(parts: [&'static [u8]; 2], go_on: Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            if app::is_probe(&io).await {
                continue;
            }
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.unwrap());
            }
            io.write_all(parts[0]).await.unwrap();
            go_on.notified().await;
            io.write_all(parts[1]).await.unwrap();
        }
    });
    address
}

/// Frames of a response whose tokens come in two writes.
async fn frames_of(parts: [&'static [u8]; 2], shaping: &str) -> Vec<usize> {
    let go_on = Arc::new(Notify::new());
    let proxy = Fixture::start(speaks(parts, go_on.clone()).await).await;
    let observer = Observer::of(proxy.address).await;
    let client = client(&proxy, &observer, shaping);
    client.session_binding().await.unwrap();
    observer.forget();
    let mut body = client.get("/").send().await.unwrap().into_body();
    let mut text = Vec::new();
    while text != b"unbeliev" {
        text.extend_from_slice(&body.chunk().await.unwrap().unwrap());
    }
    go_on.notify_one();
    while let Some(chunk) = body.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    assert_eq!(text, b"unbelievable!");
    let [_, frames] = observer.frames();
    frames
}

#[tokio::test]
async fn row_25_coalescing_hides_where_tokens_begin() {
    let one = [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nun\r\n6\r\nbeliev\r\n"[..],
        b"4\r\nable\r\n1\r\n!\r\n0\r\n\r\n",
    ];
    let other = [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nu\r\n1\r\nn\r\n6\r\nbeliev\r\n"[..],
        b"5\r\nable!\r\n0\r\n\r\n",
    ];
    assert_ne!(frames_of(one, "none").await, frames_of(other, "none").await);
    for shaping in ["padme, coalesce=300", "block=64, coalesce=300"] {
        let frames = frames_of(one, shaping).await;
        assert_eq!(frames, frames_of(other, shaping).await);
        // Head and first tokens at one tick, all the rest at another.
        assert_eq!(frames.len(), 3, "{frames:?}");
    }
}

#[tokio::test]
async fn row_25_a_wish_is_honoured_and_the_route_keeps_its_minimum() {
    let padding = vec!["/v1=block=1024".to_owned(), "/v1/open=none".to_owned()];
    let proxy = Fixture::with(app::echo().await, |config| config.padding = padding).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    for (path, wish, blocks) in [
        ("/", None, None),
        ("/v1", None, Some(1024)),
        ("/v1/x?y", Some("none"), Some(1024)),
        ("/v1/x", Some("block=512"), Some(1024)),
        ("/v1/x", Some("block=3072"), Some(3072)),
        ("/v12", None, None),
        ("/v1/open", None, None),
        ("/v1/open", Some("block=100, coalesce=10"), Some(100)),
    ] {
        let mut call = Call::get(path);
        if let Some(wish) = wish {
            call = call.field(FIELD, wish);
        }
        let mut stream = session.open_stream().unwrap();
        let body = outer::whole(call.seal(&mut stream));
        let answer = outer::post(proxy.address, STREAM, body).await;
        let sealed = answer.into_body().collect().await.unwrap().to_bytes();
        let frames = lengths(&sealed);
        match blocks {
            Some(block) => assert!(frames.iter().all(|len| len % block == 0), "{path}: {frames:?}"),
            None => assert!(frames.iter().any(|len| len % 4 != 0), "{path}: {frames:?}"),
        }
        stream.response.push(sealed);
        let mut text = Vec::new();
        while let Some(event) = stream.response.next_event().unwrap() {
            if let steve_protocol::stream::Event::Data { data, .. } = event {
                text.extend_from_slice(&data);
            }
        }
        assert!(stream.response.is_complete());
        assert!(!String::from_utf8(text).unwrap().contains(FIELD), "the app has seen the wish");
    }
    for call in [
        Call::get("/").field(FIELD, "wide"),
        Call::get("/").field(FIELD, "padme").field(FIELD, "padme"),
    ] {
        let answer: Result<_, Failure> = call.send(proxy.address, &session).await;
        assert_eq!(answer.unwrap().error(), (400, "malformed_request"));
    }
}

#[tokio::test]
async fn row_25_long_bodies_and_streams_end_in_a_bucket() {
    let proxy = Fixture::start(sized().await).await;
    let observer = Observer::of(proxy.address).await;
    let client = client(&proxy, &observer, "padme, coalesce=20");
    client.session_binding().await.unwrap();
    for (sent, received) in [(0, 0), (70_000, 300_000), (5_000_001, 4_200_001)] {
        observer.forget();
        let pieces = (0..sent).step_by(9999).map(move |at| {
            let piece = vec![7; (sent - at).min(9999)];
            Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(piece)))
        });
        let body = RequestBody::new(StreamBody::new(futures_util::stream::iter(pieces)));
        let response = client.post(&format!("/{received}")).body(body).send().await.unwrap();
        assert_eq!(response.into_body().bytes().await.unwrap().len(), received);
        // The outer request's last chunk may be on its way yet.
        common::eventually("the end of both", || {
            let wire = [&observer.to_proxy, &observer.to_client].map(|r| r.lock().unwrap().clone());
            wire.iter().all(|wire| wire.ends_with(b"\r\n0\r\n\r\n"))
        })
        .await;
        for frames in observer.frames() {
            let total: usize = frames.iter().sum();
            assert_eq!(Padding::Padme.bucket(total as u64), total as u64, "{frames:?}");
        }
    }
}

#[tokio::test]
async fn an_app_that_dies_is_an_error_however_it_is_padded() {
    let broken: [&'static [u8]; 2] =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nunbeliev", b""];
    let go_on = Arc::new(Notify::new());
    go_on.notify_one();
    let proxy = Fixture::start(speaks(broken, go_on).await).await;
    let observer = Observer::of(proxy.address).await;
    let client = client(&proxy, &observer, "padme, coalesce=50");
    let error = client.get("/").send().await.unwrap().into_body().bytes().await.unwrap_err();
    assert!(matches!(error, Error::Channel(_)), "{error}");
}

#[tokio::test]
async fn upgraded_connections_and_early_requests_are_padded_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let Ok(mut socket) = tokio_tungstenite::accept_async(io).await else { continue };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    });
    let proxy = Fixture::start(address).await;
    let shaping: Shaping = "block=16384, coalesce=10".parse().unwrap();
    let client = proxy.sdk_at(proxy.address, |builder| builder.padding(shaping));
    let (mut socket, _) = client.websocket("/").await.unwrap();
    for text in ["hello".to_owned(), "x".repeat(300_000)] {
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text.as_str());
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none());

    let proxy = Fixture::start(sized().await).await;
    let observer = Observer::of(proxy.address).await;
    let client = proxy.sdk_at(observer.address, |builder| builder.padding(Padding::Padme));
    let response = client.get("/1000").send().await.unwrap();
    assert_eq!(response.extensions().get::<Receipt>().unwrap().stream_id(), 0);
    response.into_body().bytes().await.unwrap();
    let seen = [&observer.to_proxy, &observer.to_client]
        .map(|record| messages(&record.lock().unwrap()).last().unwrap().len());
    // ClientHello and ServerHello of X-Wing, one frame there and two back.
    assert_eq!(seen, [2350 + 256, 1168 + 1280]);
}
