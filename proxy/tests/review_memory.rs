//! What a client can make the proxy hold. Client and app run in the same process.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::client::Call;
use common::outer::Body;
use common::{Fixture, STREAM, app};
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use steve_protocol::suite::Suite;
use tokio::net::TcpStream;

const STREAMS: usize = 4;
const FRAMES: usize = 250_000;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Row 18: what follows FIN is not read before the response is over, so it stays in the buffers of
/// HTTP/2. A frame of one byte takes far more memory there than on the wire or in a window.
#[tokio::test]
async fn row_18_small_outer_frames_that_nobody_reads_are_not_collected() {
    let address = app::serve(|_| async {
        std::future::pending::<()>().await;
        app::text("")
    })
    .await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let before = resident();
    let mut requests = Vec::new();
    for _ in 0..STREAMS {
        let first = Call::get("/").seal(&mut session.open_stream().unwrap());
        let one = Bytes::from_static(b"x");
        let chunks = std::iter::once(first).chain(std::iter::repeat_n(one, FRAMES));
        let body = StreamBody::new(stream::iter(chunks.map(|chunk| Ok(Frame::data(chunk)))));
        let uri = format!("http://outer.example{STREAM}");
        let request = Request::post(uri).body(BodyExt::boxed_unsync(body)).unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request);
        requests.push(tokio::spawn(async move {
            let body = answer.await.map(|response| response.into_body());
            std::future::pending::<()>().await;
            drop(body);
        }));
    }
    let mut peak = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak = peak.max(resident().saturating_sub(before));
    }
    assert!(
        peak < 64 << 20,
        "{} MiB for {} KiB of outer bodies on one connection",
        peak >> 20,
        STREAMS * FRAMES >> 10
    );
}
