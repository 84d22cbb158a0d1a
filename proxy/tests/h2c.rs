//! Apps that speak HTTP/2, as gRPC servers do: `h2c://` upstreams.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::client::{Call, Failure, Reader};
use common::h2c::{fixture, serve};
use common::outer::{self, Body};
use common::tunnel::Tunnel;
use common::{STREAM, app};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use steve_protocol::stream::{Event, ResetCode};
use steve_protocol::suite::Suite;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// Says what arrived, and repeats the body and its trailers.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let body = [text.as_bytes(), b"\n", &collected.to_bytes()].concat();
    let frames = [Ok(Frame::data(Bytes::from(body))), Ok(Frame::trailers(trailers))];
    Response::new(BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::iter(frames))))
}

#[tokio::test]
async fn messages_pass_with_trailers_and_share_one_connection() {
    let (app, connections) = serve(echo).await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    for _ in 0..3 {
        let call = Call::post("/a?b", "body")
            .field("content-length", "4")
            .field("te", "trailers")
            .field("x-one", "1")
            .field("x-one", "2")
            .trailer("x-sum", "9");
        let answer = call.send(proxy.address, &session).await.unwrap();
        let text = answer.text();
        assert!(text.starts_with("POST http://app.example/a?b\n"), "{text}");
        assert!(text.contains("te: trailers\nx-one: 1\nx-one: 2\n"), "{text}");
        assert!(text.contains("content-length: 4\n") && text.contains("steve-session: "), "{text}");
        assert!(!text.contains("host: ") && !text.contains("transfer-encoding"), "{text}");
        assert!(text.ends_with("\n\nbody"), "{text}");
        assert_eq!(answer.trailers, [("x-sum".into(), "9".into())]);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    let bare = Call::get("/").send(proxy.address, &session).await.unwrap();
    assert!(bare.text().starts_with("GET http://app.example/\n"));
}

/// Each end waits for the other's message before it sends its next.
#[tokio::test]
async fn both_directions_at_once() {
    let (app, _) = serve(|request| async {
        let mut body = request.into_body();
        let (sender, answer) = outer::channel();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap();
                sender.send(Ok([b"re: ", &data[..]].concat().into())).await.unwrap();
            }
        });
        Response::new(answer)
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let mut out = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    let (sender, body) = outer::channel();
    sender.send(Ok(out.split().freeze())).await.unwrap();
    let response = outer::post(proxy.address, STREAM, body).await;
    let mut reader = Reader::new(stream.response, response).unwrap();
    assert!(matches!(reader.next().await, Ok(Some(Event::Head { .. }))));
    for turn in 0..5 {
        let message = format!("{turn}");
        stream.request.data(message.as_bytes(), turn == 4, &mut out).unwrap();
        sender.send(Ok(out.split().freeze())).await.unwrap();
        let Ok(Some(Event::Data { data, .. })) = reader.next().await else { panic!("no data") };
        assert_eq!(data, format!("re: {turn}"));
    }
    assert!(matches!(reader.next().await, Ok(Some(Event::Data { fin: true, .. }))));
}

/// Row 6: the app sees neither END_STREAM nor trailers of a request that breaks off.
#[tokio::test]
async fn row_06_a_request_that_breaks_off_is_never_complete() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let (app, _) = serve(move |request| {
        let sender = sender.clone();
        async move {
            sender.send(request.into_body().collect().await.is_ok()).unwrap();
            app::text("")
        }
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let mut out = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    stream.request.data(b"half", false, &mut out).unwrap();
    let answer = outer::post(proxy.address, STREAM, outer::whole(out.split().freeze())).await;
    let failure = common::client::read(stream.response, answer).await.unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::TRUNCATED));
    assert_eq!(ends.recv().await, Some(false));
}

#[tokio::test]
async fn row_06_an_app_that_resets_its_stream_is_a_reset() {
    let (app, _) = serve(|_| async {
        let (sender, body) = outer::channel();
        tokio::spawn(async move {
            sender.send(Ok("half".into())).await.unwrap();
            sender.send(Err(std::io::Error::other("gone"))).await.unwrap();
        });
        Response::new(body)
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let failure = Call::get("/").send(proxy.address, &session).await.unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::APP_FAILED));
}

/// Row 23: a response that nobody reads holds up no other on the connection they share.
#[tokio::test]
async fn row_23_slow_readers_do_not_hold_up_others() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    let (app, connections) = serve(move |request| {
        let counted = counted.clone();
        async move {
            match request.uri().path() {
                "/endless" => {
                    let chunk = Bytes::from(vec![0; 65_536]);
                    let chunks = futures_util::stream::repeat_with(move || {
                        counted.fetch_add(1, Ordering::Relaxed);
                        Ok(Frame::data(chunk.clone()))
                    });
                    Response::new(BodyExt::boxed_unsync(StreamBody::new(chunks)))
                }
                _ => app::text("quick"),
            }
        }
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut unread = Vec::new();
    for _ in 0..24 {
        let mut stream = session.open_stream().unwrap();
        let body = outer::whole(Call::get("/endless").seal(&mut stream));
        unread.push(outer::post(proxy.address, STREAM, body).await);
    }
    let mut before = 0;
    while before != written.load(Ordering::Relaxed) {
        before = written.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let call = Call::get("/quick");
    let quick = timeout(Duration::from_secs(5), call.send(proxy.address, &session))
        .await
        .expect("held up")
        .unwrap();
    assert_eq!(quick.text(), "quick");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_stream() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (app, _) = serve(move |request| {
        let sender = sender.clone();
        async move {
            sender.send("begun").unwrap();
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            sender.send("ended").unwrap();
            app::text("")
        }
    })
    .await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::post("/", "").head(), false, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(events.recv().await, Some("begun"));
    drop(tunnel);
    let ended = timeout(Duration::from_secs(1), events.recv()).await;
    assert_eq!(ended.unwrap(), Some("ended"));
}

#[tokio::test]
async fn what_cannot_be_had_over_http_2() {
    let (app, connections) = serve(|_| async { app::text("") }).await;
    let proxy = fixture(app).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::ask(proxy.address, &session, "websocket").await;
    assert_eq!(tunnel.status().await, 501);
    assert_eq!(connections.load(Ordering::Relaxed), 0, "not dispatched");
    let gone = fixture(app::nowhere().await).await;
    assert_eq!(gone.get("/").await.error(), (502, "app_unreachable"));
    // An app that speaks HTTP/1.1 alone.
    let wrong = fixture(app::echo().await).await;
    let session = wrong.connect(SUITE).await;
    let answer = Call::get("/").send(wrong.address, &session).await;
    assert!(!matches!(answer, Ok(ref inner) if inner.status == 200), "{answer:?}");
}

#[tokio::test]
async fn interim_responses_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            // A probe of the proxy's brings no request.
            let Ok(mut server) = h2::server::handshake(io).await else { continue };
            while let Some(Ok((_, mut respond))) = server.accept().await {
                for status in [102, 103] {
                    let interim = Response::builder().status(status).body(()).unwrap();
                    respond.send_informational(interim).unwrap();
                }
                respond.send_response(Response::new(()), true).unwrap();
            }
        }
    });
    let proxy = fixture(app).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.interim, answer.status), (vec![102, 103], 200));
}
