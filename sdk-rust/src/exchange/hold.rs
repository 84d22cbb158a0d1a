use futures_util::FutureExt;
use http_body::Body;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// A server need not answer an expectation, so nobody waits for that for ever (RFC 9110, Section
/// 10.1.1). Until then a client over HTTP/1.1 that leaves is not noticed, so it is well below the
/// second within which an app is to learn of it.
const PATIENCE: Duration = Duration::from_millis(500);
/// For the end of an answer to a request that was withdrawn.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the app says to `expect: 100-continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// It has answered without the body, and not with success.
    Refuse,
}

/// A request body that is held back until the app wants it, or says nothing for too long.
pub(super) struct Hold {
    verdict: oneshot::Receiver<Verdict>,
    /// Begins when the head goes to the network.
    patience: Option<Pin<Box<Sleep>>>,
    refused: bool,
}

impl Hold {
    pub(super) fn new() -> (Self, oneshot::Sender<Verdict>) {
        let (sender, verdict) = oneshot::channel();
        (Self { verdict, patience: None, refused: false }, sender)
    }

    /// Ready when the body is to be sent; never after a refusal.
    pub(super) fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.refused {
            return Poll::Pending;
        }
        match self.verdict.poll_unpin(cx) {
            Poll::Ready(Ok(Verdict::Send)) => return Poll::Ready(()),
            // Without a sender nobody waits for the response any more.
            Poll::Ready(Ok(Verdict::Refuse) | Err(_)) => {
                self.refused = true;
                return Poll::Pending;
            }
            Poll::Pending => {}
        }
        self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).poll_unpin(cx)
    }
}

/// The outer answer to a request that was withdrawn: dropped before its end, it would take the
/// withdrawal with it.
pub(super) struct Farewell {
    answer: Incoming,
    patience: Pin<Box<Sleep>>,
}

impl Farewell {
    pub(super) fn new(answer: Incoming) -> Self {
        Self { answer, patience: Box::pin(sleep(FAREWELL)) }
    }

    /// Ready when the answer has ended, or is late.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.patience.poll_unpin(cx).is_ready() {
            if !matches!(ready!(Pin::new(&mut self.answer).poll_frame(cx)), Some(Ok(_))) {
                break;
            }
        }
        Poll::Ready(())
    }
}
