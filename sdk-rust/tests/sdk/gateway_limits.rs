//! How much of `steve connect` its clients can use, and how it ends.

use crate::gateway::{Gateway, own_code, read_until};
use crate::support::eventually;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_requests_above_the_limit_are_told_so() {
    let gateway = Gateway::start(&["--max-connections", "1"]).await;
    let mut first = gateway.connect().await;
    first.write_all(gateway.head("GET /stalls", "").as_bytes()).await.unwrap();
    read_until(&mut first, "half").await;
    let answer = gateway.get("/fields").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("--max-connections"),
        "{answer}"
    );
    assert_eq!(own_code(&answer), "too_many_connections");
    drop(first);
    while !gateway.get("/fields").await.starts_with("HTTP/1.1 200 ") {}

    let gateway = Gateway::start(&["--max-requests", "1"]).await;
    let mut first = gateway.connect().await;
    first.write_all(gateway.head("GET /stalls", "").as_bytes()).await.unwrap();
    read_until(&mut first, "half").await;
    let answer = gateway.get("/fields").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("--max-requests"), "{answer}");
    assert_eq!(own_code(&answer), "too_many_requests");
    drop(first);
    while !gateway.get("/fields").await.starts_with("HTTP/1.1 200 ") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn large_heads_are_refused() {
    let gateway = Gateway::start(&["--max-head-size", "4096"]).await;
    for (length, status) in [(3_000, 200), (5_000, 431), (100_000, 431)] {
        let fields = format!("x-long: {}\r\nconnection: close\r\n", "x".repeat(length));
        let answer = gateway.raw(&gateway.head("GET /fields", &fields)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {answer}");
        if length == 5_000 {
            assert!(answer.contains("--max-head-size"), "{answer}");
            assert_eq!(own_code(&answer), "head_too_large");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let gateway = Gateway::start(&["--idle-timeout", "1"]).await;
    let mut busy = gateway.connect().await;
    busy.write_all(gateway.head("GET /stalls", "").as_bytes()).await.unwrap();
    let mut half_a_head = gateway.connect().await;
    half_a_head.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let mut silent = gateway.connect().await;
    let mut kept_alive = gateway.connect().await;
    kept_alive.write_all(gateway.head("GET /slow", "").as_bytes()).await.unwrap();
    read_until(&mut kept_alive, "\r\n\r\n").await;

    let began = Instant::now();
    for idle in [&mut silent, &mut kept_alive, &mut half_a_head] {
        ends_in_silence(idle).await;
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    read_until(&mut busy, "half\r\n").await;
    let more = tokio::time::timeout(Duration::from_millis(100), busy.read_u8()).await;
    assert!(more.is_err(), "it was closed: {more:?}");
}

async fn ends_in_silence(tcp: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = tcp.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_requests_finish_and_a_second_one_does_not() {
    let mut gateway = Gateway::start(&[]).await;
    let mut tcp = gateway.connect().await;
    let head = gateway.head("POST /", "transfer-encoding: chunked\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut tcp, "\r\n\r\n").await;
    gateway.terminate().await;
    while TcpStream::connect(gateway.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tcp.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    assert!(read_until(&mut tcp, "0\r\n\r\n").await.contains("last"));
    assert_eq!(gateway.exit().await, (0, String::new()));

    // Upgraded connections too.
    let mut gateway = Gateway::start(&[]).await;
    let mut tcp = gateway.connect().await;
    let fields = "connection: upgrade\r\nupgrade: websocket\r\n";
    tcp.write_all(gateway.head("GET /raw", fields).as_bytes()).await.unwrap();
    read_until(&mut tcp, "\r\n\r\n").await;
    gateway.terminate().await;
    while TcpStream::connect(gateway.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tcp.write_all(b"last").await.unwrap();
    read_until(&mut tcp, "last").await;
    tcp.shutdown().await.unwrap();
    read_until(&mut tcp, " and over").await;
    assert_eq!(gateway.exit().await, (0, String::new()));

    let mut gateway = Gateway::start(&[]).await;
    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("GET /stalls", "").as_bytes()).await.unwrap();
    read_until(&mut tcp, "half").await;
    let began = Instant::now();
    gateway.terminate().await;
    while TcpStream::connect(gateway.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.terminate().await;
    assert_eq!(gateway.exit().await, (0, String::new()));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn verbose_means_a_line_for_each_request() {
    let mut gateway = Gateway::start(&["-v"]).await;
    let post = gateway.head("POST /echo?a", "content-length: 4\r\nconnection: close\r\n");
    gateway.raw(&(post + "body")).await;
    let line = gateway.line().await;

    assert!(line.starts_with("POST /echo?a HTTP/1.1 200 up=4 down=4 "), "{line}");
    gateway.get("/dies").await;
    let line = gateway.line().await;

    assert!(line.starts_with("GET /dies HTTP/1.1 200 reset up=0 down=4 "), "{line}");
    gateway.raw("GET / HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n\r\n").await;
    let line = gateway.line().await;

    assert!(line.starts_with("GET / HTTP/1.1 421 misdirected up=0 down="), "{line}");
    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("GET /until-gone", "").as_bytes()).await.unwrap();
    let app = &gateway.setup.proxy.app;
    eventually("the app serves it", || app.concurrent.load(SeqCst) == 1).await;
    drop(tcp);
    let line = gateway.line().await;

    assert!(line.starts_with("GET /until-gone HTTP/1.1 client_gone up=0 down=0 "), "{line}");
}
