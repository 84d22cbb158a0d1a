//! Outer connections: HTTP/1.1, or HTTP/2 with prior knowledge.

use super::Proxy;
use super::activity::{Activity, Tracked};
use super::deadline::WriteDeadline;
use super::listener::Listener;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTION_BUFFER, HTTP2_CONNECTION_WINDOW, HTTP2_HEADER_LIST,
    HTTP2_PING_INTERVAL, HTTP2_PING_TIMEOUT, HTTP2_STREAM_WINDOW, Limits, MAX_FIELDS,
};
use crate::routes::{Outer, route};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
    loop {
        let has_room = connections.len() < proxy.limits.max_connections;
        select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok(io) => {
                    connections.spawn(connection(io, proxy.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(proxy.limits.drain_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!("{} connections were cut off at shutdown", connections.len());
    }
}

async fn connection(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    proxy: Arc<Proxy>,
    mut stop: watch::Receiver<bool>,
) {
    let begun = Arc::new(AtomicBool::new(false));
    let activity = Activity::new();
    let (tunnel, mut tunnels) = mpsc::channel(1);
    let unread = Arc::new(Semaphore::new(proxy.limits.max_unread_evidence));
    let outer = Outer { unread, tunnel };
    let first_request = sleep(proxy.limits.first_request_timeout);
    // hyper closes idle HTTP/1.1 connections, but keeps HTTP/2 ones that answer its pings.
    let idle_limit = proxy.limits.header_read_timeout;
    let builder = builder(&proxy.limits);
    let io = TokioIo::new(WriteDeadline::new(io, proxy.limits.write_timeout));
    let service = service_fn({
        let (begun, activity) = (begun.clone(), activity.clone());
        move |request| {
            let in_flight = activity.begin();
            begun.store(true, Relaxed);
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
    let (mut stopping, mut checked, mut closing) = (false, false, false);
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
                if !begun.load(Relaxed) {
                    return;
                }
            }
            () = idle.as_mut() => {
                let now = Instant::now();
                let since = activity.idle_since().unwrap_or(now);
                let is_idle = since + idle_limit <= now;
                if is_idle && closing {
                    return;
                }
                if is_idle {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                idle.as_mut().reset(if is_idle { now } else { since } + idle_limit);
            }
        }
    }
    if let Ok(carry) = tunnels.try_recv() {
        carry.await;
    }
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
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_header_list_size(HTTP2_HEADER_LIST)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .auto_date_header(false);
    builder
}
