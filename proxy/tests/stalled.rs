//! HTTP/2 clients that open no window for an answer (rows 18 and 32).
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::client::{Call, Failure};
use common::{Fixture, HEALTH, STREAM, app, outer};
use http::{Request, Response};
use std::time::Duration;
use steve_protocol::session::ClientSession;
use steve_protocol::stream::ResetCode;
use steve_protocol::suite::Suite;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const SUITE: Suite = Suite::X25519Aes256Gcm;
const LIMIT: Duration = Duration::from_millis(400);

type Sender = h2::client::SendRequest<Bytes>;

/// An HTTP/2 connection with these initial stream windows; the task ends with it.
async fn connect(proxy: &Fixture, window: u32) -> (Sender, JoinHandle<Result<(), h2::Error>>) {
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) =
        builder.initial_window_size(window).handshake::<_, Bytes>(io).await.unwrap();
    (sender, tokio::spawn(connection))
}

/// Sends a GET for `/` through the channel; gives the outer answer's head and unread body.
async fn ask(sender: &mut Sender, session: &ClientSession) -> Response<h2::RecvStream> {
    let sealed = Call::get("/").seal(&mut session.open_stream().unwrap());
    let request = Request::post(format!("http://x{STREAM}")).body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(sealed, true).unwrap();
    response.await.unwrap()
}

#[tokio::test]
async fn a_stream_without_a_window_gives_its_place_back() {
    gives_its_place_back(0).await;
}

#[tokio::test]
async fn a_stream_with_less_window_than_it_needs_gives_its_place_back() {
    gives_its_place_back(10).await;
}

async fn gives_its_place_back(window: u32) {
    let proxy = Fixture::with(app::echo().await, |c| {
        c.limits.write_timeout = LIMIT;
        c.limits.max_open_streams = 1;
    })
    .await;
    let session = proxy.connect(SUITE).await;
    let (mut sender, connection) = connect(&proxy, window).await;
    let begun = Instant::now();
    let _unread = ask(&mut sender, &session).await;
    let refused = Call::get("/").send(proxy.address, &session).await.unwrap_err();
    assert_eq!(refused, Failure::Reset(ResetCode::REFUSED), "the only place is taken");
    assert!(timeout(Duration::from_secs(10), connection).await.is_ok());
    assert!(begun.elapsed() >= 2 * LIMIT, "told first: {:?}", begun.elapsed());
    for _ in 0..500 {
        if Call::get("/").send(proxy.address, &session).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the place is still taken");
}

#[tokio::test]
async fn whole_answers_stall_too() {
    let proxy = Fixture::with(app::echo().await, |c| c.limits.write_timeout = LIMIT).await;
    let (mut sender, connection) = connect(&proxy, 0).await;
    let request = Request::get(format!("http://x{HEALTH}")).body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let _unread = response.await.unwrap();
    assert!(timeout(Duration::from_secs(10), connection).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_waits_for_the_app_is_not_stalled() {
    let app = app::serve(|_| async {
        let (sender, body) = outer::channel();
        tokio::spawn(async move {
            sender.send(Ok("one".into())).await.unwrap();
            sleep(6 * LIMIT).await;
            sender.send(Ok("two".into())).await.unwrap();
        });
        Response::new(body)
    });
    let proxy = Fixture::with(app.await, |c| c.limits.write_timeout = LIMIT).await;
    let session = proxy.connect(SUITE).await;
    let (mut sender, connection) = connect(&proxy, 65_535).await;
    let mut opened = session.open_stream().unwrap();
    let sealed = Call::get("/").seal(&mut opened);
    let request = Request::post(format!("http://x{STREAM}")).body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(sealed, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut text = Vec::new();
    let mut opener = opened.response;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        opener.push(data);
        while let Some(event) = opener.next_event().unwrap() {
            if let steve_protocol::stream::Event::Data { data, .. } = event {
                text.extend_from_slice(&data);
            }
        }
    }
    assert_eq!(text, b"onetwo");
    assert!(!connection.is_finished());
}
