//! The relay: what it passes on, and how connections end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod enclave;

use enclave::{Enclave, Fixture, random, rest, until_reset, within};
use std::io;
use std::time::Duration;
use steve_proxy::relay::{RelayConfig, RelayError, Route, RunningRelay, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MIB: usize = 1 << 20;
const SHORT: Duration = Duration::from_millis(200);

fn plain() -> Fixture {
    Fixture::new(|_| ())
}

#[tokio::test]
async fn both_directions_are_loaded_at_once() {
    let relay = plain();
    let (mut client, mut enclave) = relay.pair().await;
    let (up, down) = (random(1, 24 * MIB), random(2, 24 * MIB));
    let (mut client_from, mut client_to) = client.split();
    let (mut enclave_from, mut enclave_to) = enclave.split();
    let (mut got_down, mut got_up) = (vec![0; down.len()], vec![0; up.len()]);
    let all = within(async {
        tokio::try_join!(
            client_to.write_all(&up),
            enclave_to.write_all(&down),
            client_from.read_exact(&mut got_down),
            enclave_from.read_exact(&mut got_up),
        )
    });
    all.await.unwrap();
    assert!(got_up == up && got_down == down);
    drop((client, enclave));
    relay.metric("steve_relay_to_enclave_bytes_total", up.len() as u64).await;
    relay.metric("steve_relay_from_enclave_bytes_total", down.len() as u64).await;
}

#[tokio::test]
async fn a_direction_that_nobody_reads_holds_up_only_its_sender() {
    let relay = plain();
    for client_reads in [true, false] {
        let (client, enclave) = relay.pair().await;
        if client_reads {
            stall(client.into_split(), enclave.into_split()).await;
        } else {
            stall(enclave.into_split(), client.into_split()).await;
        }
    }
    relay.metric("steve_relay_connections_open", 0).await;
}

/// Fills the direction from `one` to `other`, then uses the opposite one, then takes what waits.
async fn stall<R1, W1, R2, W2>(one: (R1, W1), other: (R2, W2))
where
    R1: tokio::io::AsyncRead + Unpin,
    R2: tokio::io::AsyncRead + Unpin,
    W1: tokio::io::AsyncWrite + Unpin + Send + 'static,
    W2: tokio::io::AsyncWrite + Unpin,
{
    let ((mut from_other, mut to_other), (mut from_one, mut to_one)) = (one, other);
    let flood = random(3, 64 * MIB);
    let expected = flood.clone();
    let flooding = tokio::spawn(async move {
        to_other.write_all(&flood).await.unwrap();
        to_other
    });
    let answer = random(4, 16 * MIB);
    let mut got = vec![0; answer.len()];
    within(async { tokio::try_join!(to_one.write_all(&answer), from_other.read_exact(&mut got)) })
        .await
        .unwrap();
    assert!(got == answer);
    // Nothing between the two may hold this much.
    assert!(!flooding.is_finished());
    let mut got = vec![0; expected.len()];
    within(from_one.read_exact(&mut got)).await.unwrap();
    assert!(got == expected);
    within(flooding).await.unwrap();
}

#[tokio::test]
async fn the_clients_end_does_not_cut_the_answer_off() {
    let relay = plain();
    let (mut client, mut enclave) = relay.pair().await;
    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    let mut request = [0; 7];
    enclave.read_exact(&mut request).await.unwrap();
    let answer = random(5, 8 * MIB);
    let reading = tokio::spawn(rest(client));
    within(enclave.write_all(&answer)).await.unwrap();
    // It would be taken for the end of both directions.
    let end = enclave.try_read(&mut request).unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
    drop(enclave);
    assert!(reading.await.unwrap() == answer);
    relay.ended("complete", 1).await;
}

#[tokio::test]
async fn the_enclaves_end_does_not_cut_the_client_off() {
    let relay = plain();
    let (mut client, mut enclave) = relay.pair().await;
    enclave.write_all(b"answer").await.unwrap();
    enclave.shutdown().await.unwrap();
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"answer");
    let upload = random(6, 8 * MIB);
    let reading = tokio::spawn(rest(enclave));
    within(client.write_all(&upload)).await.unwrap();
    drop(client);
    assert!(reading.await.unwrap() == upload);
    relay.ended("complete", 1).await;
}

