//! Start, life and end of a proxy.

mod activity;
mod connection;
mod deadline;
mod listener;

use crate::attester::{AttestError, Attester};
use crate::clock::NsmClock;
use crate::config::{Checked, Config};
#[cfg(feature = "e2p-v2")]
use crate::e2p_v2;
use crate::entropy::Entropy;
use crate::error::StartError;
use crate::evidence::{EvidenceService, Statements, timestamp_ms};
use crate::idempotent;
use crate::keys::{KeyPlan, KeyRing};
use crate::limits::{Budget, Limits};
use crate::metrics::{self, Metrics};
use crate::padding;
use crate::sessions::Sessions;
use crate::stream::Waiting;
use crate::upstream::{AppProtocol, Upstream};
pub use listener::Listener;
use listener::{bind_tcp, bind_vsock};
use sha2::{Digest, Sha256};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use steve_protocol::handshake::SessionParameters;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

/// User data of the document that tells the time before there are keys. It is never sent.
const CLOCK_USER_DATA: &[u8] = b"steve/3 clock";

/// Everything that the parts of a running proxy share.
pub(crate) struct Proxy {
    pub(crate) limits: Limits,
    pub(crate) parameters: SessionParameters,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) public_paths: Vec<String>,
    pub(crate) upgrades: Vec<String>,
    pub(crate) padding: padding::Routes,
    pub(crate) allow_plaintext_fallback: bool,
    pub(crate) early_data: bool,
    pub(crate) entropy: Arc<Entropy>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) evidence: EvidenceService,
    pub(crate) sessions: Sessions,
    pub(crate) upstream: Arc<Upstream>,
    /// Requests with an idempotency key that were executed.
    pub(crate) idempotent: Arc<idempotent::Memory>,
    pub(crate) metrics: Arc<Metrics>,
    /// Connections, and requests that may hold frames or a connection to the app. A stream takes its
    /// share when its first frame has authenticated.
    pub(crate) budget: Budget,
    /// Requests that have not named a session in use.
    pub(crate) anonymous: Waiting,
    /// Requests that have named one, whose first frame has not yet authenticated.
    pub(crate) opening: Waiting,
    #[cfg(feature = "e2p-v2")]
    pub(crate) e2p_v2: Option<e2p_v2::Service>,
    draining: AtomicBool,
}

impl Proxy {
    /// True from the beginning of shutdown.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// True when connections to the app may change to this protocol.
    pub(crate) fn may_upgrade(&self, protocol: &str) -> bool {
        self.upstream.protocol() == AppProtocol::Http1
            && self.upgrades.iter().any(|one| one.eq_ignore_ascii_case(protocol))
    }

    /// True when new clients can be served.
    pub(crate) fn is_ready(&self) -> bool {
        self.evidence.works() && self.upstream.connector().is_reachable() && !self.is_draining()
    }
}

/// A running proxy. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets open streams
/// finish first.
pub struct Running {
    local_addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    proxy: Arc<Proxy>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    _upkeep: JoinSet<()>,
}

impl Running {
    /// The TCP address it listens on, with the real port.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The TCP address that metrics are served on, with the real port.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Serves the connections of one more listener, until shutdown.
    pub fn serve(&mut self, listener: impl Listener) {
        let (proxy, stopped) = (self.proxy.clone(), self.stop.subscribe());
        self.listeners.spawn(connection::serve(listener, proxy, stopped));
    }

    /// Turns health red, refuses new streams, and waits for open ones for up to
    /// [`Limits::drain_timeout`].
    pub async fn shutdown(mut self) {
        self.proxy.draining.store(true, Relaxed);
        let metrics = &self.proxy.metrics;
        tracing::info!(
            connections = metrics.connections_open.get(),
            streams = metrics.streams_open.get(),
            tunnels = metrics.tunnels_open.get(),
            "shutting down"
        );
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        tracing::info!(streams = metrics.streams.get(), "shut down");
    }
}

