//! Outer connections: HTTP/1.1, or HTTP/2 with prior knowledge.

use super::Proxy;
use super::activity::{Activity, Tracked};
use super::deadline::WriteDeadline;
use super::listener::Listener;
#[cfg(feature = "e2p-v2")]
use crate::limits::Share;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTION_BUFFER, HTTP2_HEADER_LIST, HTTP2_PING_INTERVAL, HTTP2_PING_TIMEOUT,
    HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW, Limits, MAX_FIELDS,
};
use crate::metrics::Counted;
use crate::routes::{Outer, route};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Accepts connections until `stop`, then waits for the open ones, within a limit.
pub(super) async fn serve<L: Listener>(
    mut listener: L,
    proxy: Arc<Proxy>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    // A connection for which there is no room yet. Others wait in the kernel's accept queue.
    let mut waiting = None;
    loop {
        select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            permit = proxy.budget.connection(), if waiting.is_some() => {
                if let Some(io) = waiting.take() {
                    let (proxy, stop) = (proxy.clone(), stop.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        connection(io, proxy, stop).await;
                    });
                }
            }
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok(io) => waiting = Some(io),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // At the end of the wait tunnels say so.
    let limit = proxy.limits.drain_timeout + proxy.limits.linger_time;
    let drained = timeout(limit, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut off at shutdown");
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// By its peer, or after the last answer.
    Closed,
    /// No request came in time.
    Silent,
    Idle,
    /// The peer took nothing of an answer.
    Stalled,
}

async fn connection(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    proxy: Arc<Proxy>,
    stop: watch::Receiver<bool>,
) {
    let begun = Instant::now();
    let _open = Counted::new(&proxy.metrics.connections_open);
    let activity = Activity::new();
    let end = exchange(io, proxy, stop, &activity).await;
    tracing::debug!(
        ?end,
        requests = activity.requests(),
        milliseconds = begun.elapsed().as_millis() as u64,
        "connection ended"
    );
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    proxy: Arc<Proxy>,
    mut stop: watch::Receiver<bool>,
    activity: &Arc<Activity>,
) -> End {
    let tunnels_open = proxy.metrics.tunnels_open.clone();
    let (tunnel, mut tunnels) = mpsc::channel(1);
    let unread = Arc::new(Semaphore::new(proxy.limits.max_unread_evidence));
    let outer = Outer {
        unread,
        #[cfg(feature = "e2p-v2")]
        messages: match &proxy.e2p_v2 {
            Some(service) => service.of_connection(),
            None => Share::new(0),
        },
        tunnel,
        stop: stop.clone(),
    };
    let first_request = sleep(proxy.limits.first_request_timeout);
    // hyper closes idle HTTP/1.1 connections, but keeps HTTP/2 ones that answer its pings.
    let idle_limit = proxy.limits.header_read_timeout;
    let stall_limit = proxy.limits.write_timeout;
    let builder = builder(&proxy.limits);
    let io = TokioIo::new(WriteDeadline::new(io, proxy.limits.write_timeout));
    let service = service_fn({
        let activity = activity.clone();
        move |request| {
            let in_flight = activity.begin();
            let (proxy, outer) = (proxy.clone(), outer.clone());
            async move {
                let response = route(proxy, outer, request).await;
                Ok::<_, Infallible>(response.map(|body| Tracked::new(body, in_flight)))
            }
        }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut first_request = pin!(first_request);
    let mut idle = pin!(sleep(idle_limit));
    let mut stalled = pin!(sleep(stall_limit));
    let (mut stopping, mut checked, mut closing, mut told) = (false, false, false, false);
    loop {
        select! {
            // How a connection ends is the business of the peers.
            _ = connection.as_mut() => break,
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if !checked => {
                checked = true;
                if activity.requests() == 0 {
                    return End::Silent;
                }
            }
            () = idle.as_mut() => {
                let now = Instant::now();
                let since = activity.idle_since().unwrap_or(now);
                let is_idle = since + idle_limit <= now;
                if is_idle && closing {
                    return End::Idle;
                }
                if is_idle {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                idle.as_mut().reset(if is_idle { now } else { since } + idle_limit);
            }
            () = stalled.as_mut() => {
                let now = Instant::now();
                let since = activity.stalled_since().unwrap_or(now);
                let is_stalled = since + stall_limit <= now;
                if is_stalled && told {
                    return End::Stalled;
                }
                if is_stalled {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                stalled.as_mut().reset(if is_stalled { now } else { since } + stall_limit);
            }
        }
    }
    if let Ok(carry) = tunnels.try_recv() {
        let _open = Counted::new(&tunnels_open);
        carry.await;
    }
    End::Closed
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(CONNECTION_BUFFER)
        .max_headers(MAX_FIELDS)
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_http2_streams)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits))
        .max_header_list_size(HTTP2_HEADER_LIST)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .auto_date_header(false);
    builder
}

/// What all streams may have open together: one that is not read holds up no other. No more, because
/// h2 allows for unread small frames in proportion to it (row 18).
fn connection_window(limits: &Limits) -> u32 {
    limits.max_http2_streams.saturating_mul(HTTP2_STREAM_WINDOW).min(i32::MAX as u32)
}
