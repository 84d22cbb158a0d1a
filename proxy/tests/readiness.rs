//! Health follows the app.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::client::Call;
use common::{Fixture, HEALTH, app, outer};
use std::net::SocketAddr;
use std::time::Duration;
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// An app at `address` that answers every connection once, until it is stopped.
async fn start(address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if matches!(io.read(&mut request).await, Ok(1..)) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                io.write_all(answer).await.unwrap();
            }
        }
    });
    (address, task)
}

async fn stop(app: JoinHandle<()>) {
    app.abort();
    let _ = app.await;
}

async fn health(proxy: &Fixture) -> u16 {
    outer::call(proxy.address, "GET", HEALTH, "").await.status.as_u16()
}

async fn becomes(proxy: &Fixture, status: u16) {
    for _ in 0..500 {
        if health(proxy).await == status {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("health did not become {status}");
}

#[tokio::test]
async fn probes_see_that_the_app_is_gone_and_that_it_is_back() {
    let (address, app) = start(([127, 0, 0, 1], 0).into()).await;
    let interval = |c: &mut steve_proxy::Config| {
        c.limits.app_probe_interval = Duration::from_millis(20);
    };
    let proxy = Fixture::with(address, interval).await;
    assert_eq!(health(&proxy).await, 200);
    stop(app).await;
    becomes(&proxy, 503).await;
    let (_, app) = start(address).await;
    becomes(&proxy, 200).await;
    stop(app).await;
    becomes(&proxy, 503).await;
}

#[tokio::test]
async fn a_request_that_cannot_connect_turns_health_red_at_once() {
    let (address, app) = start(([127, 0, 0, 1], 0).into()).await;
    let never = |c: &mut steve_proxy::Config| {
        c.limits.app_probe_interval = Duration::from_secs(3600);
    };
    let proxy = Fixture::with(address, never).await;
    let session = proxy.connect(SUITE).await;
    assert_eq!(Call::get("/").send(proxy.address, &session).await.unwrap().text(), "ok");
    stop(app).await;
    assert_eq!(health(&proxy).await, 200, "nobody has noticed");
    let answer = Call::get("/").send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.error(), (502, "app_unreachable"));
    assert_eq!(health(&proxy).await, 503);
    let (_, _app) = start(address).await;
    assert_eq!(Call::get("/").send(proxy.address, &session).await.unwrap().text(), "ok");
    assert_eq!(health(&proxy).await, 200);
}

#[tokio::test]
async fn without_an_app_it_starts_and_is_not_ready() {
    let proxy = Fixture::start(app::nowhere().await).await;
    assert_eq!(health(&proxy).await, 503);
    proxy.attest().await;
}