/// Starts a proxy on the current tokio runtime. It is ready when this returns.
pub async fn start(config: Config, attester: Box<dyn Attester>) -> Result<Running, StartError> {
    let checked = config.check()?;
    let config = &checked.config;
    let tcp = config.listen.map(bind_tcp).transpose()?;
    let vsock = config.vsock_port.map(bind_vsock).transpose()?;
    let local_addr = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
    let metrics_tcp = config.metrics_listen.map(bind_tcp).transpose()?;
    let metrics_vsock = config.metrics_vsock_port.map(bind_vsock).transpose()?;
    let metrics_addr = metrics_tcp.as_ref().and_then(|listener| listener.local_addr().ok());
    config.limits.log();

    let proxy = Arc::new(build(checked, attester).await?);
    proxy.evidence.renew().await?;
    proxy.upstream.connector().probe().await;

    let mut upkeep = JoinSet::new();
    let shared = proxy.clone();
    upkeep.spawn(async move { shared.keys.run(|| shared.evidence.keys_changed()).await });
    let shared = proxy.clone();
    upkeep.spawn(async move { shared.evidence.run().await });
    let shared = proxy.clone();
    upkeep.spawn(async move { shared.sessions.sweep().await });
    #[cfg(feature = "e2p-v2")]
    if proxy.e2p_v2.is_some() {
        let shared = proxy.clone();
        upkeep.spawn(async move {
            if let Some(service) = &shared.e2p_v2 {
                service.sweep().await;
            }
        });
    }
    let shared = proxy.clone();
    upkeep.spawn(async move { shared.upstream.connector().run(&shared.limits).await });
    let shared = proxy.clone();
    let render: metrics::Render = Arc::new(move || shared.metrics.render(&shared));
    if let Some(tcp) = metrics_tcp {
        upkeep.spawn(metrics::serve(tcp, render.clone()));
    }
    if let Some(vsock) = metrics_vsock {
        upkeep.spawn(metrics::serve(vsock, render));
    }

    let (stop, stopped) = watch::channel(false);
    let mut listeners = JoinSet::new();
    if let Some(tcp) = tcp {
        listeners.spawn(connection::serve(tcp, proxy.clone(), stopped.clone()));
    }
    if let Some(vsock) = vsock {
        listeners.spawn(connection::serve(vsock, proxy.clone(), stopped));
    }
    Ok(Running { local_addr, metrics_addr, proxy, stop, listeners, _upkeep: upkeep })
}

async fn build(checked: Checked, attester: Box<dyn Attester>) -> Result<Proxy, StartError> {
    let asked = Instant::now();
    let (attester, random, now_ms) = spawn_blocking(move || first_contact(attester))
        .await
        .map_err(|error| StartError::System(io::Error::other(error)))??;
    let entropy = Arc::new(Entropy::new(random)?);
    let clock = Arc::new(NsmClock::new(now_ms, asked));
    let configuration = checked.effective(attester.name());
    #[cfg(feature = "e2p-v2")]
    let e2p_v2 = checked.e2p_v2();
    let Checked { upstream, suites, cors_origins, public_paths, upgrades, padding, config } =
        checked;
    let Config { manifest, limits, allow_plaintext_fallback, early_data, .. } = config;
    let budget = Budget::new(&limits, early_data);
    #[cfg(feature = "e2p-v2")]
    let e2p_v2 = e2p_v2.map(|exchange| e2p_v2::Service::new(exchange, &limits, &budget));

    let plan = KeyPlan {
        suites,
        manifest_hash: Sha256::digest(&manifest).into(),
        configuration_hash: Sha256::digest(&configuration).into(),
        rotation: limits.key_rotation,
        overlap: limits.key_overlap,
        early_requests: budget.max_early_requests,
    };
    let keys = Arc::new(KeyRing::new(plan, clock.clone(), entropy.clone())?);
    let statements = Statements { configuration, manifest };
    let metrics = Arc::new(Metrics::new());
    let evidence =
        EvidenceService::start(attester, keys.clone(), clock, statements, metrics.clone(), &limits)
            .map_err(StartError::System)?;
    let parameters = SessionParameters {
        lifetime: limits.session_lifetime,
        idle_timeout: limits.session_idle,
        max_head_size: limits.max_head_size,
        max_streams: limits.max_streams,
    };
    Ok(Proxy {
        parameters,
        cors_origins,
        public_paths,
        upgrades,
        padding,
        allow_plaintext_fallback,
        early_data,
        entropy,
        keys,
        evidence,
        sessions: Sessions::new(&limits),
        upstream: Arc::new(Upstream::new(upstream, &limits)?),
        idempotent: Arc::new(budget.idempotent(&limits)),
        metrics,
        anonymous: Waiting::new(budget.max_anonymous),
        opening: Waiting::new(budget.max_opening),
        budget,
        #[cfg(feature = "e2p-v2")]
        e2p_v2,
        draining: AtomicBool::new(false),
        limits,
    })
}

type FirstContact = (Box<dyn Attester>, Option<Vec<u8>>, u64);

/// What is needed of the attester before there are keys: random numbers and the time.
fn first_contact(mut attester: Box<dyn Attester>) -> Result<FirstContact, AttestError> {
    let random = attester.random()?;
    let document = attester.attest(CLOCK_USER_DATA, None)?;
    let now_ms = timestamp_ms(&document)?;
    Ok((attester, random, now_ms))
}
