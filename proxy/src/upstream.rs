//! The connections to the app.

use crate::body::AppBody;
use crate::limits::{
    CONNECTION_BUFFER, HTTP2_CONNECTION_WINDOW, HTTP2_HEADER_LIST, HTTP2_STREAM_WINDOW, Limits,
    MAX_FIELDS,
};
use crate::reachable::AppConnector;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Builder, Client, Error as ClientError, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What the app speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Where the app is, as the configuration says it.
#[derive(Clone, Debug)]
pub(crate) struct AppAddress {
    pub(crate) protocol: AppProtocol,
    pub(crate) authority: Authority,
}

impl fmt::Display for AppAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            AppProtocol::Http1 => "http",
            AppProtocol::Http2 => "h2c",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// Sends requests to the app.
///
/// HTTP/1.1: hyper closes a connection after any error and after any message that was not read or
/// written to its end; only whole exchanges are followed by another (row 23). A request is sent a
/// second time only if no byte of it was written. Once an app has answered in HTTP/1.0, hyper speaks
/// HTTP/1.0 on that connection, where a chunked body would be sent as an empty one that looks
/// complete (row 6). So requests whose length is not declared go over a connection of their own: on a
/// fresh one hyper always speaks HTTP/1.1. So do requests to change the protocol.
///
/// HTTP/2: all requests to one authority share a connection. Its streams are independent.
pub(crate) struct Upstream {
    clients: Clients,
    address: AppAddress,
}

enum Clients {
    Http1 { pooled: Client<AppConnector, AppBody>, fresh: Box<Client<AppConnector, AppBody>> },
    Http2(Client<AppConnector, AppBody>),
}

impl Upstream {
    pub(crate) fn new(address: AppAddress, connector: &AppConnector, limits: &Limits) -> Self {
        let clients = match address.protocol {
            AppProtocol::Http1 => Clients::Http1 {
                pooled: http1(limits, limits.app_max_idle).build(connector.clone()),
                fresh: Box::new(http1(limits, 0).build(connector.clone())),
            },
            AppProtocol::Http2 => Clients::Http2(http2(limits).build(connector.clone())),
        };
        Self { clients, address }
    }

    /// What the app speaks.
    pub(crate) fn protocol(&self) -> AppProtocol {
        self.address.protocol
    }

    /// The URI to give hyper for a request to `path` of `authority`, which in HTTP/1.1 is the `host`
    /// field's.
    pub(crate) fn uri(&self, authority: Authority, path: PathAndQuery) -> Result<Uri, http::Error> {
        match self.address.protocol {
            AppProtocol::Http1 => uri(self.address.authority.clone(), path),
            AppProtocol::Http2 => uri(authority, path),
        }
    }

    /// Starts an exchange. Dropping the future cancels it.
    pub(crate) fn send(&self, mut request: http::Request<AppBody>) -> Exchange {
        let connection = capture_connection(&mut request);
        let response = match &self.clients {
            Clients::Http1 { fresh, .. } if needs_own_connection(request.headers()) => {
                fresh.request(request)
            }
            Clients::Http1 { pooled, .. } => pooled.request(request),
            Clients::Http2(client) => client.request(request),
        };
        Exchange { response, connection }
    }
}

/// An exchange whose response head is to come.
pub(crate) struct Exchange {
    response: ResponseFuture,
    connection: CaptureConnection,
}

/// Why there is no response head.
pub(crate) enum SendError {
    Client(ClientError),
    /// The response does not say clearly where it ends, or has a transfer coding that hyper does not
    /// undo.
    Framing,
}

impl Future for Exchange {
    type Output = Result<Response<Incoming>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.response).poll(cx)).map_err(SendError::Client)?;
        if is_framed(response.headers()) {
            return Poll::Ready(Ok(response));
        }
        if let Some(connection) = &*self.connection.connection_metadata() {
            connection.poison();
        }
        Poll::Ready(Err(SendError::Framing))
    }
}

/// True if the fields leave no doubt about the length of the message (RFC 9112, Section 6.3).
fn is_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    codings.next().is_none()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && !headers.contains_key(CONTENT_LENGTH)
}

fn needs_own_connection(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(UPGRADE)
}

pub(crate) fn uri(authority: Authority, path: PathAndQuery) -> Result<Uri, http::Error> {
    Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build()
}

fn http1(limits: &Limits, max_idle: usize) -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.app_idle_timeout)
        .pool_max_idle_per_host(max_idle)
        .http1_max_headers(MAX_FIELDS)
        .http1_max_buf_size(CONNECTION_BUFFER)
        .retry_canceled_requests(true)
        .set_host(false);
    builder
}

fn http2(limits: &Limits) -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.app_idle_timeout)
        .http2_only(true)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .http2_max_header_list_size(HTTP2_HEADER_LIST)
        .retry_canceled_requests(true);
    builder
}
