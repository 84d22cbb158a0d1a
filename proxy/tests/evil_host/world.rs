//! Genuine proxies in front of one app, and the wires to them.

use super::app::{App, CANARY, Mischief};
use super::common::{now_ms, rng};
use super::sim;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use steve_protocol::evidence::dev::{DevAuthority, Request, pcrs};
use steve_proxy::attester::{AttestError, Attester};
use steve_proxy::{Config, Listener, Running, start};
use steve_sdk::{PcrProfile, Policy};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

const WIRE: usize = 64 * 1024;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that clients are to reach.
    Current,
    /// Another one, as genuine, with keys of its own.
    Other,
}

pub struct World {
    pub app: App,
    authority: Arc<Authority>,
    current: tokio::sync::Mutex<Proxy>,
    other: tokio::sync::Mutex<Option<Proxy>>,
    /// Behind the other proxy.
    other_app: App,
    /// The host has seen the canary.
    pub leaked: Arc<AtomicBool>,
    pub restarts: AtomicUsize,
}

impl World {
    pub async fn new(mischief: Mischief) -> Arc<Self> {
        let app = App::start(mischief).await;
        Self::with_other_app(app.clone(), app).await
    }

    /// The other proxy is genuine, but the app behind it is not the one that counts.
    pub async fn with_other_app(app: App, other_app: App) -> Arc<Self> {
        let began = (now_ms(), Instant::now());
        let authority = DevAuthority::new(&mut rng(), began.0).unwrap();
        let authority = Arc::new(Authority { authority, began });
        let current = Proxy::start(&app, &authority).await;
        Arc::new(Self {
            app,
            authority,
            current: current.into(),
            other: None.into(),
            other_app,
            leaked: Arc::default(),
            restarts: AtomicUsize::new(0),
        })
    }

    /// What clients must know: the policy, and the root of the attestation.
    pub fn trust(&self) -> (Policy, Vec<u8>) {
        let profile = PcrProfile::of(&pcrs()).unwrap();
        (Policy::pinned([profile]).unwrap(), self.authority.authority.root_der().to_vec())
    }

    /// A new process: new keys, no sessions. Connections to the old one break.
    pub async fn restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
        let mut current = self.current.lock().await;
        let next = Proxy::start(&self.app, &self.authority).await;
        drop(mem::replace(&mut *current, next));
    }

    /// A connection to a proxy. None while it does not accept any.
    pub async fn connect(&self, which: Which) -> Option<Wire> {
        match which {
            Which::Current => self.current.lock().await.connect(),
            Which::Other => {
                let mut other = self.other.lock().await;
                if other.is_none() {
                    *other = Some(Proxy::start(&self.other_app, &self.authority).await);
                }
                other.as_ref()?.connect()
            }
        }
        .map(|io| self.wire(io))
    }

    /// The host's end of a connection.
    pub fn wire(&self, io: DuplexStream) -> Wire {
        Wire { io, leaked: self.leaked.clone(), tails: Default::default() }
    }

    /// A connection from a client: its end, and the host's.
    pub fn pair(&self) -> (DuplexStream, Wire) {
        let (client, host) = duplex(WIRE);
        (client, self.wire(host))
    }
}

struct Proxy {
    _running: Running,
    connections: mpsc::UnboundedSender<DuplexStream>,
}

impl Proxy {
    async fn start(app: &App, authority: &Arc<Authority>) -> Self {
        let _working = sim::freeze();
        let mut config = Config {
            listen: None,
            upstream: format!("http://{}", app.address),
            ..Config::default()
        };
        let limits = &mut config.limits;
        limits.app_probe_interval = Duration::from_secs(3600);
        limits.key_rotation = Duration::from_secs(240);
        limits.key_overlap = Duration::from_secs(60);
        limits.session_lifetime = Duration::from_secs(200);
        limits.session_idle = Duration::from_secs(90);
        limits.stream_idle_timeout = Duration::from_secs(120);
        limits.max_streams = 8;
        // Only auditors would ask for it.
        limits.unchallenged_refresh = Duration::from_secs(86_400);
        let attester = Enclave { authority: authority.clone(), runtime: Handle::current() };
        let mut running = start(config, Box::new(attester)).await.unwrap();
        let (connections, accepted) = mpsc::unbounded_channel();
        running.serve(Accepted(accepted));
        Self { _running: running, connections }
    }

    fn connect(&self) -> Option<DuplexStream> {
        let (host, proxy) = duplex(WIRE);
        self.connections.send(proxy).ok().map(|()| host)
    }
}

struct Accepted(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Accepted {
    type Connection = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        self.0.recv().await.ok_or(io::ErrorKind::BrokenPipe.into())
    }
}

/// Signs for all proxies, in the runtime's time.
struct Authority {
    authority: DevAuthority,
    /// Milliseconds since 1970 when time began.
    began: (u64, Instant),
}

struct Enclave {
    authority: Arc<Authority>,
    runtime: Handle,
}

impl Attester for Enclave {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        if Handle::try_current().is_err() {
            // For as long as the thread lives: its clock is the runtime's.
            mem::forget(self.runtime.enter());
        }
        // The proxy notes when it got the time that the document states.
        let _working = sim::freeze();
        let Authority { authority, began: (began_ms, began) } = &*self.authority;
        let now_ms = began_ms + began.elapsed().as_millis() as u64;
        let request = Request { user_data: Some(user_data), nonce, public_key: None };
        let document = authority.attest(&pcrs(), &request, now_ms);
        document.map_err(|error| AttestError::Dev(error.to_string()))
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        Ok(None)
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}

/// The host's end of a connection. Looks for the canary in all that passes (row 9).
pub struct Wire {
    io: DuplexStream,
    leaked: Arc<AtomicBool>,
    /// The last bytes of each direction.
    tails: [Vec<u8>; 2],
}

impl Wire {
    fn look(&mut self, direction: usize, bytes: &[u8]) {
        let tail = &mut self.tails[direction];
        tail.extend_from_slice(bytes);
        if has_canary(tail) {
            self.leaked.store(true, Relaxed);
        }
        let keep = tail.len().min(CANARY.len() - 1);
        tail.drain(..tail.len() - keep);
    }
}

fn has_canary(mut bytes: &[u8]) -> bool {
    let canary = CANARY.as_bytes();
    while let Some(at) = bytes.iter().position(|byte| *byte == canary[0]) {
        bytes = &bytes[at..];
        if bytes.starts_with(canary) {
            return true;
        }
        bytes = &bytes[1..];
    }
    false
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.look(0, &buffer.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look(1, data);
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
