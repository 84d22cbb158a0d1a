//! The bodies that hyper carries for us.

use crate::idempotent::WholeBody;
use crate::limits::{COALESCE, StreamBudget};
use crate::stream::{Inbound, Outbound};
use crate::upstream::ResponseBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A body that breaks off. hyper closes the connection (or resets the HTTP/2 stream) then, so that
/// the peer does not take the message for complete.
#[derive(Debug, thiserror::Error)]
#[error("the message breaks off")]
pub(crate) struct BrokenOff;

/// Body of an outer response.
pub(crate) enum OuterBody {
    /// Bytes that are all there.
    Whole(Bytes),
    /// Evidence: what is one client's own, then what all share.
    Evidence { own: Bytes, shared: Bytes },
    /// Sealed frames.
    Stream(Box<Outbound>),
    /// A plaintext response of the app, passed on.
    Plain { body: ResponseBody, budget: StreamBudget },
}

impl OuterBody {
    /// Its share of the budget, which its bytes need for as long as they are not written.
    pub(crate) fn budget(&self) -> Option<StreamBudget> {
        match self {
            Self::Stream(outbound) => outbound.budget(),
            Self::Plain { budget, .. } => Some(budget.clone()),
            Self::Whole(_) | Self::Evidence { .. } => None,
        }
    }
}

impl Body for OuterBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(piece(bytes))))),
            Self::Evidence { own, shared } => {
                let next = if own.is_empty() { shared } else { own };
                let next = std::mem::take(next);
                Poll::Ready((!next.is_empty()).then_some(Ok(Frame::data(next))))
            }
            Self::Stream(outbound) => outbound.poll_frame(cx),
            Self::Plain { body, .. } => poll_data(body, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Evidence { own, shared } => own.is_empty() && shared.is_empty(),
            Self::Stream(_) => false,
            Self::Plain { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Evidence { own, shared } => {
                SizeHint::with_exact((own.len() + shared.len()) as u64)
            }
            Self::Stream(_) => SizeHint::default(),
            Self::Plain { body, .. } => body.size_hint(),
        }
    }
}

/// The next piece: not all at once, so that it shows when a slow peer takes some of it.
fn piece(bytes: &mut Bytes) -> Bytes {
    bytes.split_to(bytes.len().min(COALESCE))
}

/// The bytes of a plaintext body. Its trailers end here: they might hold fields that must not pass.
fn poll_data<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
    loop {
        return Poll::Ready(match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_trailers() => continue,
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(_)) => Some(Err(BrokenOff)),
            None => None,
        });
    }
}

/// Body of a request to the app.
pub(crate) enum AppBody {
    /// None.
    Empty,
    /// What the client's frames hold.
    Stream(Arc<Inbound>),
    /// What they held, after all of them have authenticated.
    Whole(Box<WholeBody>),
    /// What an envelope of E2P v2 held.
    #[cfg(feature = "e2p-v2")]
    Opened(Bytes),
    /// A plaintext request, passed on.
    Plain(Incoming),
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(inbound) => inbound.poll_for_app(cx),
            Self::Whole(body) => Poll::Ready(body.next_frame().map(Ok)),
            #[cfg(feature = "e2p-v2")]
            Self::Opened(bytes) => {
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(piece(bytes)))))
            }
            Self::Plain(body) => poll_data(body, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(inbound) => inbound.is_delivered(),
            Self::Whole(body) => body.is_end_stream(),
            #[cfg(feature = "e2p-v2")]
            Self::Opened(bytes) => bytes.is_empty(),
            Self::Plain(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(body) => body.size_hint(),
            #[cfg(feature = "e2p-v2")]
            Self::Opened(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
            Self::Plain(body) => body.size_hint(),
        }
    }
}
