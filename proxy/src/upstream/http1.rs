//! Apps that speak HTTP/1.1.

use super::connector::KillSwitch;
use super::{AppConnector, Exchange, OnInterim, ResponseBody, SendError};
use crate::body::{AppBody, BrokenOff};
use crate::limits::{APP_BUFFER, Limits, MAX_FIELDS};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{Extensions, HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use hyper::ext::on_informational;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

/// hyper closes a connection after any error and after any message that was not read or written to
/// its end; only whole exchanges are followed by another (row 23). A request is sent a second time
/// only if no byte of it was written.
///
/// Once an app has answered in HTTP/1.0, hyper speaks HTTP/1.0 on that connection, where a chunked
/// body would be sent as an empty one that looks complete (row 6). So requests whose length is not
/// declared go over a connection of their own: on a fresh one hyper always speaks HTTP/1.1. So do
/// requests to change the protocol.
pub(super) struct Http1 {
    pooled: Client<AppConnector, Delivery>,
    fresh: Client<AppConnector, Delivery>,
}

impl Http1 {
    pub(super) fn new(connector: &AppConnector, limits: &Limits) -> Self {
        let client = |max_idle| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(limits.app_idle_timeout)
                .pool_max_idle_per_host(max_idle)
                .http1_max_headers(MAX_FIELDS)
                .http1_max_buf_size(APP_BUFFER)
                .retry_canceled_requests(true)
                .set_host(false)
                .build(connector.clone())
        };
        Self { pooled: client(limits.app_max_idle), fresh: client(0) }
    }

    pub(super) fn send(&self, request: Request<AppBody>, on_interim: impl OnInterim) -> Exchange {
        let delivered = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let mut request = request.map(|body| Delivery {
            is_done: body.is_end_stream(),
            body,
            delivered: delivered.clone(),
        });
        on_informational(&mut request, move |response| {
            on_interim(response.status(), response.headers());
        });
        let is_own = needs_own_connection(request.headers());
        let connection = capture_connection(&mut request);
        let mut cancel = Cancel { connection, is_own, delivered, is_armed: true };
        let client = if is_own { &self.fresh } else { &self.pooled };
        let response = client.request(request);
        Box::pin(async move {
            let response = response.await.map_err(|error| {
                cancel.is_armed = false;
                classify(&error)
            })?;
            let is_framed = is_framed(response.headers());
            // An app that answers early may never read what is left of the request.
            if !is_framed || !cancel.delivered.load(Relaxed) {
                cancel.poison();
            }
            if !is_framed {
                return Err(SendError::Malformed);
            }
            Ok(response.map(|body| ResponseBody::Http1 { body, cancel }))
        })
    }
}

fn needs_own_connection(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(UPGRADE)
}

/// True if the fields leave no doubt about the length of the message (RFC 9112, Section 6.3), and
/// name no coding that hyper does not undo.
fn is_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    codings.next().is_none()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && !headers.contains_key(CONTENT_LENGTH)
}

fn classify(error: &ClientError) -> SendError {
    let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    match cause {
        _ if error.is_connect() => SendError::Unreachable,
        Some(cause) if cause.is_parse() => SendError::Malformed,
        _ => SendError::Failed,
    }
}

/// A request body that notes when hyper is done with it: has taken all of it, or knows from the
/// declared length that nothing more is to come.
struct Delivery {
    body: AppBody,
    is_done: bool,
    delivered: Arc<AtomicBool>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.delivered.store(true, Relaxed);
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_last = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        let was_done = std::mem::replace(&mut self.is_done, is_last);
        if is_last && !was_done && self.delivered.swap(true, Relaxed) {
            // It was cancelled in the meantime: its end must not make room for the next exchange,
            // which would be broken off.
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Breaks the connection off, unless the exchange was whole. hyper alone would not while the app reads
/// nothing: it looks at neither end of an exchange before it has written what it took.
///
/// A connection that others can use is left alone once hyper has taken all of the request: it may
/// carry the next exchange already.
pub(crate) struct Cancel {
    connection: CaptureConnection,
    is_own: bool,
    delivered: Arc<AtomicBool>,
    /// The response, or the connection, is not over.
    is_armed: bool,
}

impl Cancel {
    /// Notes the end of the response.
    pub(super) fn response_ended(&mut self) {
        self.is_armed = false;
    }

    fn poison(&self) {
        if let Some(connection) = &*self.connection.connection_metadata() {
            connection.poison();
        }
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        let is_stuck = !self.delivered.swap(true, Relaxed);
        let breaks_off = self.is_own && self.is_armed;
        if !is_stuck && !breaks_off {
            return;
        }
        let mut extras = Extensions::new();
        if let Some(connection) = &*self.connection.connection_metadata() {
            connection.get_extras(&mut extras);
        }
        if let Some(switch) = extras.get::<KillSwitch>() {
            switch.kill();
        }
    }
}
