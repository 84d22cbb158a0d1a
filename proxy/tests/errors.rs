//! What goes wrong between proxy and app, or in the client's request, and how the client learns of it.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::app::RawApp;
use common::client::{Call, Failure, Reader, read};
use common::{Fixture, HEALTH, STREAM, app, eventually, outer};
use std::time::{Duration, Instant};
use steve_protocol::session::ClientSession;
use steve_protocol::stream::{Event, ResetCode};
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// Sends a head and a piece of the body, and keeps the request open.
async fn start_upload(
    proxy: &Fixture,
    session: &ClientSession,
) -> (tokio::sync::mpsc::Sender<std::io::Result<Bytes>>, Reader) {
    let mut stream = session.open_stream().unwrap();
    let (sender, body) = outer::channel();
    let mut out = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&Call::new("POST", "/").head(), false, &mut out).unwrap();
    stream.request.data(b"piece", false, &mut out).unwrap();
    sender.send(Ok(out.freeze())).await.unwrap();
    let response = outer::post(proxy.address, STREAM, body).await;
    (sender, Reader::new(stream.response, response).unwrap())
}

#[tokio::test]
async fn an_app_that_is_down_gives_502_inside() {
    let proxy = Fixture::start(app::nowhere().await).await;
    let session = proxy.connect(SUITE).await;
    for call in [Call::get("/"), Call::post("/", vec![7; 100_000])] {
        let answer = call.send(proxy.address, &session).await.unwrap();
        assert_eq!(answer.error(), (502, "app_unreachable"));
        assert_eq!(answer.field("content-type"), Some("application/json"));
    }
    let answer = Call::new("HEAD", "/").send(proxy.address, &session).await.unwrap();
    assert_eq!((answer.status, answer.text()), (502, ""));
}

/// A client that is slow to send gets the answer all the same.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_not_lost() {
    let proxy = Fixture::start(app::nowhere().await).await;
    let session = proxy.connect(SUITE).await;
    let (sender, mut reader) = start_upload(&proxy, &session).await;
    let feeder = tokio::spawn(async move {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if sender.send(Ok(vec![0; 5000].into())).await.is_err() {
                return false;
            }
        }
        true
    });
    assert!(
        matches!(reader.next().await, Ok(Some(Event::Head { head, .. })) if head.status() == 502)
    );
    assert!(matches!(reader.next().await, Ok(Some(Event::Data { fin: true, .. }))));
    assert!(feeder.await.unwrap(), "the proxy closed on a client that was still sending");
}

#[tokio::test]
async fn an_oversized_head_gives_431_inside() {
    let app = RawApp::start("").await;
    let proxy = Fixture::with(app.address, |c| c.limits.max_head_size = 2000).await;
    let session = proxy.connect(SUITE).await;
    let call = Call::get("/").field("x", &"a".repeat(2000));
    let answer = call.send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.bodiless_error(), (431, "head_too_large"));
    assert_eq!(session.parameters().max_head_size, 2000);
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn too_many_field_lines_give_431_inside_and_name_the_limit() {
    let app = RawApp::start("").await;
    let proxy = Fixture::with(app.address, |c| c.limits.max_head_fields = 20).await;
    let session = proxy.connect(SUITE).await;
    let call = (0..21).fold(Call::get("/"), |call, _| call.field("x", "a"));
    let answer = call.send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.error(), (431, "head_too_large"));
    assert_eq!(answer.text(), r#"{"error":"head_too_large","option":"--max-head-fields"}"#);
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn connect_gives_501_inside() {
    let proxy = Fixture::start(app::nowhere().await).await;
    let session = proxy.connect(SUITE).await;
    let answer = Call::new("CONNECT", "/").send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.error(), (501, "not_implemented"));
}

#[tokio::test]
async fn an_oversized_response_head_gives_502_inside() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(70_000));
    let proxy = Fixture::start(RawApp::start(head.leak()).await.address).await;
    assert_eq!(proxy.get("/").await.error(), (502, "app_malformed_response"));
}

