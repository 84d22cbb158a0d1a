//! Where the frames of a request come from: an outer request body, or a tunnel.

use super::tunnel::TunnelReader;
use crate::body::BrokenOff;
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The incoming half of a stream, in chunks of any size.
pub(crate) enum Source {
    Body(Incoming),
    Tunnel(TunnelReader),
    /// Nobody wants any more.
    Closed,
}

impl Source {
    /// The next bytes, at least one; none at the end.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let body = match self {
            Self::Body(body) => body,
            Self::Tunnel(reader) => return reader.poll_chunk(cx),
            Self::Closed => return Poll::Ready(None),
        };
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(BrokenOff))),
                Some(Ok(frame)) => frame,
            };
            // HTTP/2 may bring the end in an empty DATA frame; trailers of the outer request are
            // nobody's.
            if let Ok(chunk) = frame.into_data()
                && !chunk.is_empty()
            {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }

    /// The next bytes; none at the end, also if it breaks off.
    pub(crate) async fn next_chunk(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_chunk(cx)).await?.ok()
    }
}

impl From<Incoming> for Source {
    fn from(body: Incoming) -> Self {
        Self::Body(body)
    }
}
