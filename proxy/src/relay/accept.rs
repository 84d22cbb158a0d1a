//! A listener and its connections.

use super::Stage;
use super::buffers::Buffers;
use super::config::RelayConfig;
use super::connect::connect;
use super::exchange::{Context, End, exchange};
use super::header::proxy_header;
use super::metrics::RelayMetrics;
use super::notice::Notice;
use super::pump::{Activity, Shared};
use super::route::Target;
use crate::limits::{ACCEPT_PAUSE, Limit};
use crate::metrics::Counted;
use socket2::{SockRef, TcpKeepalive};
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Silence after which a client is probed, pause between probes, and unanswered ones that are the end.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

/// What all connections share.
pub(super) struct Relay {
    pub(super) config: RelayConfig,
    pub(super) metrics: RelayMetrics,
    buffers: Buffers,
    room: Arc<Semaphore>,
}

impl Relay {
    pub(super) fn new(config: RelayConfig) -> Self {
        Self {
            metrics: RelayMetrics::new(),
            buffers: Buffers::default(),
            room: Arc::new(Semaphore::new(config.max_connections)),
            config,
        }
    }

    /// Waits for room for a connection. The semaphore is never closed.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            return Some(permit);
        }
        Limit::Connections.reached();
        self.room.clone().acquire_owned().await.ok()
    }
}

/// A target, and what is told about it.
struct Way {
    target: Target,
    name: String,
    unreachable: Notice,
    broken: Notice,
}

/// Accepts connections while the relay does, then waits for the open ones.
pub(super) async fn serve(
    listener: TcpListener,
    target: Target,
    relay: Arc<Relay>,
    mut stage: watch::Receiver<Stage>,
) {
    let mut connections = JoinSet::new();
    let way = Arc::new(Way {
        name: target.to_string(),
        target,
        unreachable: Notice::default(),
        broken: Notice::default(),
    });
    accept(&listener, &way, &relay, &mut connections, &mut stage).await;
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    way: &Arc<Way>,
    relay: &Arc<Relay>,
    connections: &mut JoinSet<()>,
    stage: &mut watch::Receiver<Stage>,
) {
    let mut coming = pin!(next(listener, relay));
    loop {
        select! {
            biased;
            _ = stage.changed() => return,
            Some(_) = connections.join_next() => {}
            (client, address, room) = coming.as_mut() => {
                coming.set(next(listener, relay));
                let (way, relay, stage) = (way.clone(), relay.clone(), stage.clone());
                connections.spawn(async move {
                    let _room = room;
                    connection(client, address, &way, &relay, stage).await;
                });
            }
        }
    }
}

/// The next connection that there is room for. Others wait in the kernel's accept queue.
async fn next(
    listener: &TcpListener,
    relay: &Relay,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    loop {
        let accepted = match listener.accept().await {
            Ok((client, address)) => prepare(&client).map(|()| (client, address)),
            Err(error) => Err(error),
        };
        match accepted {
            Ok((client, address)) => return (client, address, relay.room().await),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// From here on the client is reset when its socket is closed.
fn prepare(client: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(client);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)
}

async fn connection(
    mut client: TcpStream,
    address: SocketAddr,
    way: &Way,
    relay: &Relay,
    mut stage: watch::Receiver<Stage>,
) {
    let begun = Instant::now();
    let _open = Counted::new(&relay.metrics.open);
    let outcome = select! {
        outcome = carry(&mut client, address, way, relay) => outcome,
        _ = stage.wait_for(|stage| *stage == Stage::Cut) => "cut",
    };
    relay.metrics.ended(&way.name, outcome);
    let milliseconds = begun.elapsed().as_millis() as u64;
    tracing::debug!(enclave = way.name, outcome, milliseconds, "connection ended");
}

/// Gives how it ended.
async fn carry(
    client: &mut TcpStream,
    address: SocketAddr,
    way: &Way,
    relay: &Relay,
) -> &'static str {
    let config = &relay.config;
    let connected = timeout(config.connect_timeout, connect(&way.target)).await;
    let enclave = match connected {
        Ok(Ok(enclave)) => enclave,
        Ok(Err(error)) => {
            way.unreachable(&error);
            return "refused";
        }
        Err(_) => {
            way.unreachable(&"no answer within --connect-timeout");
            return "connect_timeout";
        }
    };
    let header = match client.local_addr() {
        _ if !config.proxy_protocol => Vec::new(),
        Ok(local) => proxy_header(address, local),
        Err(_) => return End::ClientBroke.name(),
    };
    let activity = Activity::new();
    let shared = Shared { buffers: &relay.buffers, activity: &activity };
    let context = Context { config, shared, metrics: &relay.metrics };
    let end = exchange(&context, client, enclave, &header).await;
    match &end {
        // What is still in the socket's buffer is then sent by the kernel, and the end after it.
        End::Complete => {
            let _ = SockRef::from(&*client).set_linger(None);
        }
        End::EnclaveBroke(error) => way.broken(error),
        End::ClientBroke | End::Idle | End::HalfClosed => {}
    }
    end.name()
}

impl Way {
    fn unreachable(&self, reason: &dyn Display) {
        if let Some(untold) = self.unreachable.due(Instant::now()) {
            tracing::warn!(enclave = self.name, untold, "cannot connect: {reason}");
        }
    }

    fn broken(&self, reason: &dyn Display) {
        if let Some(untold) = self.broken.due(Instant::now()) {
            tracing::warn!(enclave = self.name, untold, "connection broken: {reason}");
        }
    }
}
