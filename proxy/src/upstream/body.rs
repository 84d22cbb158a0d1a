use super::http1::Cancel;
use super::http2::Streaming;
use crate::body::BrokenOff;
use crate::idempotent::RecordedBody;
use bytes::Bytes;
use h2::RecvStream;
use http::response::Parts;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of the app's response. Dropping it cancels what is left of the exchange, except that of a
/// request with an idempotency key.
pub(crate) enum ResponseBody {
    Http1 { body: Incoming, cancel: Cancel },
    Http2 { body: RecvStream, has_data_ended: bool, streaming: Streaming },
    Recorded(RecordedBody),
}

impl ResponseBody {
    /// The connection after a response with status 101. None in HTTP/2.
    pub(crate) fn into_upgrade(self, parts: Parts) -> Option<OnUpgrade> {
        let Self::Http1 { body, mut cancel } = self else { return None };
        cancel.response_ended();
        Some(hyper::upgrade::on(Response::from_parts(parts, body)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Http1 { body, cancel } => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                if frame.is_none() || body.is_end_stream() {
                    cancel.response_ended();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|_| BrokenOff)))
            }
            Self::Http2 { body, has_data_ended, streaming } => {
                if !*has_data_ended {
                    if let Some(data) = ready!(poll_data(body, cx)) {
                        if body.is_end_stream() {
                            streaming.response_ended();
                        }
                        return Poll::Ready(Some(data.map(Frame::data)));
                    }
                    *has_data_ended = true;
                }
                let trailers = ready!(poll_trailers(body, cx));
                if !matches!(trailers, Some(Err(_))) {
                    streaming.response_ended();
                }
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
            }
            Self::Recorded(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1 { body, .. } => body.is_end_stream(),
            Self::Http2 { body, .. } => body.is_end_stream(),
            Self::Recorded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1 { body, .. } => body.size_hint(),
            Self::Http2 { .. } | Self::Recorded(_) => SizeHint::default(),
        }
    }
}

/// Bytes count as read when they are handed on: what nobody asks for holds the app back.
fn poll_data(
    body: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BrokenOff>>> {
    let data = ready!(body.poll_data(cx));
    Poll::Ready(data.map(|data| {
        let data = data.map_err(|_| BrokenOff)?;
        body.flow_control().release_capacity(data.len()).map_err(|_| BrokenOff)?;
        Ok(data)
    }))
}

fn poll_trailers(
    body: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<HeaderMap, BrokenOff>>> {
    body.poll_trailers(cx).map(|trailers| trailers.map_err(|_| BrokenOff).transpose())
}
