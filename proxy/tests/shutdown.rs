//! The end of a proxy: what is open finishes, what is new is refused.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::client::{Call, Failure, read};
use common::tunnel::{Tunnel, close_of, socket};
use common::{Fixture, STREAM, app, eventually, outer};
use http::Response;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steve_protocol::stream::ResetCode;
use steve_protocol::suite::Suite;
use tokio::sync::mpsc;
use tokio::time::timeout;

type Events = Arc<Mutex<Option<mpsc::Sender<io::Result<Bytes>>>>>;

/// An app whose answer is what the test sends.
async fn sse() -> (SocketAddr, Events) {
    let events = Events::default();
    let shared = events.clone();
    let address = app::serve(move |_| {
        let (sender, body) = outer::channel();
        *shared.lock().unwrap() = Some(sender);
        async {
            Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
        }
    });
    (address.await, events)
}

/// The sender of the answer that was asked for.
fn take(events: &Events) -> mpsc::Sender<io::Result<Bytes>> {
    events.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn a_stream_that_begins_while_draining_is_reset() {
    let (app, events) = sse().await;
    let proxy = Fixture::start(app).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let (address, running) = (proxy.address, proxy.running);
    let mut open = session.open_stream().unwrap();
    let body = outer::whole(Call::get("/").seal(&mut open));
    let response = outer::post(address, STREAM, body).await;
    // Its connection is there before the shutdown, its first frame comes after.
    let mut late = session.open_stream().unwrap();
    let sealed = Call::get("/").seal(&mut late);
    let (sender, body) = outer::channel();
    sender.send(Ok(sealed.slice(..10))).await.unwrap();
    let asked = tokio::spawn(outer::post(address, STREAM, body));
    tokio::time::sleep(Duration::from_millis(200)).await;

    let shutdown = tokio::spawn(running.shutdown());
    eventually("the end of listening", || std::net::TcpStream::connect(address).is_err()).await;
    sender.send(Ok(sealed.slice(10..))).await.unwrap();
    drop(sender);
    let refused = read(late.response, asked.await.unwrap()).await.unwrap_err();
    assert_eq!(refused, Failure::Reset(ResetCode::DRAINING));

    assert!(!shutdown.is_finished());
    let app = take(&events);
    app.send(Ok("data: last\n\n".into())).await.unwrap();
    drop(app);
    assert_eq!(read(open.response, response).await.unwrap().text(), "data: last\n\n");
    timeout(Duration::from_secs(5), shutdown).await.unwrap().unwrap();
}

#[tokio::test]
async fn tunnels_finish_or_end_at_once() {
    let (app, events) = sse().await;
    let proxy = Fixture::start(app).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let silent = socket(proxy.address).await;
    let begun = Tunnel::open(proxy.address, &session).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut out = BytesMut::new();
    tunnel.stream.request.head(&Call::get("/").head(), true, &mut out).unwrap();
    tunnel.frame(out.freeze()).await;
    assert_eq!(tunnel.status().await, 200);

    let shutdown = tokio::spawn(proxy.running.shutdown());
    for idle in [silent, begun.socket] {
        assert_eq!(close_of(idle).await, (4503, "unavailable".into()));
    }
    let app = take(&events);
    app.send(Ok("data: last\n\n".into())).await.unwrap();
    drop(app);
    assert_eq!(tunnel.rest().await, "data: last\n\n");
    assert_eq!(tunnel.next().await, Err((1000, String::new())));
    drop(tunnel);
    timeout(Duration::from_secs(5), shutdown).await.unwrap().unwrap();
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn sigterm_lets_an_event_stream_finish() {
    let (app, events) = sse().await;
    let program = common::program::Program::start(app, &["--log-format=json"]).await;
    let mut body = program.client().get("/").send().await.unwrap().into_body();
    let app = take(&events);
    app.send(Ok("data: one\n\n".into())).await.unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "data: one\n\n");
    program.terminate();
    eventually("the shutdown", || program.said().contains("shutting down")).await;
    let address = program.address();
    eventually("the end of listening", || std::net::TcpStream::connect(address).is_err()).await;
    app.send(Ok("data: two\n\n".into())).await.unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "data: two\n\n");
    drop(app);
    assert_eq!(body.chunk().await.unwrap(), None);
    let (status, log) = program.end().await;
    assert!(status.success(), "{log}");
    assert!(log.contains(r#""streams":1,"#), "{log}");
}

#[tokio::test]
async fn draining_ends_after_its_time() {
    let (app, _events) = sse().await;
    let limit = |c: &mut steve_proxy::Config| c.limits.drain_timeout = Duration::from_millis(300);
    let proxy = Fixture::with(app, limit).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let mut open = session.open_stream().unwrap();
    let body = outer::whole(Call::get("/").seal(&mut open));
    let response = outer::post(proxy.address, STREAM, body).await;
    timeout(Duration::from_secs(5), proxy.running.shutdown()).await.unwrap();
    assert!(read(open.response, response).await.is_err(), "never complete");
}
