use super::guard::StreamGuard;
use super::upload::Upload;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

/// The body of an outer request.
pub(crate) enum OuterBody {
    /// All of it at once, with its length known to the network.
    Whole { bytes: Bytes, notice: Notice },
    /// Sealed while it is being sent.
    Upload(Box<Upload>),
}

/// Who is to know when bytes are being handed to the network.
pub(crate) enum Notice {
    Nobody,
    Stream(Arc<StreamGuard>),
    Early(Arc<AtomicBool>),
}

/// The exchange was given up; the outer request is aborted.
#[derive(Debug, thiserror::Error)]
#[error("the exchange was given up")]
pub(crate) struct Aborted;

impl OuterBody {
    /// A body that belongs to no stream.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole { bytes, notice: Notice::Nobody }
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
            Self::Whole { bytes, notice } => {
                match notice {
                    Notice::Nobody => {}
                    Notice::Stream(guard) => guard.sending(),
                    Notice::Early(sent) => sent.store(true, Relaxed),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that is lost before hyper asks for the body has carried none of it.
    #[test]
    fn an_early_request_counts_as_sent_when_the_network_takes_it() {
        let sent = Arc::new(AtomicBool::new(false));
        let notice = Notice::Early(sent.clone());
        let mut body = OuterBody::Whole { bytes: Bytes::from_static(b"hello"), notice };
        assert!(!body.is_end_stream() && !sent.load(Relaxed));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
        assert!(sent.load(Relaxed));
    }
}