#[tokio::test]
async fn an_app_that_never_answers_gives_504_inside() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Fixture::with(silent.local_addr().unwrap(), |c| {
        c.limits.app_response_timeout = Duration::from_millis(300);
    })
    .await;
    assert_eq!(proxy.get("/").await.error(), (504, "app_timeout"));
}

#[tokio::test]
async fn a_request_that_stalls_is_reset_and_one_that_goes_on_is_not() {
    let app = app::echo().await;
    let change = |c: &mut steve_proxy::Config| {
        c.limits.app_response_timeout = Duration::from_millis(500);
    };
    let proxy = Fixture::with(app, change).await;
    let session = proxy.connect(SUITE).await;
    let (_sender, mut reader) = start_upload(&proxy, &session).await;
    assert!(matches!(reader.next().await, Ok(Some(Event::Reset(ResetCode::TIMEOUT)))));

    let mut stream = session.open_stream().unwrap();
    let sealed = Call::post("/", vec![7; 20]).seal(&mut stream);
    let (sender, body) = outer::channel();
    tokio::spawn(async move {
        for piece in sealed.chunks(sealed.len() / 6) {
            sender.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let response = outer::post(proxy.address, STREAM, body).await;
    assert_eq!(read(stream.response, response).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_first_frame_that_does_not_come_gives_408() {
    let proxy = Fixture::with(app::nowhere().await, |c| {
        c.limits.first_frame_timeout = Duration::from_millis(300);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let open = session.open_stream().unwrap().open.encode();
    for start in [vec![1], open.to_vec()] {
        let (sender, body) = outer::channel();
        sender.send(Ok(start.into())).await.unwrap();
        let answer = outer::collect(outer::post(proxy.address, STREAM, body).await).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (408, &br#"{"error":"timeout"}"#[..])
        );
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Fixture::start(listener.local_addr().unwrap()).await;
    let session = proxy.connect(SUITE).await;
    let request = tokio::spawn({
        let mut stream = session.open_stream().unwrap();
        let sealed = Call::get("/").seal(&mut stream);
        let address = proxy.address;
        async move {
            let mut io = tokio::net::TcpStream::connect(address).await.unwrap();
            let head = format!(
                "POST {STREAM} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
                sealed.len()
            );
            use tokio::io::AsyncWriteExt;
            io.write_all(&[head.as_bytes(), &sealed].concat()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let (_probe, _) = listener.accept().await.unwrap();
    let (app, _) = listener.accept().await.unwrap();
    let mut chunk = [0; 4096];
    app.readable().await.unwrap();
    while !matches!(app.try_read(&mut chunk), Ok(1..)) {
        app.readable().await.unwrap();
    }
    request.abort();
    let began = Instant::now();
    loop {
        app.readable().await.unwrap();
        match app.try_read(&mut chunk) {
            Ok(0) => break,
            Ok(_) => panic!("more of the request"),
            Err(_) => assert!(began.elapsed() < Duration::from_secs(10)),
        }
    }
}

/// Row 32: a client that stops reading does not hold the request for ever.
#[tokio::test]
async fn row_32_a_client_that_stops_reading_is_cut_off() {
    let endless = || {
        futures_util::stream::repeat_with(|| {
            Ok(http_body::Frame::data(Bytes::from_static(&[7; 65_536])))
        })
    };
    let dropped = std::sync::Arc::new(());
    let held = dropped.clone();
    let address = app::serve(move |_| {
        let held = held.clone();
        async move {
            use futures_util::StreamExt;
            let frames = endless().map(move |frame| {
                let _ = &held;
                frame
            });
            let body = http_body_util::StreamBody::new(frames);
            http::Response::new(http_body_util::BodyExt::boxed_unsync(body))
        }
    });
    let change = |c: &mut steve_proxy::Config| {
        c.limits.write_timeout = Duration::from_millis(500);
    };
    let proxy = Fixture::with(address.await, change).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let sealed = outer::whole(Call::get("/").seal(&mut stream));
    let before = std::sync::Arc::strong_count(&dropped);
    let _unread = outer::post(proxy.address, STREAM, sealed).await;
    assert!(std::sync::Arc::strong_count(&dropped) > before);
    eventually("the end of the app's response", || {
        std::sync::Arc::strong_count(&dropped) == before
    })
    .await;
}

#[tokio::test]
async fn row_23_a_connection_with_a_broken_request_serves_nobody_else() {
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            if app::is_probe(&io).await {
                continue;
            }
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let service =
                hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                    use http_body_util::BodyExt;
                    let body =
                        request.into_body().collect().await.map_err(std::io::Error::other)?;
                    Ok::<_, std::io::Error>(app::text(body.to_bytes()))
                });
            let io = hyper_util::rt::TokioIo::new(io);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let count = || connections.load(std::sync::atomic::Ordering::Relaxed);
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    let send = async || {
        let call = Call::post("/", "abc").field("content-length", "3");
        call.send(proxy.address, &session).await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(send().await.text(), "abc");
    }
    assert_eq!(count(), 1, "whole exchanges share a connection");

    let mut stream = session.open_stream().unwrap();
    let mut cut = BytesMut::from(&stream.open.encode()[..]);
    let head = Call::new("POST", "/").field("content-length", "100").head();
    stream.request.head(&head, false, &mut cut).unwrap();
    stream.request.data(b"GET /smuggled HTTP/1.1\r\n\r\n", false, &mut cut).unwrap();
    let response = outer::post(proxy.address, STREAM, outer::whole(cut.freeze())).await;
    let failure = read(stream.response, response).await.unwrap_err();
    assert_eq!(failure, Failure::Reset(ResetCode::TRUNCATED));
    assert_eq!(send().await.text(), "abc");
    assert_eq!(count(), 2, "after a broken one there is a new connection");
}

/// hyper speaks HTTP/1.0 on a connection whose peer once did. A chunked body would then be lost, and
/// the request look complete and empty.
#[tokio::test]
async fn row_06_and_23_an_app_that_once_spoke_http_1_0_gets_no_request_cut_short() {
    const OK: &[u8] = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut chunk = vec![0; 65536];
                let mut request = String::new();
                while let Ok(len @ 1..) = io.read(&mut chunk).await {
                    request += std::str::from_utf8(&chunk[..len]).unwrap();
                    let chunked = request.contains("transfer-encoding: chunked");
                    if request.ends_with(if chunked { "\r\n0\r\n\r\n" } else { "\r\n\r\n" }) {
                        sender.send(std::mem::take(&mut request)).unwrap();
                        io.write_all(OK).await.unwrap();
                    }
                }
            });
        }
    });
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(SUITE).await;
    for _ in 0..3 {
        Call::get("/").send(proxy.address, &session).await.unwrap();
        assert!(seen.recv().await.unwrap().starts_with("GET / HTTP/1."));
        Call::post("/transfer", "amount=1").send(proxy.address, &session).await.unwrap();
        let post = seen.recv().await.unwrap();
        assert!(post.starts_with("POST /transfer HTTP/1.1\r\n"), "{post}");
        assert!(post.ends_with("\r\n\r\n8\r\namount=1\r\n0\r\n\r\n"), "{post}");
    }
}

#[tokio::test]
async fn shutdown_lets_open_streams_finish_and_refuses_new_ones() {
    let address = app::serve(|_| async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        app::text("late")
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(SUITE).await;
    let (address, running) = (proxy.address, proxy.running);
    let mut stream = session.open_stream().unwrap();
    let sealed = Call::get("/").seal(&mut stream);
    let response = outer::post(address, STREAM, outer::whole(sealed)).await;
    let shutdown = tokio::spawn(running.shutdown());
    eventually("the end of listening", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(!shutdown.is_finished());
    assert_eq!(read(stream.response, response).await.unwrap().text(), "late");
    tokio::time::timeout(Duration::from_secs(5), shutdown).await.unwrap().unwrap();
}

#[tokio::test]
async fn health_is_a_get() {
    let proxy = Fixture::start(app::echo().await).await;
    assert_eq!(outer::call(proxy.address, "HEAD", HEALTH, "").await.status, 200);
    assert_eq!(outer::call(proxy.address, "POST", HEALTH, "").await.status, 405);
}
