//! The app behind all proxies, a process of its own.
//!
//! | resource | what it does |
//! |---|---|
//! | GET `/bytes/N` | N bytes of the pattern |
//! | POST `/take` | reads the body, which must be the pattern, and says how long it was |
//! | GET `/events/RATE/N` | N events, RATE a second, each with the time it was sent |
//! | GET `/ws` | a WebSocket that sends every message back |

use crate::Result;
use crate::pattern::{self, Checker};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Body = BoxBody<Bytes, Infallible>;

/// Serves until the process is ended.
pub(crate) async fn run(address: SocketAddr) -> Result<()> {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&address.into())?;
    listener.listen(4096)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener.into())?;
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
            // How a connection ends is the business of its peer.
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["bytes", length]) => length.parse().map_or_else(|_| status(400), bytes),
        (&Method::POST, ["take"]) => take(request.into_body()).await,
        (&Method::GET, ["events", rate, count]) => match (rate.parse(), count.parse()) {
            (Ok(rate), Ok(count)) => events(rate, count),
            _ => status(400),
        },
        (&Method::GET, ["ws"]) => websocket(request),
        _ => status(404),
    }
}

fn status(status: u16) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn bytes(length: u64) -> Response<Body> {
    let body: Body = if length <= pattern::PIECE as u64 {
        Full::new(pattern::piece(0, length as usize)).boxed()
    } else {
        let starts = (0..length).step_by(pattern::PIECE);
        let frames = starts.map(move |start| {
            let piece = (length - start).min(pattern::PIECE as u64) as usize;
            Ok(Frame::data(pattern::piece(start, piece)))
        });
        BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
    };
    let response = Response::builder().header(header::CONTENT_LENGTH, length);
    response.body(body).unwrap_or_else(|_| status(500))
}

async fn take(mut body: Incoming) -> Response<Body> {
    let mut checker = Checker::default();
    while let Some(Ok(frame)) = body.frame().await {
        if frame.data_ref().is_some_and(|data| !checker.accepts(data)) {
            return status(400);
        }
    }
    Response::new(Full::from(checker.count().to_string()).boxed())
}

fn events(rate: u64, count: u64) -> Response<Body> {
    let start = tokio::time::Instant::now();
    let events = futures_util::stream::iter(0..count).then(move |index| async move {
        let after = Duration::from_nanos(index * 1_000_000_000 / rate);
        tokio::time::sleep_until(start + after).await;
        let event = format!("data: {:020}\n\n", now_ns());
        Ok(Frame::data(Bytes::from(event)))
    });
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header("x-accel-buffering", "no");
    response.body(BodyExt::boxed(StreamBody::new(events))).unwrap_or_else(|_| status(500))
}

/// Length of an event in bytes.
pub(crate) const EVENT_LEN: usize = 28;

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64)
}

fn websocket(request: Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else { return status(400) };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        let Ok(io) = hyper::upgrade::on(request).await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await;
        let (mut sink, source) = socket.split();
        let messages = source
            .try_filter(|message| std::future::ready(message.is_binary() || message.is_text()));
        let _ = sink.send_all(&mut messages.into_stream()).await;
    });
    Response::builder()
        .status(101)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(Full::default().boxed())
        .unwrap_or_else(|_| status(500))
}
