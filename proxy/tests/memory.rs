//! Constant memory, whatever the size of a body. Client and app run in the same process.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::client::{Call, Reader};
use common::{Fixture, STREAM, app, outer};
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use steve_protocol::stream::Event;
use steve_protocol::suite::Suite;

const GIB: u64 = 1 << 30;
const CHUNK: usize = 64 * 1024;
const ALLOWED: u64 = 64 << 20;

/// Resident set of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The largest resident set while `work` runs, above that before.
async fn growth<T>(work: impl Future<Output = T>) -> (u64, T) {
    let before = resident();
    static PEAK: AtomicU64 = AtomicU64::new(0);
    PEAK.store(0, Ordering::Relaxed);
    let watch = tokio::spawn(async {
        loop {
            PEAK.fetch_max(resident(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let result = work.await;
    watch.abort();
    (PEAK.load(Ordering::Relaxed).saturating_sub(before), result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_each_way_in_constant_memory() {
    let address = app::serve(|request| async move {
        let mut body = request.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.unwrap().into_data().unwrap_or_default().len() as u64;
        }
        let chunk = Bytes::from(vec![7; CHUNK]);
        let frames = (0..GIB / CHUNK as u64).map(move |_| Ok(Frame::data(chunk.clone())));
        Response::builder()
            .header("x-received", received)
            .body(BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames))))
            .unwrap()
    });
    let proxy = Fixture::start(address.await).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let exchange = session.open_stream().unwrap();
    let (sender, body) = outer::channel();
    let (peak, received) = growth(async {
        let mut request = exchange.request;
        let open = exchange.open.encode();
        let upload = tokio::spawn(async move {
            let mut out = BytesMut::from(&open[..]);
            request.head(&Call::new("POST", "/").head(), false, &mut out).unwrap();
            let chunk = vec![9; CHUNK];
            for _ in 0..GIB / CHUNK as u64 {
                request.data(&chunk, false, &mut out).unwrap();
                sender.send(Ok(out.split().freeze())).await.unwrap();
            }
            request.data(b"", true, &mut out).unwrap();
            sender.send(Ok(out.freeze())).await.unwrap();
        });
        let response = outer::post(proxy.address, STREAM, body).await;
        let mut reader = Reader::new(exchange.response, response).unwrap();
        let mut received = 0;
        while let Some(event) = reader.next().await.unwrap() {
            match event {
                Event::Head { head, .. } => {
                    let uploaded = head.fields().all("x-received").next().unwrap();
                    assert_eq!(uploaded, GIB.to_string().as_bytes());
                }
                Event::Data { data, .. } => received += data.len() as u64,
                other => panic!("{other:?}"),
            }
        }
        upload.await.unwrap();
        received
    })
    .await;
    assert_eq!(received, GIB);
    assert!(peak < ALLOWED, "{} MiB more than before", peak >> 20);
}
