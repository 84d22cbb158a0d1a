//! What has to work: exchanges through the proxy, over real sockets.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::client::{Call, Reader, read};
use common::{AUTHORITY, Fixture, HEALTH, STREAM, app, outer};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use steve_protocol::evidence::Evidence;
use steve_protocol::stream::Event;
use steve_protocol::suite::Suite;
use tokio::net::TcpStream;

#[tokio::test]
async fn an_exchange_in_every_suite() {
    let proxy = Fixture::start(app::echo().await).await;
    let enclave = proxy.attest().await;
    for suite in Suite::ALL {
        let session = proxy.handshake(&enclave, suite).await;
        let call = Call::post("/a/b?c=d&e", "hello").field("x-one", "1").field("x-one", "2");
        let answer = call.send(proxy.address, &session).await.unwrap();
        assert_eq!(answer.status, 200, "{suite}");
        let text = answer.text();
        assert!(text.starts_with("POST /a/b?c=d&e\nx-one: 1\nx-one: 2\n"), "{text}");
        assert!(text.contains(&format!("\nhost: {AUTHORITY}\n")), "{text}");
        assert!(text.ends_with("\n\nhello"), "{text}");
    }
}

#[tokio::test]
async fn bodies_of_many_sizes_and_framings() {
    let address = app::serve(|request| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        app::text(body)
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    for len in [0, 1, 65_535, 65_536, 65_537, 1_000_000] {
        let body: Bytes = (0..len).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
        let chunked = Call::post("/", body.clone());
        let declared = chunked.clone().field("content-length", &len.to_string());
        for call in [chunked, declared] {
            let answer = call.send(proxy.address, &session).await.unwrap();
            assert_eq!(answer.body, body, "{len}");
        }
    }
}

#[tokio::test]
async fn content_length_is_kept_and_bodies_without_one_are_chunked() {
    let proxy = Fixture::start(app::echo().await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let send = async |call: Call| {
        let answer = call.send(proxy.address, &session).await.unwrap();
        answer.text().to_owned()
    };
    let text = send(Call::post("/", "abc").field("content-length", "3")).await;
    assert!(text.contains("content-length: 3\n") && !text.contains("transfer-encoding"), "{text}");
    let text = send(Call { body: Some("abc".into()), ..Call::get("/") }).await;
    assert!(text.contains("transfer-encoding: chunked\n") && text.ends_with("\nabc"), "{text}");
    let text = send(Call::get("/")).await;
    assert!(!text.contains("content-length") && !text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let address = app::serve(|request| async {
        let collected = request.into_body().collect().await.unwrap();
        let mut trailers = collected.trailers().cloned().unwrap_or_default();
        assert_eq!(trailers.len(), 1);
        trailers.insert("x-hop", http::HeaderValue::from_static("9"));
        let frames = [Ok(Frame::data(Bytes::from("body"))), Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Response::builder().header("trailer", "x-sum").body(BodyExt::boxed_unsync(body)).unwrap()
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let call = Call::post("/", "abc")
        .field("te", "trailers")
        .field("trailer", "x-sum, x-hop, steve-session")
        .field("connection", "x-hop")
        .trailer("x-sum", "7")
        .trailer("x-hop", "8")
        .trailer("steve-session", "forged");
    let answer = call.send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!(answer.text(), "body");
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let address = app::serve(|request| async { Response::new(echo_body(request.into_body())) });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(Suite::XWingAes256Gcm).await;
    let mut stream = session.open_stream().unwrap();
    let (sender, body) = outer::channel();
    let mut out = BytesMut::from(&stream.open.encode()[..]);
    stream.request.head(&Call::new("POST", "/").head(), false, &mut out).unwrap();
    sender.send(Ok(out.split().freeze())).await.unwrap();
    let response = outer::post(proxy.address, STREAM, body).await;
    let mut reader = Reader::new(stream.response, response).unwrap();
    assert!(matches!(reader.next().await, Ok(Some(Event::Head { fin: false, .. }))));
    for round in 0..5 {
        let data = format!("round {round}");
        stream.request.data(data.as_bytes(), false, &mut out).unwrap();
        sender.send(Ok(out.split().freeze())).await.unwrap();
        let Ok(Some(Event::Data { data: back, fin: false })) = reader.next().await else {
            panic!("round {round} did not come back");
        };
        assert_eq!(back, data);
    }
    stream.request.data(b"", true, &mut out).unwrap();
    sender.send(Ok(out.freeze())).await.unwrap();
    drop(sender);
    assert!(matches!(reader.next().await, Ok(Some(Event::Data { fin: true, .. }))));
    assert!(matches!(reader.next().await, Ok(None)));
}

fn echo_body(body: hyper::body::Incoming) -> outer::Body {
    body.map_err(std::io::Error::other).boxed_unsync()
}

#[tokio::test]
async fn chunks_of_one_byte() {
    let proxy = Fixture::start(app::echo().await).await;
    let session = proxy.connect(Suite::X25519ChaCha20Poly1305).await;
    let mut stream = session.open_stream().unwrap();
    let sealed = Call::post("/tiny", "abc").seal(&mut stream);
    let (sender, body) = outer::channel();
    tokio::spawn(async move {
        for index in 0..sealed.len() {
            sender.send(Ok(sealed.slice(index..=index))).await.unwrap();
        }
    });
    let response = outer::post(proxy.address, STREAM, body).await;
    let answer = read(stream.response, response).await.unwrap();
    assert!(answer.text().starts_with("POST /tiny\n"));
}

#[tokio::test]
async fn head_requests_statuses_and_redirects_pass() {
    let address = app::serve(|request| async move {
        let status = request.uri().path()[1..].parse::<u16>().unwrap();
        Response::builder()
            .status(status)
            .header("location", "/elsewhere")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("content-encoding", "gzip")
            .body(outer::whole("body"))
            .unwrap()
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    for status in [200, 204, 302, 304, 404, 418, 500, 599] {
        let answer = Call::get(&format!("/{status}")).send(proxy.address, &session).await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.field("location"), Some("/elsewhere"));
        assert_eq!(answer.field("content-encoding"), Some("gzip"));
        let cookies = answer.fields.iter().filter(|(name, _)| name == "set-cookie");
        assert_eq!(cookies.map(|(_, v)| v.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
    }
    let answer = Call::new("HEAD", "/200").send(proxy.address, &session).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(answer.field("content-length"), Some("4"));
}

#[tokio::test]
async fn informational_responses_pass() {
    let app = app::RawApp::start(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let proxy = Fixture::start(app.await.address).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.interim.as_slice(), answer.status, answer.text()), (&[103][..], 200, "ok"));
}

#[tokio::test]
async fn an_asterisk_and_an_odd_path_arrive_as_they_are() {
    let app = app::RawApp::start("HTTP/1.1 204 No Content\r\n\r\n").await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    for (method, path) in [("OPTIONS", "*"), ("GET", "//x/../y?z=%2F&&")] {
        Call::new(method, path).send(proxy.address, &session).await.unwrap();
        assert!(app.seen().contains(&format!("{method} {path} HTTP/1.1\r\n")), "{}", app.seen());
    }
}

#[tokio::test]
async fn http2_outside_with_many_streams_at_once() {
    let proxy = Fixture::start(app::echo().await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) =
        http2::handshake::<_, _, outer::Body>(TokioExecutor::new(), TokioIo::new(io))
            .await
            .unwrap();
    tokio::spawn(connection);
    let exchanges = (0..100).map(|index| {
        let mut stream = session.open_stream().unwrap();
        let sealed = Call::post(&format!("/{index}"), vec![7; 10_000]).seal(&mut stream);
        let url = format!("http://outer.example{STREAM}");
        let request = Request::post(url).body(outer::whole(sealed)).unwrap();
        let mut sender = sender.clone();
        async move {
            let response = sender.send_request(request).await.unwrap();
            let answer = read(stream.response, response).await.unwrap();
            assert!(answer.body.starts_with(format!("POST /{index}\n").as_bytes()));
        }
    });
    futures_util::future::join_all(exchanges).await;
}

#[tokio::test]
async fn an_outer_connection_serves_one_exchange_after_the_other() {
    let proxy = Fixture::start(app::echo().await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, outer::Body>(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..10 {
        let mut stream = session.open_stream().unwrap();
        let sealed = outer::whole(Call::post("/", "abc").seal(&mut stream));
        let request = Request::post(STREAM).header("host", "outer.example").body(sealed).unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert!(response.headers().get("connection").is_none());
        let (parts, body) = response.into_parts();
        let sealed = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.status, 200);
        stream.response.push(sealed);
        assert!(matches!(stream.response.next_event(), Ok(Some(Event::Head { .. }))));
    }
}

#[tokio::test]
async fn unchallenged_evidence_and_health() {
    let manifest = b"image v7".to_vec();
    let proxy = Fixture::with(app::echo().await, |c| c.manifest = manifest.clone()).await;
    let answer = outer::call(proxy.address, "GET", common::EVIDENCE, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("cache-control")),
        (200, "public, max-age=60")
    );
    let evidence = Evidence::decode(&answer.body).unwrap();
    assert_eq!((evidence.tree_size, evidence.manifest), (0, &manifest[..]));
    let effective: serde_json::Value = serde_json::from_slice(evidence.configuration).unwrap();
    assert_eq!(effective["attester"], "dangerous-development");
    assert_eq!(effective["allow_plaintext_fallback"], false);

    let health = outer::call(proxy.address, "GET", HEALTH, "").await;
    assert_eq!((health.status.as_u16(), &health.body[..]), (200, &br#"{"status":"ready"}"#[..]));
    assert_eq!(proxy.attest().await.manifest(), manifest);
}
