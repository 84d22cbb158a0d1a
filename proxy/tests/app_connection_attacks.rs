//! Attacks on connections to the app that exchanges share, or take over from each other.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::client::Call;
use common::{Fixture, app, outer};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use steve_protocol::suite::Suite;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const WAIT: Duration = Duration::from_secs(5);
const SUITE: Suite = Suite::X25519Aes256Gcm;

/// An outer HTTP/2 connection whose answers get `window` bytes.
async fn http2(proxy: &Fixture, window: u32) -> h2::client::SendRequest<Bytes> {
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder.initial_window_size(window).handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn post(length: &str) -> Request<()> {
    let request = Request::post("http://outer.example/");
    request.header("content-length", length).body(()).unwrap()
}

/// An HTTP/2 app that allows one stream on each connection; gives its number of connections.
async fn one_stream_app(hold: watch::Receiver<bool>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            if app::is_probe(&io).await {
                continue;
            }
            counted.fetch_add(1, Ordering::Relaxed);
            let hold = hold.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let mut hold = hold.clone();
                async move {
                    hold.wait_for(|hold| !hold).await.unwrap();
                    Ok::<_, Infallible>(app::text("hello"))
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(1);
            tokio::spawn(server.serve_connection(TokioIo::new(io), service));
        }
    });
    (address, connections)
}

/// Row 23: the app's limit on streams holds from the first request on, and so does the proxy's on
/// connections.
#[tokio::test]
async fn row_23_a_rush_meets_an_app_that_allows_few_streams() {
    let (release, hold) = watch::channel(true);
    let (app, connections) = one_stream_app(hold).await;
    let proxy = Fixture::with(app, |c| c.upstream = format!("h2c://{app}")).await;
    let session = proxy.connect(SUITE).await;
    let call = Call::get("/");
    let calls = (0..100).map(|_| call.send(proxy.address, &session));
    let calls = futures_util::future::join_all(calls);
    let (_, answers) = tokio::join!(
        async {
            common::eventually("the rush", || connections.load(Ordering::Relaxed) >= 64).await;
            // More would come now.
            let more = timeout(Duration::from_millis(300), async {
                while connections.load(Ordering::Relaxed) <= 64 {
                    tokio::task::yield_now().await;
                }
            });
            assert!(more.await.is_err(), "more connections than the limit");
            release.send(false).unwrap();
        },
        calls
    );
    for answer in answers {
        assert_eq!(answer.unwrap().text(), "hello");
    }
}

/// An app that takes connections and says nothing is not one that speaks HTTP/2.
#[tokio::test]
async fn an_app_without_settings_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((io, _)) = listener.accept().await {
            kept.push(io);
        }
    });
    let proxy = Fixture::with(app, |c| {
        c.upstream = format!("h2c://{app}");
        c.limits.app_connect_timeout = Duration::from_millis(300);
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let call = Call::get("/");
    let answer = timeout(WAIT, call.send(proxy.address, &session)).await.expect("no answer");
    assert_eq!(answer.unwrap().error(), (502, "app_unreachable"));
}

/// Many HTTP/2 clients send the end of a body in an empty frame of its own.
#[tokio::test]
async fn the_end_in_an_empty_frame_reaches_an_http_2_app() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(app::text(body))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(io), service));
        }
    });
    let proxy = Fixture::with(app, |c| {
        c.upstream = format!("h2c://{app}");
        c.allow_plaintext_fallback = true;
    })
    .await;
    let mut client = http2(&proxy, 65_535).await;
    let (answer, mut body) = client.send_request(post("4"), false).unwrap();
    body.send_data("data".into(), false).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    body.send_data(Bytes::new(), true).unwrap();
    let answer = timeout(WAIT, answer).await.expect("the app waits for the end").unwrap();
    assert_eq!(answer.status(), 200);
}

/// Row 23: the body of the declared length is complete for the app, but its stream does not end. Its
/// connection goes to the next exchange, and then the first client leaves.
#[tokio::test]
async fn row_23_a_body_without_an_end_does_not_break_the_next_exchange() {
    let (seen, mut events) = mpsc::unbounded_channel();
    let (release, hold) = watch::channel(true);
    let app = app::serve(move |request: Request<Incoming>| {
        let (seen, mut hold) = (seen.clone(), hold.clone());
        async move {
            if request.uri().path() == "/victim" {
                seen.send(()).unwrap();
                hold.wait_for(|hold| !hold).await.unwrap();
            }
            let _ = request.into_body().collect().await;
            app::text("whole")
        }
    })
    .await;
    let proxy = Fixture::with(app, |c| c.allow_plaintext_fallback = true).await;
    // Without a window the answer, and what belongs to it, waits.
    let mut attacker = http2(&proxy, 0).await;
    let (answer, mut body) = attacker.send_request(post("4"), false).unwrap();
    body.send_data("data".into(), false).unwrap();
    let answer: Response<h2::RecvStream> = answer.await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;

    let victim = tokio::spawn(outer::call(proxy.address, "GET", "/victim", ""));
    events.recv().await.unwrap();
    body.send_reset(h2::Reason::CANCEL);
    drop((answer, body));
    tokio::time::sleep(Duration::from_millis(300)).await;
    release.send(false).unwrap();
    let victim = timeout(WAIT, victim).await.unwrap().unwrap();
    assert_eq!((victim.status.as_u16(), &victim.body[..]), (200, &b"whole"[..]));
}
