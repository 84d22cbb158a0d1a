//! Streams over a WebSocket, and connections of the app that change their protocol (SPEC.md, Sections
//! 10.6 and 11.1).
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::client::Call;
use common::tunnel::{AGREED, TUNNEL, Tunnel, close_of, fixture, socket, switching, upgraded};
use common::{Fixture, app, outer};
use futures_util::{SinkExt, StreamExt};
use http::Request;
use std::time::Duration;
use steve_protocol::stream::{Event, ResetCode};
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const SUITE: Suite = Suite::X25519Aes256Gcm;

#[tokio::test]
async fn bytes_pass_both_ways_and_each_direction_ends_by_itself() {
    let (_proxy, _session, mut tunnel, head, mut io) = upgraded(AGREED).await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: echo/1\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");

    let Ok(Event::Head { head, fin: false }) = tunnel.next().await else { panic!("no head") };
    let names: Vec<_> = head.fields().iter().map(|line| line.name().to_owned()).collect();
    assert_eq!((head.status(), names), (101, vec!["x-kept".to_owned()]));

    tunnel.data(b"from the client", false).await;
    let mut read = [0; 15];
    io.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"from the client");
    io.write_all(b"from the app").await.unwrap();
    let Ok(Event::Data { data, fin: false }) = tunnel.next().await else { panic!("no data") };
    assert_eq!(data, "from the app");

    // The client has said everything; the app goes on.
    tunnel.data(b"", true).await;
    assert_eq!(io.read(&mut read).await.unwrap(), 0);
    io.write_all(b"last words").await.unwrap();
    drop(io);
    assert_eq!(tunnel.rest().await, "last words");
    assert_eq!(tunnel.next().await, Err((1000, String::new())));
}

#[tokio::test]
async fn the_app_can_end_first() {
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
    io.write_all(b"bye").await.unwrap();
    io.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await, "bye");
    tunnel.data(b"still here", true).await;
    let mut read = String::new();
    io.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "still here");
    assert_eq!(tunnel.next().await, Err((1000, String::new())));
}

#[tokio::test]
async fn megabytes_pass_while_both_ends_send() {
    let (_proxy, _session, tunnel, _, mut io) = upgraded(AGREED).await;
    const LEN: usize = 40_000_000;
    let app = tokio::spawn(async move {
        let (mut from, mut to) = io.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap()
    });
    let Tunnel { socket, stream } = tunnel;
    let (mut sender, mut receiver) = socket.split();
    let (mut request, mut response) = (stream.request, stream.response);
    let sending = async {
        let mut left = LEN;
        while left > 0 {
            let chunk = vec![7; left.min(60_000)];
            left -= chunk.len();
            let mut out = BytesMut::new();
            request.data(&chunk, left == 0, &mut out).unwrap();
            sender.send(Message::Binary(out.freeze())).await.unwrap();
        }
    };
    let receiving = async {
        let mut seen = 0;
        loop {
            match response.next_event().unwrap() {
                Some(Event::Data { data, fin }) => {
                    assert!(data.iter().all(|byte| *byte == 7));
                    seen += data.len();
                    if fin {
                        return seen;
                    }
                }
                Some(_) => {}
                None => match receiver.next().await.unwrap().unwrap() {
                    Message::Binary(frame) => response.push(frame),
                    _ => continue,
                },
            }
        }
    };
    // The 101 is the first event.
    let ((), seen) = tokio::join!(sending, receiving);
    assert_eq!((seen, app.await.unwrap()), (LEN, LEN as u64));
}

