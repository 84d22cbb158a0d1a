use crate::error::{Error, Stage};
use crate::transport::TunnelReader;
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What a response comes in.
pub(crate) enum Source {
    /// The body of an outer answer.
    Answer(Incoming),
    Tunnel(TunnelReader),
}

impl Source {
    /// The next bytes; none when there are no more, for whatever reason.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Answer(answer) => {
                let frame = ready!(Pin::new(answer).poll_frame(cx));
                // An outer transport error is a truncation as well (SPEC.md, Section 9.3).
                Poll::Ready(frame.and_then(Result::ok).map(|f| f.into_data().unwrap_or_default()))
            }
            Self::Tunnel(tunnel) => tunnel.poll_chunk(cx),
        }
    }

    /// What the proxy said outside the channel when it ended the stream.
    pub(super) fn refusal(&self) -> Option<Error> {
        let Self::Tunnel(tunnel) = self else { return None };
        let (status, code) = tunnel.refusal()?;
        Some(Error::Outer { stage: Stage::Request, status, code })
    }
}
