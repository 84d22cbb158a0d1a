//! What a client can make the proxy hold. The client keeps nothing itself.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::client::Call;
use common::{Fixture, STREAM, app};
use std::time::Duration;
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STREAMS: u32 = 4;
const FRAMES: usize = 250_000;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Row 18: what follows FIN is not read before the response is over, so it stays in the buffers of
/// HTTP/2. A frame of one byte takes far more memory there than on the wire or in a window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_small_outer_frames_that_nobody_reads_are_not_collected() {
    let address = app::serve(|_| async {
        std::future::pending::<()>().await;
        app::text("")
    })
    .await;
    let proxy = Fixture::start(address).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let (mut from, mut to) = TcpStream::connect(proxy.address).await.unwrap().into_split();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    to.write_all(&[&preface[..], &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    // The proxy's settings, with its windows, hold once they are acknowledged.
    from.read_u8().await.unwrap();
    to.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
    tokio::spawn(async move { from.read_to_end(&mut Vec::new()).await });

    // POST, http, the path, and an authority.
    let path_len = u8::try_from(STREAM.len()).unwrap();
    let head = [&[0x83, 0x86, 0x04, path_len], STREAM.as_bytes(), b"\x01\x05outer"].concat();
    let small = frame(DATA, 0, 0, b"x");
    let before = resident();
    for number in 0..STREAMS {
        let id = 2 * number + 1;
        to.write_all(&frame(HEADERS, END_HEADERS, id, &head)).await.unwrap();
        let first = Call::get("/").seal(&mut session.open_stream().unwrap());
        to.write_all(&frame(DATA, 0, id, &first)).await.unwrap();
        let mut one = small.clone();
        one[5..9].copy_from_slice(&id.to_be_bytes());
        let thousand = one.repeat(1000);
        for _ in 0..FRAMES / 1000 {
            if to.write_all(&thousand).await.is_err() {
                return;
            }
        }
    }
    let mut peak = 0;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak = peak.max(resident().saturating_sub(before));
    }
    let wire = STREAMS as usize * FRAMES * small.len();
    assert!(peak < 64 << 20, "{} MiB for {} MiB on one connection", peak >> 20, wire >> 20);
}
