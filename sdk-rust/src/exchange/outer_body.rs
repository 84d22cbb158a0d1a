use super::guard::StreamGuard;
use super::upload::Upload;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of an outer request.
pub(crate) enum OuterBody {
    /// All of it at once, with its length known to the network.
    Whole { bytes: Bytes, guard: Option<Arc<StreamGuard>> },
    /// Sealed while it is being sent.
    Upload(Box<Upload>),
}

/// The exchange was given up; the outer request is aborted.
#[derive(Debug, thiserror::Error)]
#[error("the exchange was given up")]
pub(crate) struct Aborted;

impl OuterBody {
    /// A body that belongs to no stream.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole { bytes, guard: None }
    }
}

impl Body for OuterBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut *self {
            Self::Whole { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Self::Whole { bytes, guard } => {
                if let Some(guard) = guard {
                    guard.sending();
                }
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Self::Upload(upload) => {
                upload.poll_chunk(cx).map(|item| item.map(|r| r.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { bytes, .. } => bytes.is_empty(),
            Self::Upload(upload) => upload.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Self::Upload(_) => SizeHint::default(),
        }
    }
}
