//! What goes through `steve connect`, unchanged.

use crate::app::Ending;
use crate::gateway::{Gateway, H2Body, read_until};
use crate::support::eventually;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::sync::atomic::Ordering::SeqCst;
use steve_sdk::ResetCode;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

fn empty() -> H2Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_fields_methods_and_statuses() {
    let gateway = Gateway::start(&[]).await;
    let fields = "x-b: 1\r\ncookie: a=1\r\nX-A: 2\r\nx-b: 3\r\nte: trailers\r\nx-hop: 4\r\n\
                  upgrade: h2c\r\nconnection: close, upgrade, x-hop\r\n";
    let answer = gateway.raw(&gateway.head("GET /fields", fields)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let service = gateway.setup.url("");
    let authority = service.strip_prefix("http://").unwrap();
    assert!(head.contains(&format!("x-authority: {authority}\r\n")), "{head}");
    for line in ["x-b: 1\nx-b: 3\n", "cookie: a=1\n", "x-a: 2\n", "te: trailers\n"] {
        assert!(body.contains(line), "{line}: {body}");
    }
    for name in ["host", "upgrade", "x-hop", "connection", "transfer-encoding"] {
        assert!(!body.contains(&format!("{name}:")), "{name}: {body}");
    }

    let answer = gateway.get("/trailers").await;
    assert!(answer.contains("set-cookie: a\r\nset-cookie: b\r\n"), "{answer}");
    let answer = gateway.get("/redirect").await;
    assert!(answer.starts_with("HTTP/1.1 302 ") && answer.contains("location: /there"), "{answer}");
    let answer = gateway.get("/slow").await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let answer = gateway.get("/unknown-status").await;
    assert!(answer.starts_with("HTTP/1.1 299 \r\n"), "{answer}");
    let answer = gateway.get("/not-modified").await;
    assert!(answer.starts_with("HTTP/1.1 304 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = gateway.raw(&gateway.head("HEAD /", "connection: close\r\n")).await;
    assert!(
        answer.contains("content-length: 1000\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );

    let request = gateway.head("BREW /pot?a=%20", "content-length: 3\r\nconnection: close\r\n");
    assert!(gateway.raw(&(request + "tea")).await.contains("\r\ntea\r\n"));
    let requests = gateway.setup.proxy.app.requests.lock().unwrap();
    assert_eq!(requests.last().unwrap(), "BREW /pot?a=%20");
    assert_eq!(requests.iter().filter(|line| line.contains("there")).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_streams_both_ways_and_keeps_the_connection() {
    let gateway = Gateway::start(&[]).await;
    let mut tcp = gateway.connect().await;
    for _ in 0..2 {
        let head = gateway.head("POST /", "transfer-encoding: chunked\r\n");
        tcp.write_all(head.as_bytes()).await.unwrap();
        let head = read_until(&mut tcp, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        for word in ["one", "two", "three"] {
            let chunk = format!("{:x}\r\n{word}\r\n", word.len());
            tcp.write_all(chunk.as_bytes()).await.unwrap();
            assert_eq!(read_until(&mut tcp, &chunk).await.to_lowercase(), chunk);
        }
        tcp.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(read_until(&mut tcp, "0\r\n\r\n").await, "0\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_trailers_and_cookies() {
    let gateway = Gateway::start(&[]).await;
    let mut client = gateway.http2().await;
    let (send, receive) = mpsc::channel::<Frame<Bytes>>(1);
    let frames = futures_util::stream::unfold(receive, |mut receive| async {
        Some((Ok::<_, std::io::Error>(receive.recv().await?), receive))
    });
    let request = gateway.request("POST", "/").body(StreamBody::new(frames).boxed()).unwrap();
    let mut echo = client.send_request(request).await.unwrap().into_body();
    for word in ["one", "two"] {
        send.send(Frame::data(word.into())).await.unwrap();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), word);
    }

    // Others go on beside it.
    let request = gateway.request("GET", "/trailers").body(empty()).unwrap();
    let collected =
        client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(collected.to_bytes(), "body");
    let request = gateway.request("GET", "/fields").header("cookie", "a=1").header("cookie", "b=2");
    let response = client.send_request(request.body(empty()).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "cookie: a=1; b=2\n");

    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    send.send(Frame::trailers(trailers)).await.unwrap();
    assert_eq!(echo.collect().await.unwrap().to_bytes(), "");
    assert_eq!(*gateway.setup.proxy.app.trailers.lock().unwrap(), ["x-checksum"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_go_there_and_back() {
    let gateway = Gateway::start(&[]).await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| (number / 997) as u8).collect();
    let full = Full::new(Bytes::from(body.clone())).map_err(|never| match never {}).boxed();
    let request = gateway.request("PUT", "/").body(full).unwrap();
    let response = gateway.http2().await.send_request(request).await.unwrap();
    assert_eq!(response.headers()["x-length"], "5000000");
    assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_the_apps_100_and_not_the_gateways() {
    let gateway = Gateway::start(&[]).await;
    let app = &gateway.setup.proxy.app;
    let fields = "content-length: 4\r\nexpect: 100-continue\r\n";
    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("POST /continue", fields).as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut tcp, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    tcp.write_all(b"body").await.unwrap();
    assert!(read_until(&mut tcp, "0\r\n\r\n").await.contains("\r\nbody\r\n"));

    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("POST /refused", fields).as_bytes()).await.unwrap();
    assert!(read_until(&mut tcp, "not that").await.starts_with("HTTP/1.1 417 "));
    let cancelled = Ending::Reset(ResetCode::CANCELLED);
    eventually("the app is told", || app.endings.lock().unwrap().last() == Some(&cancelled)).await;
    assert_eq!(app.received.load(SeqCst), 4);
}
