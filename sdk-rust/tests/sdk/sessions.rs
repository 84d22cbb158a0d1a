//! One session for everybody, renewed in time.

use crate::enclave::PARAMETERS;
use crate::proxy::{Fate, Proxy};
use crate::support::{builder, eventually, exchange, pair};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use steve_sdk::{Client, Error};
use tower_service::Service;

async fn together(client: &Client, count: usize, path: &'static str) -> Vec<Result<u16, Error>> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { exchange(&client, "GET", path, "").await.map(|(s, _)| s) })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_concurrent_requests_make_one_session() {
    let (proxy, client) = pair().await;
    for result in together(&client, 50, "/slow").await {
        result.unwrap();
    }
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 1);
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 50);
    assert!(proxy.app.most_concurrent.load(SeqCst) > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_concurrent_requests_share_a_failure() {
    let (proxy, client) = pair().await;
    proxy.enclave.testimony.lock().unwrap().clock_offset_ms = -3_600_000;
    for result in together(&client, 50, "/slow").await {
        assert!(result.unwrap_err().is_evidence_invalid());
    }
    assert!(proxy.enclave.evidence_requests.load(SeqCst) < 25);
}

#[tokio::test]
async fn one_who_gives_up_does_not_stop_the_others() {
    let (proxy, client) = pair().await;
    let impatient = tokio::time::timeout(Duration::ZERO, exchange(&client, "GET", "/", ""));
    let (gave_up, result) = tokio::join!(impatient, exchange(&client, "GET", "/", ""));
    assert!(gave_up.is_err());
    result.unwrap();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_streams_at_once_than_the_proxy_allows() {
    let proxy = Proxy::start(None).await;
    proxy.enclave.parameters.lock().unwrap().max_streams = 3;
    let client = builder(&proxy).build().unwrap();
    for result in together(&client, 12, "/slow").await {
        result.unwrap();
    }
    assert_eq!(proxy.app.most_concurrent.load(SeqCst), 3);
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
}

/// A stream that stays open keeps its place; who waits for that place must not wait for ever.
#[tokio::test]
async fn who_waits_behind_a_session_that_ends_goes_on_with_a_new_one() {
    let proxy = Proxy::start(None).await;
    {
        let mut parameters = proxy.enclave.parameters.lock().unwrap();
        parameters.max_streams = 1;
        parameters.lifetime = Duration::from_secs(2);
    }
    let client = builder(&proxy).build().unwrap();
    let open = client.get("/stalls").send().await.unwrap();
    let queued = tokio::time::timeout(Duration::from_secs(10), together(&client, 3, "/slow"));
    for result in queued.await.expect("the queued requests hang") {
        result.unwrap();
    }
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 2);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 4);
    drop(open);
}

#[tokio::test]
async fn sessions_are_renewed_before_their_lifetime_and_idle_time_end() {
    let second = Duration::from_secs(1);
    for (parameters, busy) in [
        (steve_protocol::handshake::SessionParameters { lifetime: second, ..PARAMETERS }, true),
        (
            steve_protocol::handshake::SessionParameters { idle_timeout: second, ..PARAMETERS },
            false,
        ),
    ] {
        let proxy = Proxy::start(None).await;
        *proxy.enclave.parameters.lock().unwrap() = parameters;
        let client = builder(&proxy).build().unwrap();
        exchange(&client, "GET", "/", "").await.unwrap();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            if busy {
                exchange(&client, "GET", "/", "").await.unwrap();
            }
        }
        exchange(&client, "GET", "/", "").await.unwrap();
        assert!(proxy.enclave.handshakes.load(SeqCst) >= 2);
        assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn a_stream_that_nobody_accepts_does_not_leave_the_window() {
    let (proxy, client) = pair().await;
    proxy.plan([Fate::Silence]);
    let silent = client.clone();
    let silent = tokio::spawn(async move { exchange(&silent, "POST", "/", "").await });
    eventually("it is sent", || proxy.fates.lock().unwrap().is_empty()).await;
    for number in 0..1002 {
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), if number <= 1000 { 1 } else { 2 });
        exchange(&client, "GET", "/", "").await.unwrap();
    }
    silent.abort();
}

#[tokio::test]
async fn the_client_is_a_tower_service() {
    let (_proxy, mut client) = pair().await;
    std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut client, cx))
        .await
        .unwrap();
    let request = Request::post("/").body(Full::new(Bytes::from_static(b"body"))).unwrap();
    let response = client.call(request).await.unwrap();
    assert_eq!(response.into_body().bytes().await.unwrap(), "body");
}
