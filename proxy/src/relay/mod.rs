//! The host's side: passes TCP connections on to an enclave, over vsock.
//!
//! It sees sealed bytes only, and is trusted with nothing. One connection to the enclave stands for
//! one of a client. What ends well ends well on the other side, too, and what breaks off breaks off:
//! until both directions have ended a client's socket is set to be reset when it is closed (`SO_LINGER`
//! of 0), even if the relay is killed. What the kernel does not tell the relay cannot tell: on vsock,
//! and on the Unix sockets that stand for it, an enclave that dies while nothing is under way to it
//! looks as if it had closed the connection. The encrypted channel has an authenticated end of its own
//! for that.

mod accept;
mod buffers;
mod client_end;
mod config;
mod connect;
mod error;
mod exchange;
mod header;
mod listener;
mod metrics;
mod notice;
mod pump;
mod route;

pub use config::RelayConfig;
pub use error::RelayError;
pub use route::{Route, Source, Target};

use accept::{Relay, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How far the end of the relay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Accepting,
    /// Open connections may finish.
    Draining,
    /// Open connections are reset.
    Cut,
}

/// A running relay. Dropping it resets all connections; [`shutdown`](Self::shutdown) lets them finish
/// first.
pub struct RunningRelay {
    local_addrs: Vec<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    relay: Arc<Relay>,
    stage: watch::Sender<Stage>,
    listeners: JoinSet<()>,
    _metrics: JoinSet<()>,
}

impl RunningRelay {
    /// The TCP addresses it listens on, with the real ports, in the order of the routes.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// The TCP address that metrics are served on, with the real port.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Stops listening, and waits for open connections for up to [`RelayConfig::drain_timeout`], or
    /// until `hurry`. Then it resets those that are left.
    pub async fn shutdown(mut self, hurry: impl Future<Output = ()>) {
        let open = &self.relay.metrics.open;
        tracing::info!(connections = open.get(), "shutting down");
        self.stage.send_replace(Stage::Draining);
        let cut = select! {
            () = join(&mut self.listeners) => false,
            () = sleep(self.relay.config.drain_timeout) => true,
            () = hurry => true,
        };
        if cut {
            tracing::warn!(connections = open.get(), "connections reset at shutdown");
            self.stage.send_replace(Stage::Cut);
            join(&mut self.listeners).await;
        }
        tracing::info!("shut down");
    }
}

async fn join(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Starts a relay on the current tokio runtime. It is ready when this returns.
pub fn start(config: RelayConfig) -> Result<RunningRelay, RelayError> {
    config.check()?;
    let sockets = listener::open(&config.routes)?;
    let local_addrs = sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    let metrics_socket = config.metrics_listen.map(|address| {
        listener::bind(address).map_err(|source| RelayError::Metrics { address, source })
    });
    let metrics_socket = metrics_socket.transpose()?;
    let metrics_addr = metrics_socket.as_ref().and_then(|socket| socket.local_addr().ok());

    let relay = Arc::new(Relay::new(config));
    let mut metrics = JoinSet::new();
    if let Some(socket) = metrics_socket {
        let shared = relay.clone();
        metrics.spawn(crate::metrics::serve(socket, Arc::new(move || shared.metrics.render())));
    }
    let (stage, staged) = watch::channel(Stage::Accepting);
    let mut listeners = JoinSet::new();
    for (socket, route) in sockets.into_iter().zip(&relay.config.routes) {
        listeners.spawn(serve(socket, route.target.clone(), relay.clone(), staged.clone()));
    }
    Ok(RunningRelay { local_addrs, metrics_addr, relay, stage, listeners, _metrics: metrics })
}
