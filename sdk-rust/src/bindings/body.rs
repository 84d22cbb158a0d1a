//! Request bodies that the caller's language gives piece by piece.

use crate::request_body;
use bytes::Bytes;
use futures_util::future::{self, BoxFuture, Either, Fuse};
use futures_util::{FutureExt, StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Gives a request body while it is being sent.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait BodySource: Send + Sync {
    /// The next piece, or none at the end. It is asked for when there is room for it, and only while
    /// the response is being awaited or read.
    async fn next(&self) -> Result<Option<Vec<u8>>, BodySourceError>;
}

/// What a [`BodySource`] throws, or what becomes of anything else that it throws.
#[derive(Clone, Debug, thiserror::Error, uniffi::Error)]
pub enum BodySourceError {
    /// There is no next piece. The request is reset.
    #[error("its source failed")]
    Failed,
    /// Nobody asks for the response any more.
    #[error("it was given up before its end")]
    GivenUp,
}

/// The reason is not kept: it may hold a part of the body.
impl From<uniffi::UnexpectedUniFFICallbackError> for BodySourceError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed
    }
}

/// Moves a body from its source to the network. Whoever waits for the response drives it, so a source
/// is called where the caller's own asynchronous code runs and not on a thread of Tokio.
pub(super) struct Pump(Fuse<BoxFuture<'static, ()>>);

/// A piece, or none at the end: a channel that is only closed is no end.
type Piece = Result<Option<Bytes>, BodySourceError>;

impl Pump {
    /// For a request whose body needs none.
    pub(super) fn idle() -> Self {
        Self(Fuse::terminated())
    }

    /// A body of what `source` gives, as long as the pump is driven.
    pub(super) fn new(source: Arc<dyn BodySource>) -> (request_body::RequestBody, Self) {
        let (pieces, taken) = mpsc::channel(1);
        let body = stream::unfold(Some(taken), |taken| async {
            let mut taken: mpsc::Receiver<Piece> = taken?;
            match taken.recv().await.unwrap_or(Err(BodySourceError::GivenUp)) {
                Ok(Some(bytes)) => Some((Ok(Frame::data(bytes)), Some(taken))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let body = request_body::RequestBody::new(StreamBody::new(body.boxed()));
        (body, Self(pump(source, pieces).boxed().fuse()))
    }

    /// Drives it until `work` is done.
    pub(super) async fn while_waiting<T>(&mut self, work: impl Future<Output = T>) -> T {
        match future::select(pin!(work), &mut self.0).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        }
    }
}

async fn pump(source: Arc<dyn BodySource>, pieces: mpsc::Sender<Piece>) {
    while let Ok(room) = pieces.reserve().await {
        let unwanted = pin!(pieces.closed());
        let Either::Left((piece, _)) = future::select(source.next(), unwanted).await else {
            return;
        };
        let is_last = !matches!(piece, Ok(Some(_)));
        room.send(piece.map(|piece| piece.map(Bytes::from)));
        if is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Mutex;

    struct Script(Mutex<Vec<Result<Option<Vec<u8>>, BodySourceError>>>);

    impl Script {
        fn new(mut pieces: Vec<Result<Option<Vec<u8>>, BodySourceError>>) -> Arc<Self> {
            pieces.reverse();
            Arc::new(Self(Mutex::new(pieces)))
        }
    }

    #[async_trait::async_trait]
    impl BodySource for Script {
        async fn next(&self) -> Result<Option<Vec<u8>>, BodySourceError> {
            self.0.lock().unwrap().pop().unwrap()
        }
    }

    #[tokio::test]
    async fn a_source_is_a_body() {
        let pieces = vec![Ok(Some(b"one ".to_vec())), Ok(Some(b"two".to_vec())), Ok(None)];
        let (body, mut pump) = Pump::new(Script::new(pieces));
        let whole = pump.while_waiting(body.collect()).await.unwrap().to_bytes();
        assert_eq!(whole, "one two");
    }

    #[tokio::test]
    async fn a_source_that_fails_does_not_end_the_body() {
        let pieces = vec![Ok(Some(b"one".to_vec())), Err(BodySourceError::Failed)];
        let (body, mut pump) = Pump::new(Script::new(pieces));
        let error = pump.while_waiting(body.collect()).await.unwrap_err();
        assert_eq!(error.to_string(), "its source failed");
    }

    #[tokio::test]
    async fn a_pump_that_is_dropped_does_not_end_the_body() {
        let (body, pump) = Pump::new(Script::new(Vec::new()));
        drop(pump);
        let error = body.collect().await.unwrap_err();
        assert_eq!(error.to_string(), "it was given up before its end");
    }
}