/// Row 6: a broken connection is never a clean end.
#[tokio::test]
async fn row_06_an_app_that_breaks_off_is_a_reset() {
    let (_proxy, _session, mut tunnel, _, io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
    io.set_zero_linger().unwrap();
    drop(io);
    assert_eq!(tunnel.next().await, Ok(Event::Reset(ResetCode::APP_FAILED)));
}

/// Row 6: the app does not take a client that vanished for one that has said everything.
#[tokio::test]
async fn row_06_a_client_that_vanishes_breaks_the_connection() {
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
    tunnel.data(b"half a mess", false).await;
    drop(tunnel);
    let mut read = Vec::new();
    let ended = timeout(Duration::from_secs(1), io.read_to_end(&mut read)).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn row_21_only_the_protocol_asked_for_is_agreed_to() {
    for answer in [
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\
            Content-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo/1, other\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo/1\r\nUpgrade: echo/1\r\n\r\n",
    ] {
        let (_proxy, _session, mut tunnel, _, _io) = upgraded(answer).await;
        assert_eq!(tunnel.status().await, 502, "{answer}");
    }
    // Without having asked at all.
    let (address, _connections) = switching(AGREED).await;
    let proxy = Fixture::start(address).await;
    assert_eq!(proxy.get("/").await.error(), (502, "app_malformed_response"));
}

/// Row 21: bytes that a client sends too early would be the next request for an app that refuses.
#[tokio::test]
async fn row_21_nothing_reaches_the_app_before_it_has_agreed() {
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(refusal).await;
    assert_eq!(tunnel.status().await, 403);
    tunnel.data(b"GET /admin HTTP/1.1\r\n\r\n", false).await;
    assert_eq!(tunnel.rest().await, "no");
    let mut read = Vec::new();
    io.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"", "the connection is not used again, and nothing follows the request");

    // Before the app has answered at all.
    let app = app::RawApp::start("").await;
    let proxy = fixture(app.address).await;
    let session = proxy.connect(SUITE).await;
    for (early, fin) in [(&b"GET /admin HTTP/1.1\r\n\r\n"[..], false), (b"", true)] {
        let mut tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
        tunnel.data(early, fin).await;
        assert_eq!(tunnel.next().await, Ok(Event::Reset(ResetCode::PROTOCOL_ERROR)));
    }
    assert!(!app.seen().contains("/admin"));
}

/// Row 22: an app that took the bytes for HTTP would read requests with a `steve-session` of the
/// client's making.
#[tokio::test]
async fn row_22_only_configured_protocols() {
    let app = app::RawApp::start("").await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    for protocol in ["h2c-14", "spdy/3.1", "websocket/13", "echo/1"] {
        let mut tunnel = Tunnel::ask(proxy.address, &session, protocol).await;
        assert_eq!(tunnel.status().await, 501, "{protocol}");
    }
    assert_eq!(app.seen(), "");
}

/// Row 6: that the app has ended its own direction makes no difference.
#[tokio::test]
async fn row_06_a_client_that_vanishes_after_the_app_has_ended() {
    let (_proxy, _session, mut tunnel, _, mut io) = upgraded(AGREED).await;
    assert_eq!(tunnel.status().await, 101);
    io.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await, "");
    tunnel.data(b"half a mess", false).await;
    let mut read = [0; 11];
    io.read_exact(&mut read).await.unwrap();
    drop(tunnel);
    let ended = timeout(Duration::from_secs(1), io.read_u8()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_upgrade_over_the_stream_resource() {
    let (address, mut connections) = switching(AGREED).await;
    let proxy = fixture(address).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    stream.response.answers_upgrade_request();
    let (sender, body) = outer::channel();
    let call = Call::get("/").field("upgrade", "Echo/1");
    let mut out = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&call.head(), false, &mut out).unwrap();
    sender.send(Ok(out.split().freeze())).await.unwrap();
    let response = outer::post(proxy.address, common::STREAM, body).await;
    let mut reader = common::client::Reader::new(stream.response, response).unwrap();
    assert!(matches!(reader.next().await, Ok(Some(Event::Head { .. }))));
    let (_, mut io) = connections.recv().await.unwrap();
    stream.request.data(b"ping", false, &mut out).unwrap();
    sender.send(Ok(out.split().freeze())).await.unwrap();
    let mut read = [0; 4];
    io.read_exact(&mut read).await.unwrap();
    io.write_all(b"pong").await.unwrap();
    drop(io);
    let Ok(Some(Event::Data { data, .. })) = reader.next().await else { panic!("no data") };
    assert_eq!((&read, &data[..]), (b"ping", &b"pong"[..]));
}

#[tokio::test]
async fn an_ordinary_exchange_in_a_tunnel() {
    let proxy = Fixture::start(app::echo().await).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let head = Call::post("/a", "").head();
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&head, false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    tunnel.data(b"one, ", false).await;
    tunnel.data(b"two", true).await;
    assert_eq!(tunnel.status().await, 200);
    let body = tunnel.rest().await;
    assert!(body.starts_with(b"POST /a\n") && body.ends_with(b"\n\none, two"), "{body:?}");
    assert_eq!(tunnel.next().await, Err((1000, String::new())));
}

/// Row 24: whatever depends on a secret has one answer.
#[tokio::test]
async fn row_24_refusals_are_close_codes() {
    let proxy = Fixture::with(app::echo().await, |config| {
        config.limits.first_frame_timeout = Duration::from_millis(300);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let used = session.open_stream().unwrap();
    let call = Call::get("/").seal(&mut session.open_stream().unwrap());
    let (open, frame) = call.split_at(25);
    let replay = async || {
        let mut socket = socket(proxy.address).await;
        for message in [open, frame] {
            socket.send(Message::binary(message.to_vec())).await.unwrap();
        }
        close_of(socket).await
    };
    assert_eq!(replay().await.0, 1000);
    assert_eq!(replay().await, (4422, "unrecognized".into()));
    let unknown = [&[2][..], &[0; 16], &1u64.to_be_bytes()].concat();
    let unknown = refused(&proxy, &[&unknown]).await;
    let garbage = refused(&proxy, &[&used.open.encode(), &[0, 0, 0, 17, 9, 9, 9]]).await;
    let tampered =
        refused(&proxy, &[&used.open.encode(), &[&[0, 0, 0, 17][..], &[9; 17]].concat()]).await;
    assert_eq!(unknown, (4422, "unrecognized".into()));
    assert_eq!(tampered, unknown);
    assert_eq!(garbage, (4408, "timeout".into()), "an incomplete first frame");
    assert_eq!(refused(&proxy, &[]).await, (4408, "timeout".into()));
    for malformed in [&used.open.encode()[..24], &[&used.open.encode()[..], &[0]].concat()] {
        assert_eq!(refused(&proxy, &[malformed]).await, (4400, "malformed".into()));
    }
}

async fn refused(proxy: &Fixture, messages: &[&[u8]]) -> (u16, String) {
    let mut socket = socket(proxy.address).await;
    for message in messages {
        socket.send(Message::binary(message.to_vec())).await.unwrap();
    }
    close_of(socket).await
}

/// Row 18: what is no frame is not collected.
#[tokio::test]
async fn row_18_messages_that_no_tunnel_carries() {
    let proxy = Fixture::start(app::echo().await).await;
    for (message, code) in [
        (Message::text("hello"), 1003),
        (Message::binary(vec![0; 65_558]), 1009),
        (Message::binary(vec![0; 10_000_000]), 1009),
    ] {
        let mut socket = socket(proxy.address).await;
        // The largest is refused before it has gone out.
        let _ = socket.send(message).await;
        assert_eq!(close_of(socket).await.0, code);
    }
}

#[tokio::test]
async fn handshakes_that_are_refused() {
    let proxy = Fixture::with(app::echo().await, |config| {
        config.cors_origins = vec!["https://page.example".into()];
    })
    .await;
    let ask = async |fields: &[(&str, &str)]| {
        let mut request = Request::get(TUNNEL);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(outer::whole(Bytes::new())).unwrap();
        let response = outer::send(proxy.address, request).await;
        response.status().as_u16()
    };
    let good = [
        ("host", "app.example"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(ask(&good).await, 101);
    for missing in 1..good.len() {
        let fields: Vec<_> = (0..good.len()).filter(|i| *i != missing).map(|i| good[i]).collect();
        assert_eq!(ask(&fields).await, 426, "without {}", good[missing].0);
    }
    for (host, origin, status) in [
        ("app.example", "https://page.example", 101),
        ("app.example", "https://app.example", 101),
        ("app.example:443", "https://app.example", 101),
        ("app.example", "https://app.example:443", 101),
        ("APP.example:80", "http://app.example", 101),
        ("app.example:80", "https://app.example", 403),
        ("app.example:443", "http://app.example", 403),
        ("app.example", "https://evil.example", 403),
        ("app.example", "https://app.example:8443", 403),
        ("app.example", "null", 403),
    ] {
        let fields = [&[("host", host)], &good[1..], &[("origin", origin)]].concat();
        assert_eq!(ask(&fields).await, status, "{origin} at {host}");
    }
}

/// Row 32: an app's request ends when the client of its tunnel is gone.
#[tokio::test]
async fn row_32_a_client_that_leaves_cancels_the_request() {
    struct Ended(mpsc::UnboundedSender<&'static str>);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.send("ended");
        }
    }
    let (sender, mut events) = mpsc::unbounded_channel();
    let address = app::serve(move |_| {
        let ended = Ended(sender.clone());
        async move {
            ended.0.send("begun").unwrap();
            std::future::pending::<()>().await;
            app::text("")
        }
    })
    .await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::get("/").head(), true, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(events.recv().await, Some("begun"));
    drop(tunnel);
    let ended = timeout(Duration::from_secs(1), events.recv()).await;
    assert_eq!(ended.unwrap(), Some("ended"));
}