#[tokio::test]
async fn a_client_that_reads_late_gets_everything() {
    let relay = Fixture::new(|config| config.half_close_timeout = SHORT);
    let (client, mut enclave) = relay.pair().await;
    let answer = random(7, 48 * 1024);
    enclave.write_all(&answer).await.unwrap();
    drop(enclave);
    relay.ended("complete", 1).await;
    assert!(rest(client).await == answer);
}

#[tokio::test]
async fn a_client_that_breaks_off_ends_the_connection_to_the_enclave() {
    let relay = plain();
    let (mut client, mut enclave) = relay.pair().await;
    client.write_all(b"half a requ").await.unwrap();
    let mut got = [0; 11];
    enclave.read_exact(&mut got).await.unwrap();
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(rest(enclave).await.is_empty());
    relay.ended("client_broke", 1).await;
}

#[tokio::test]
async fn an_enclave_that_breaks_off_never_looks_like_a_clean_end() {
    let relay = plain();
    let (mut client, mut enclave) = relay.pair().await;
    client.write_all(b"request").await.unwrap();
    let mut first = [0; 1];
    within(enclave.read_exact(&mut first)).await.unwrap();
    enclave.write_all(b"half an ans").await.unwrap();
    // What it has not read makes this a reset.
    drop(enclave);
    assert!(b"half an ans".starts_with(&until_reset(client).await));
    relay.ended("enclave_broke", 1).await;
}

#[tokio::test]
async fn bytes_that_the_enclave_does_not_take_are_told_of() {
    let relay = plain();
    let (mut client, enclave) = relay.pair().await;
    drop(enclave);
    let mut end = [0; 1];
    assert_eq!(within(client.read(&mut end)).await.unwrap(), 0);
    client.write_all(b"too late").await.unwrap();
    relay.ended("enclave_broke", 1).await;
    within(async { while client.write_all(b"more").await.is_ok() {} }).await;
}

#[tokio::test]
async fn one_connection_too_many_waits() {
    let relay = Fixture::new(|config| config.max_connections = 2);
    let (first, first_enclave) = relay.pair().await;
    let (_second, _second_enclave) = relay.pair().await;
    let mut third = relay.client().await;
    third.write_all(b"third").await.unwrap();
    let waiting = tokio::time::timeout(SHORT, relay.enclave.listener.accept()).await;
    assert!(waiting.is_err());
    drop((first, first_enclave));
    let mut enclave = relay.enclave.accept().await;
    let mut got = [0; 5];
    within(enclave.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"third");
}

#[tokio::test]
async fn an_enclave_that_does_not_answer_in_time_is_given_up() {
    let relay = Fixture::new(|config| config.connect_timeout = SHORT);
    let client = relay.client().await;
    let silent = relay.enclave.silent().await;
    until_reset(client).await;
    relay.ended("connect_timeout", 1).await;
    drop(silent);
}

#[tokio::test]
async fn only_ok_is_an_answer_and_what_follows_belongs_to_the_client() {
    let relay = plain();
    let long = [&b"OK "[..], &[b'1'; 40], b"\n"].concat();
    for (count, answer) in [&b"ERR 1\n"[..], b"OK\n", &long].into_iter().enumerate() {
        let (client, enclave) = tokio::join!(relay.client(), relay.enclave.answering(answer));
        until_reset(client).await;
        relay.ended("refused", count as u64 + 1).await;
        drop(enclave);
    }
    let (client, enclave) =
        tokio::join!(relay.client(), relay.enclave.answering(b"OK 1073741824\nwelcome"));
    drop(enclave);
    assert_eq!(rest(client).await, b"welcome");
}

#[tokio::test]
async fn a_port_without_a_listener_resets_the_client() {
    let relay = plain();
    let client = relay.client().await;
    drop(relay.enclave.silent().await);
    until_reset(client).await;
    relay.ended("refused", 1).await;
    std::fs::remove_file(&relay.enclave.path).unwrap();
    until_reset(relay.client().await).await;
    relay.ended("refused", 2).await;
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let relay = Fixture::new(|config| config.idle_timeout = SHORT);
    let (client, enclave) = relay.pair().await;
    until_reset(client).await;
    assert!(rest(enclave).await.is_empty());
    relay.ended("idle", 1).await;
}

