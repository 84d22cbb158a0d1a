//! The untrusted host of the demo: relays bytes between client and proxy, and keeps what it saw.

use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// What is kept of each exchange; the demo's own are far smaller.
const MAX_KEPT: usize = 1 << 20;

/// Pieces that a slow onlooker may be behind by, of at most 16 KiB each.
const MAX_BEHIND: usize = 256;

/// Bytes seen since the last look, by direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// From the client to the proxy.
    pub(super) up: Vec<u8>,
    /// From the proxy to the client.
    pub(super) down: Vec<u8>,
}

impl Seen {
    /// Whether `needle` went over the wire in either direction.
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        [&self.up, &self.down].iter().any(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
    }
}

/// Bytes that went by in one go.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// From the client to the proxy; otherwise the other way.
    pub(super) up: bool,
    pub(super) bytes: Bytes,
}

/// A relay with a memory.
pub(super) struct Tap {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    live: broadcast::Sender<Piece>,
}

impl Tap {
    /// Relays connections to `listen` on to `target` until the process ends.
    pub(super) async fn start(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (live, _) = broadcast::channel(MAX_BEHIND);
        let shared = (seen.clone(), live.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, live) = shared.clone();
                tokio::spawn(relay(client, target, seen, live));
            }
        });
        Ok(Self { address, seen, live })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was seen since the last call.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }

    /// What goes by from now on, for onlookers.
    pub(super) fn live(&self) -> broadcast::Sender<Piece> {
        self.live.clone()
    }
}

/// Errors end the connection, as they would on a real host.
async fn relay(
    client: TcpStream,
    target: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    live: broadcast::Sender<Piece>,
) {
    let Ok(proxy) = TcpStream::connect(target).await else { return };
    let (mut client_read, mut client_write) = client.into_split();
    let (mut proxy_read, mut proxy_write) = proxy.into_split();
    let show = |up, bytes: &[u8]| {
        if live.receiver_count() > 0 {
            // Nobody looks any more: no event for a host.
            let _ = live.send(Piece { up, bytes: Bytes::copy_from_slice(bytes) });
        }
    };
    let up = copy(&mut client_read, &mut proxy_write, |bytes| {
        keep(&mut lock(&seen).up, bytes);
        show(true, bytes);
    });
    let down = copy(&mut proxy_read, &mut client_write, |bytes| {
        keep(&mut lock(&seen).down, bytes);
        show(false, bytes);
    });
    tokio::join!(up, down);
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut saw: impl FnMut(&[u8]),
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        saw(&buffer[..len]);
        if to.write_all(&buffer[..len]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_KEPT.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
