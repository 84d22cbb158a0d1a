//! Where Prometheus fetches the metrics: `GET /metrics` over HTTP/1.1, and nothing else.

use crate::limits::ACCEPT_PAUSE;
use crate::server::Listener;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at once; when there is one more, it waits.
const MAX_CONNECTIONS: usize = 8;
/// Longest wait for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a connection, which serves one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffer of a connection in bytes; a request head must fit.
const BUFFER: usize = 16 * 1024;
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Writes all metrics in the text format of OpenMetrics.
pub(crate) type Render = Arc<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>;

/// Serves metrics until it is dropped.
pub(crate) async fn serve<L: Listener>(mut listener: L, render: Render) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok(io) => {
                connections.spawn(timeout(CONNECTION_TIMEOUT, connection(io, render.clone())));
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection for metrics: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, render: Render) {
    let service = service_fn(|request| {
        let response = respond(&render, &request);
        async { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .keep_alive(false);
    // How a connection ends is the business of the peer.
    let _ = builder.serve_connection(TokioIo::new(io), service).await;
}

fn respond(render: &Render, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return empty(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    match render() {
        Ok(text) => {
            let mut response = Response::new(Full::new(text.into()));
            response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
            response
        }
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