#[tokio::test]
async fn silence_after_the_clients_end_ends_a_connection_sooner() {
    let relay = Fixture::new(|config| config.half_close_timeout = SHORT);
    let (mut client, enclave) = relay.pair().await;
    client.shutdown().await.unwrap();
    until_reset(client).await;
    assert!(rest(enclave).await.is_empty());
    relay.ended("half_closed", 1).await;
}

#[tokio::test]
async fn the_header_of_the_proxy_protocol_comes_first() {
    let relay = Fixture::new(|config| config.proxy_protocol = true);
    let (mut client, enclave) = relay.pair().await;
    client.write_all(b"GET").await.unwrap();
    let ports = [client.local_addr().unwrap().port(), relay.address.port()];
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend(ports.map(u16::to_be_bytes).concat());
    expected.extend(b"GET");
    let (mut enclave, mut got) = (enclave, vec![0; expected.len()]);
    within(enclave.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, expected);
}

/// A relay with an open connection, which is told to end.
async fn draining(
    drain_timeout: Duration,
    hurry: impl Future<Output = ()> + Send + 'static,
) -> (TcpStream, tokio::net::UnixStream, tokio::task::JoinHandle<()>) {
    let relay = Fixture::new(|config| config.drain_timeout = drain_timeout);
    let (client, enclave) = relay.pair().await;
    let Fixture { running, address, .. } = relay;
    let shutdown = tokio::spawn(RunningRelay::shutdown(running, hurry));
    within(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    (client, enclave, shutdown)
}

#[tokio::test]
async fn open_connections_finish_at_shutdown() {
    let (mut client, mut enclave, shutdown) =
        draining(Duration::from_secs(100), std::future::pending()).await;
    client.write_all(b"ping").await.unwrap();
    let mut ping = [0; 4];
    within(enclave.read_exact(&mut ping)).await.unwrap();
    enclave.write_all(b"pong").await.unwrap();
    drop(enclave);
    assert_eq!(rest(client).await, b"pong");
    within(shutdown).await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_at_shutdown_is_reset() {
    let (client, _enclave, shutdown) = draining(SHORT, std::future::pending()).await;
    until_reset(client).await;
    within(shutdown).await.unwrap();

    let (hurry, hurried) = tokio::sync::oneshot::channel::<()>();
    let hurried = async { hurried.await.unwrap() };
    let (client, _enclave, shutdown) = draining(Duration::from_secs(100), hurried).await;
    assert!(!shutdown.is_finished());
    hurry.send(()).unwrap();
    until_reset(client).await;
    within(shutdown).await.unwrap();
}

#[tokio::test]
async fn several_routes_lead_to_several_places() {
    let other = Enclave::new();
    let route = Route {
        source: "127.0.0.1:0=vsock:3:1".parse::<Route>().unwrap().source,
        target: other.target(),
    };
    let relay = Fixture::new(|config| config.routes.push(route));
    let second = TcpStream::connect(relay.running.local_addrs()[1]).await.unwrap();
    let mut enclave = other.accept().await;
    enclave.write_all(b"other").await.unwrap();
    drop(enclave);
    assert_eq!(rest(second).await, b"other");
}

/// There is no enclave here, and on some systems no vsock at all.
#[tokio::test]
async fn a_vsock_target_that_is_not_there_resets_the_client() {
    let routes = vec!["127.0.0.1:0=vsock:4000000000:1".parse().unwrap()];
    let running = match start(RelayConfig { routes, ..RelayConfig::default() }) {
        Err(RelayError::Vsock { target, .. }) => return assert_eq!(target, "vsock:4000000000:1"),
        running => running.unwrap(),
    };
    until_reset(TcpStream::connect(running.local_addrs()[0]).await.unwrap()).await;
}

#[tokio::test]
async fn a_thousand_connections_come_and_go() {
    let relay = plain();
    for _ in 0..10 {
        let mut pairs = Vec::new();
        for _ in 0..100 {
            pairs.push(relay.pair().await);
        }
        relay.metric("steve_relay_connections_open", 100).await;
        for (client, _) in &mut pairs {
            client.write_all(b"x").await.unwrap();
        }
        for (client, mut enclave) in pairs {
            let mut byte = [0; 1];
            within(enclave.read_exact(&mut byte)).await.unwrap();
            drop(enclave);
            assert!(rest(client).await.is_empty());
        }
    }
    relay.ended("complete", 1000).await;
}
