//! Time limits of streams, and the memory budget.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::client::{Call, Failure, read};
use common::{Fixture, STREAM, app, outer};
use http::Response;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use steve_protocol::stream::ResetCode;
use steve_protocol::suite::Suite;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// An app whose answers come in `count` pieces, one every 100 ms, and never end.
async fn drip(count: usize) -> std::net::SocketAddr {
    app::serve(move |_| async move {
        let (sender, body) = outer::channel();
        tokio::spawn(async move {
            for _ in 0..count {
                sleep(Duration::from_millis(100)).await;
                let _ = sender.send(Ok("drip".into())).await;
            }
            sender.closed().await;
        });
        Response::new(body)
    })
    .await
}

async fn lives(proxy: &Fixture) -> (Duration, Failure) {
    let session = proxy.connect(SUITE).await;
    let begun = Instant::now();
    let call = Call::get("/");
    let ended = timeout(Duration::from_secs(10), call.send(proxy.address, &session));
    let failure = ended.await.unwrap().unwrap_err();
    (begun.elapsed(), failure)
}

#[tokio::test]
async fn a_stream_in_which_nothing_moves_is_ended() {
    let proxy = Fixture::with(drip(5).await, |c| {
        c.limits.stream_idle_timeout = Duration::from_millis(400);
    })
    .await;
    let (life, failure) = lives(&proxy).await;
    assert_eq!(failure, Failure::Reset(ResetCode::TIMEOUT));
    assert!(life >= Duration::from_millis(850), "what moves goes on: {life:?}");
}

#[tokio::test]
async fn no_stream_lives_for_ever() {
    let proxy = Fixture::with(drip(usize::MAX).await, |c| {
        c.limits.stream_timeout = Duration::from_millis(700);
        c.limits.app_response_timeout = Duration::from_millis(500);
    })
    .await;
    let (life, failure) = lives(&proxy).await;
    assert_eq!(failure, Failure::Reset(ResetCode::TIMEOUT));
    assert!(life >= Duration::from_millis(690), "{life:?}");
}

#[tokio::test]
async fn row_18_streams_above_the_memory_budget_are_refused() {
    let app = app::serve(|_| std::future::pending());
    let proxy = Fixture::with(app.await, |c| c.limits.memory_budget = 16 << 20).await;
    let session = proxy.connect(SUITE).await;
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 24, "16 MiB are not enough for so many");
        let mut stream = session.open_stream().unwrap();
        let body = outer::whole(Call::get("/").seal(&mut stream));
        let request = http::Request::post(format!("http://x{STREAM}")).body(body).unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        let mut answer = Box::pin(read(stream.response, response));
        match timeout(Duration::from_millis(200), &mut answer).await {
            Ok(ended) => break ended.unwrap_err(),
            Err(_waits_for_the_app) => open.push(answer),
        }
    };
    assert_eq!(refused, Failure::Reset(ResetCode::REFUSED));
    assert!(open.len() >= 11, "{}", open.len());
    drop(open);
    connection.abort();
    for _ in 0..500 {
        let call = Call::get("/");
        let answer = timeout(Duration::from_millis(20), call.send(proxy.address, &session));
        // Once there is room it waits for the app.
        if answer.await.is_err() {
            return;
        }
    }
    panic!("the memory was not given back");
}

#[tokio::test]
async fn row_18_connections_get_no_more_than_half_of_the_memory() {
    let proxy = Fixture::with(app::echo().await, |c| {
        c.limits.memory_budget = 16 << 20;
        c.limits.first_request_timeout = Duration::from_secs(2);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let mut busy = Vec::new();
    for _ in 0..64 {
        busy.push(TcpStream::connect(proxy.address).await.unwrap());
    }
    let call = Call::get("/");
    let mut ask = Box::pin(call.send(proxy.address, &session));
    assert!(timeout(Duration::from_millis(500), &mut ask).await.is_err(), "it waits its turn");
    drop(busy);
    timeout(Duration::from_secs(20), ask).await.unwrap().unwrap();
}
