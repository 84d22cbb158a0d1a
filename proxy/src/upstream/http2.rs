//! Apps that speak HTTP/2 with prior knowledge.
//!
//! Built on the `h2` crate itself: hyper's client cannot cancel a stream whose request waits for the
//! app's window, takes RST_STREAM(NO_ERROR) for the end of a response, and opens a connection for
//! every authority that clients name.

use super::{AppConnector, AppResponse, Exchange, OnInterim, ResponseBody, SendError};
use crate::body::AppBody;
use crate::limits::{
    APP_CONNECTION_STREAMS, APP_CONNECTIONS, HTTP2_APP_WINDOW, HTTP2_HEADER_LIST,
    HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW, Limits,
};
use bytes::Bytes;
use futures_util::TryFutureExt;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::select;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Streams reset on a connection before it gets no new ones.
const MAX_CANCELLED: usize = 64;
/// Connections tried for one request: the app may close them before it is sent.
const MAX_ATTEMPTS: usize = 3;

/// Connections that all requests share. When the streams of all are taken there is another one, up to
/// a limit, so that no client keeps the others from the app (row 23).
#[derive(Clone)]
pub(super) struct Http2(Arc<Pool>);

struct Pool {
    connector: AppConnector,
    /// Longest wait for the app's SETTINGS.
    settings_timeout: Duration,
    connections: Mutex<Vec<Arc<Connection>>>,
    /// One connection is made at a time. The number of attempts that failed.
    connecting: tokio::sync::Mutex<()>,
    failures: AtomicUsize,
    /// A stream, or a connection, is over.
    freed: Notify,
}

struct Connection {
    sender: SendRequest<Bytes>,
    streams: AtomicUsize,
    /// Streams that ended before their response.
    cancelled: AtomicUsize,
    is_closed: Arc<AtomicBool>,
}

impl Connection {
    fn has_room(&self) -> bool {
        let limit = self.sender.current_max_send_streams().min(APP_CONNECTION_STREAMS);
        self.streams.load(Relaxed) < limit
    }

    /// Apps close connections on which many streams are reset. Before that happens to all that share
    /// it, new streams go elsewhere.
    fn is_usable(&self) -> bool {
        !self.is_closed.load(Relaxed) && self.cancelled.load(Relaxed) < MAX_CANCELLED
    }
}

impl Http2 {
    pub(super) fn new(connector: &AppConnector, limits: &Limits) -> Self {
        Self(Arc::new(Pool {
            connector: connector.clone(),
            settings_timeout: limits.app_connect_timeout,
            connections: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            failures: AtomicUsize::new(0),
            freed: Notify::new(),
        }))
    }

    pub(super) fn send(&self, request: Request<AppBody>, on_interim: impl OnInterim) -> Exchange {
        Box::pin(exchange(self.0.clone(), request, on_interim))
    }
}

async fn exchange(
    pool: Arc<Pool>,
    request: Request<AppBody>,
    on_interim: impl OnInterim,
) -> Result<AppResponse, SendError> {
    let (head, body) = request.into_parts();
    let (mut sender, lease) = pool.lease().await?;
    let is_complete = body.is_end_stream();
    let head = Request::from_parts(head, ());
    let sent = sender.send_request(head, is_complete).map_err(|_| SendError::Failed)?;
    let (response, stream) = sent;
    let upload = (!is_complete).then(|| Upload(tokio::spawn(upload(body, stream))));
    let mut streaming = Streaming { lease, _upload: upload };
    let response = head_of(response, on_interim).await?;
    streaming.lease.is_whole = response.body().is_end_stream();
    Ok(response.map(|body| ResponseBody::Http2 { body, has_data_ended: false, streaming }))
}

/// The response head; interim ones before it go to `on_interim`.
async fn head_of(
    mut response: ResponseFuture,
    on_interim: impl OnInterim,
) -> Result<Response<h2::RecvStream>, SendError> {
    poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            on_interim(interim.status(), interim.headers());
        }
        Pin::new(&mut response).poll(cx)
    })
    .map_err(|_| SendError::Failed)
    .await
}

impl Pool {
    /// The right to a stream on a connection.
    async fn lease(self: &Arc<Self>) -> Result<(SendRequest<Bytes>, Lease), SendError> {
        for _ in 0..MAX_ATTEMPTS {
            let lease = self.place().await?;
            // Nothing was sent: another connection will do.
            if let Ok(sender) = lease.connection.sender.clone().ready().await {
                return Ok((sender, lease));
            }
            lease.connection.is_closed.store(true, Relaxed);
        }
        Err(SendError::Unreachable)
    }

