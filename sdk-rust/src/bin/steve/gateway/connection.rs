use super::Gateway;
use super::forward::Forwarder;
use super::hosts::Hosts;
use super::upgrade::Joint;
use crate::args::Limits;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

/// For a connection that is to close, while no request is open.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Field lines that the protocol carries (SPEC.md, Section 10.1).
const MAX_FIELDS: usize = 256;
/// HTTP/2 counts this much for a field line besides its name and value.
const FIELD_OVERHEAD: u32 = 32;
/// HTTP/2 flow control windows in bytes: a request body that the app does not read holds up no
/// other on its connection.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const SEND_BUFFER: usize = 64 << 10;

/// A place for a connection, taken as long as this lives.
pub(super) struct Place {
    pub(super) _permit: OwnedSemaphorePermit,
    /// The connection is one too many: all it gets is that answer.
    pub(super) turned_away: bool,
}

/// Serves a connection until it ends, is idle for too long, or all are to close.
pub(super) async fn serve(
    tcp: TcpStream,
    gateway: Arc<Gateway>,
    place: Place,
    mut closing: watch::Receiver<bool>,
) {
    let Ok(local) = tcp.local_addr() else { return };
    // Slower without it, but not wrong.
    let _ = tcp.set_nodelay(true);
    let activity = Activity::default();
    let hosts = Hosts::new(gateway.client.origin(), [gateway.address, local]);
    let builder = builder(&gateway.limits);
    let mut idle_timeout = if place.turned_away { LAST_WORDS } else { gateway.limits.idle_timeout };
    let (joint, mut joints) = mpsc::channel::<Joint>(1);
    let turned_away = place.turned_away;
    let forwarder = Arc::new(Forwarder { gateway, hosts, turned_away, joint });
    let service = service_fn(|request| {
        let (forwarder, active) = (forwarder.clone(), activity.begin());
        async move { Ok::<_, Infallible>(forwarder.answer(request, active).await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(tcp), service));
    let mut ending = false;
    loop {
        tokio::select! {
            // How a connection ends is its client's affair.
            _ = connection.as_mut() => break,
            () = activity.idle_for(idle_timeout) => if ending { return },
            _ = closing.wait_for(|closing| *closing), if !ending => {}
        }
        connection.as_mut().graceful_shutdown();
        ending = true;
        idle_timeout = LAST_WORDS;
    }
    if let Ok(joint) = joints.try_recv() {
        joint.carry().await;
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Heads a little above the limit get an answer that names it; the rest hyper answers itself.
    let head = limits.max_head_size.saturating_mul(2);
    builder
        .http1()
        .auto_date_header(false)
        .max_headers(MAX_FIELDS)
        .max_buf_size(usize::try_from(head).unwrap_or(usize::MAX))
        .header_read_timeout(None);
    builder
        .http2()
        .auto_date_header(false)
        .max_header_list_size(head + MAX_FIELDS as u32 * FIELD_OVERHEAD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// The number of requests that are open on a connection.
#[derive(Clone, Default)]
struct Activity(watch::Sender<usize>);

/// An open request.
pub(super) struct Active(watch::Sender<usize>);

impl Activity {
    fn begin(&self) -> Active {
        self.0.send_modify(|open| *open += 1);
        Active(self.0.clone())
    }

    /// Waits until no request was open for that long.
    async fn idle_for(&self, duration: Duration) {
        let mut open = self.0.subscribe();
        loop {
            // The sender lives as long as this does.
            if *open.borrow_and_update() > 0 {
                let _ = open.changed().await;
            } else if timeout(duration, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
