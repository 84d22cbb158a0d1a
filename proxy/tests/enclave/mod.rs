//! An enclave behind a Unix socket, as Firecracker and vhost-device-vsock offer it, and a relay to it.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use steve_proxy::relay::{RelayConfig, Route, RunningRelay, Source, Target, start};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;

pub const PORT: u32 = 9443;

pub struct Enclave {
    pub listener: UnixListener,
    pub path: PathBuf,
    _directory: TempDir,
}

impl Enclave {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vsock");
        Self { listener: UnixListener::bind(&path).unwrap(), path, _directory: directory }
    }

    pub fn target(&self) -> Target {
        Target::Unix { path: self.path.clone(), port: PORT }
    }

    /// A connection of which nothing has been read or answered.
    pub async fn silent(&self) -> UnixStream {
        within(self.listener.accept()).await.unwrap().0
    }

    /// A connection whose `CONNECT` is read and answered by `answer`.
    pub async fn answering(&self, answer: &[u8]) -> UnixStream {
        let mut connection = self.silent().await;
        let mut line = vec![0; format!("CONNECT {PORT}\n").len()];
        within(connection.read_exact(&mut line)).await.unwrap();
        assert_eq!(line, format!("CONNECT {PORT}\n").into_bytes());
        connection.write_all(answer).await.unwrap();
        connection
    }

    pub async fn accept(&self) -> UnixStream {
        self.answering(format!("OK {PORT}\n").as_bytes()).await
    }
}

/// A relay to an enclave.
pub struct Fixture {
    pub enclave: Enclave,
    pub running: RunningRelay,
    pub address: SocketAddr,
}

impl Fixture {
    pub fn new(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let enclave = Enclave::new();
        let source = Source::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut config = RelayConfig {
            routes: vec![Route { source, target: enclave.target() }],
            metrics_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..RelayConfig::default()
        };
        change(&mut config);
        let running = start(config).unwrap();
        let address = running.local_addrs()[0];
        Self { enclave, running, address }
    }

    pub async fn client(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Both ends of a connection through the relay.
    pub async fn pair(&self) -> (TcpStream, UnixStream) {
        tokio::join!(self.client(), self.enclave.accept())
    }

    /// Waits until a metric has a value. `name` includes the labels.
    pub async fn metric(&self, name: &str, value: u64) {
        let line = format!("{name} {value}\n");
        let metrics = self.running.metrics_addr().unwrap();
        within(async {
            while !scrape(metrics).await.contains(&line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Waits until so many connections have ended in this way.
    pub async fn ended(&self, outcome: &str, count: u64) {
        let target = self.enclave.target();
        let labels = format!("{{target=\"{target}\",outcome=\"{outcome}\"}}");
        self.metric(&format!("steve_relay_connections_ended_total{labels}"), count).await;
    }
}

pub async fn scrape(metrics: SocketAddr) -> String {
    let mut connection = TcpStream::connect(metrics).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    text
}

/// A test that hangs fails instead.
pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(120), future).await.expect("it hangs")
}

/// Bytes that repeat nowhere: SplitMix64.
pub fn random(seed: u64, len: usize) -> Vec<u8> {
    let words = (0..len as u64 / 8 + 1).map(|i| {
        let x = (seed << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31).to_le_bytes()
    });
    let mut bytes = Vec::with_capacity(len + 8);
    words.for_each(|word| bytes.extend(word));
    bytes.truncate(len);
    bytes
}

/// Reads to the end, which must be a clean one.
pub async fn rest(mut from: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(from.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// Reads to a reset; gives what came before it.
pub async fn until_reset(mut from: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = within(from.read_to_end(&mut bytes)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    bytes
}