    /// A place on a connection, which is made if need be.
    async fn place(self: &Arc<Self>) -> Result<Lease, SendError> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look at the pool: what is freed after it wakes this up.
            freed.as_mut().enable();
            if let Some(lease) = self.take() {
                return Ok(lease);
            }
            if self.lock().len() >= APP_CONNECTIONS {
                freed.await;
                continue;
            }
            let failures = self.failures.load(Relaxed);
            let _connecting = self.connecting.lock().await;
            if self.failures.load(Relaxed) != failures {
                // Who waited does not begin another wait of its own.
                return Err(SendError::Unreachable);
            }
            if self.may_connect() {
                self.connect().await.inspect_err(|_| {
                    self.failures.fetch_add(1, Relaxed);
                })?;
            }
        }
    }

    /// Others may have connected, or left, in the meantime.
    fn may_connect(&self) -> bool {
        let connections = self.lock();
        connections.len() < APP_CONNECTIONS
            && !connections.iter().any(|connection| connection.has_room())
    }

    fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut connections = self.lock();
        connections.retain(|connection| connection.is_usable());
        let connection = connections.iter().find(|connection| connection.has_room())?;
        connection.streams.fetch_add(1, Relaxed);
        Some(Lease { pool: self.clone(), connection: connection.clone(), is_whole: false })
    }

    async fn connect(self: &Arc<Self>) -> Result<(), SendError> {
        let io = self.connector.connect().await.ok_or(SendError::Unreachable)?;
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_APP_WINDOW)
            .max_header_list_size(HTTP2_HEADER_LIST)
            .max_send_buffer_size(HTTP2_SEND_BUFFER)
            .initial_max_send_streams(0)
            // What comes of streams that clients have cancelled counts too: they could have the
            // connection closed that all share (row 23).
            .max_local_error_reset_streams(None)
            .handshake(io);
        let (sender, mut driver) = handshake.await.map_err(|_| SendError::Unreachable)?;
        // The app refuses streams beyond the number that its SETTINGS allow.
        let settings = poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
            Poll::Ready(_) => Poll::Ready(Err(SendError::Unreachable)),
            Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        });
        timeout(self.settings_timeout, settings).await.map_err(|_| SendError::Unreachable)??;
        let is_closed = Arc::new(AtomicBool::new(false));
        let (streams, cancelled) = Default::default();
        let connection = Connection { sender, streams, cancelled, is_closed: is_closed.clone() };
        self.lock().push(Arc::new(connection));
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            // Its streams report how it ended.
            let _ = driver.await;
            is_closed.store(true, Relaxed);
            if let Some(pool) = pool.upgrade() {
                pool.freed.notify_waiters();
            }
        });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place on its connection.
struct Lease {
    pool: Arc<Pool>,
    connection: Arc<Connection>,
    /// The response has ended.
    is_whole: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.cancelled.fetch_add(1, Relaxed);
        }
        if self.connection.streams.fetch_sub(1, Relaxed) == 1 {
            // One connection stays open; those that a rush needed do not.
            let mut connections = self.pool.lock();
            if connections.len() > 1 {
                connections.retain(|other| !Arc::ptr_eq(other, &self.connection));
            }
        }
        self.pool.freed.notify_one();
    }
}

/// What a response keeps of its exchange. Dropping it gives up what is left of the request; the
/// stream is reset when its last handle is gone.
pub(crate) struct Streaming {
    _upload: Option<Upload>,
    lease: Lease,
}

impl Streaming {
    /// Notes the end of the response.
    pub(super) fn response_ended(&mut self) {
        self.lease.is_whole = true;
    }
}

struct Upload(JoinHandle<()>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the request's body as the app's window allows.
async fn upload(mut body: AppBody, mut stream: SendStream<Bytes>) {
    loop {
        let frame = select! {
            frame = body.frame() => frame,
            // The app wants no more of it.
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return,
        };
        let sent = match frame {
            None => stream.send_data(Bytes::new(), true),
            Some(Err(_)) => return stream.send_reset(Reason::CANCEL),
            Some(Ok(frame)) => match frame.into_data() {
                // HTTP/2 may bring the end in an empty DATA frame.
                Ok(data) if data.is_empty() => continue,
                Ok(data) => {
                    let is_last = body.is_end_stream();
                    match send(&mut stream, data, is_last).await {
                        Ok(()) if !is_last => continue,
                        sent => sent,
                    }
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => stream.send_trailers(trailers),
                    Err(_) => continue,
                },
            },
        };
        // An error says that the stream is closed, which its response reports.
        return drop(sent);
    }
}

async fn send(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let granted = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let granted = granted.unwrap_or(Err(Reason::STREAM_CLOSED.into()))?;
        let piece = data.split_to(granted.min(data.len()));
        stream.send_data(piece, is_last && data.is_empty())?;
    }
    Ok(())
}
