use super::SessionParameters;
use super::memory::Recorded;
use super::messages::EarlyAnswer;
use super::server::{ServerHandshake, Unrecognized};
use crate::frame::FrameOpener;
use crate::session::{FirstFrame, ServerSession, ServerStream};
use crate::stream::{MessageOpener, Request};
use bytes::Bytes;
use rand_core::CryptoRng;
use std::sync::Arc;

/// An early request whose first frame is awaited.
pub struct PendingEarly {
    handshake: ServerHandshake,
    request: MessageOpener<Request>,
}

/// Progress of a [`PendingEarly`].
pub enum EarlyProgress {
    /// More bytes are needed.
    NeedMore(Box<PendingEarly>),
    /// The first frame is authentic.
    Open(Box<EarlyRequest>),
}

/// An early request whose first frame is authentic. Others may be copies of it.
pub struct EarlyRequest {
    handshake: ServerHandshake,
    request: MessageOpener<Request>,
    first: FirstFrame,
}

/// The answer to an early request.
pub struct EarlyReply {
    /// The new session.
    pub session: Arc<ServerSession>,
    /// The ServerHello.
    pub server_hello: Vec<u8>,
    /// Stream 0, to be dispatched; none if the request is rejected.
    pub stream: Option<Box<ServerStream>>,
}

impl PendingEarly {
    pub(super) fn new(handshake: ServerHandshake) -> Self {
        let traffic = handshake.early_traffic_key();
        // The key's own, because nothing else is ever sealed under it.
        let frames = FrameOpener::new(handshake.suite(), &traffic, 0, Arc::default());
        Self { handshake, request: MessageOpener::new(frames) }
    }

    /// Adds received bytes and tries to open the first frame. An error says nothing about its cause.
    pub fn accept(mut self: Box<Self>, chunk: Bytes) -> Result<EarlyProgress, Unrecognized> {
        Ok(match FirstFrame::open(&mut self.request, chunk)? {
            None => EarlyProgress::NeedMore(self),
            Some(first) => {
                let Self { handshake, request } = *self;
                EarlyProgress::Open(Box::new(EarlyRequest { handshake, request, first }))
            }
        })
    }
}

impl EarlyRequest {
    /// Makes the session and the ServerHello, and accepts the request if no copy of it was answered
    /// before and the memory of the enclave's keys has room for it. Otherwise no copy is ever
    /// accepted.
    ///
    /// An error, which says nothing about its cause, for a copy: the app may have got the request,
    /// so that to reject it would be a lie.
    pub fn answer(
        self,
        parameters: SessionParameters,
        rng: &mut impl CryptoRng,
    ) -> Result<EarlyReply, Unrecognized> {
        let Self { handshake, request, first } = self;
        let mut accepted = false;
        let (session, server_hello) = handshake.conclude(parameters, rng, |memory, enc| {
            accepted = memory.record(enc)? == Recorded::New;
            Ok(if accepted { EarlyAnswer::Accepted } else { EarlyAnswer::Rejected })
        })?;
        let session = Arc::new(session);
        let stream = accepted.then(|| session.accept(0, request, first));
        Ok(EarlyReply { session, server_hello, stream })
    }
}
