//! The connection pool to the app.

use crate::body::AppBody;
use crate::limits::{CONNECTION_BUFFER, Limits, MAX_FIELDS};
use crate::reachable::AppConnector;
use http::Uri;
use http::header::TRANSFER_ENCODING;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Sends requests to the app over HTTP/1.1. hyper closes a connection after any error and after any
/// message that was not read or written to its end; only whole exchanges are followed by another
/// (row 23). A request is sent a second time only if no byte of it was written.
///
/// Once an app has answered in HTTP/1.0, hyper speaks HTTP/1.0 on that connection, where a chunked
/// body would be sent as an empty one that looks complete (row 6). So requests whose length is not
/// declared go over a connection of their own: on a fresh one hyper always speaks HTTP/1.1.
pub(crate) struct Upstream {
    pooled: Client<AppConnector, AppBody>,
    fresh: Client<AppConnector, AppBody>,
    authority: Authority,
}

impl Upstream {
    pub(crate) fn new(authority: Authority, connector: &AppConnector, limits: &Limits) -> Self {
        let client = |max_idle| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(limits.app_idle_timeout)
                .pool_max_idle_per_host(max_idle)
                .http1_max_headers(MAX_FIELDS)
                .http1_max_buf_size(CONNECTION_BUFFER)
                .retry_canceled_requests(true)
                .set_host(false)
                .build(connector.clone())
        };
        Self { pooled: client(limits.app_max_idle), fresh: client(0), authority }
    }

    /// Where `path` is, for the pool. On the wire it is in origin form.
    pub(crate) fn uri(&self, path: PathAndQuery) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }

    /// Starts an exchange. Dropping the future cancels it.
    pub(crate) fn send(&self, request: http::Request<AppBody>) -> ResponseFuture {
        let chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let client = if chunked { &self.fresh } else { &self.pooled };
        client.request(request)
    }
}
