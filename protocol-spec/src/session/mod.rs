//! Sessions and their streams (SPEC.md, Section 9).

use crate::codec::{DecodeError, Reader};
use crate::frame::{Frame, FrameError, FrameOpener, FrameSealer, FrameType};
use crate::handshake::{KIND_STREAM_OPEN, SessionParameters, Unrecognized};
use crate::head::{HeadError, RequestHead};
use crate::schedule::SessionSecrets;
use crate::stream::{Event, MessageOpener, MessageSealer, Request, Response, StreamError};
use crate::suite::Suite;
use crate::usage::Usage;
use crate::window::ReplayWindow;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Names a session; random, chosen by the proxy.
pub type SessionId = [u8; 16];

/// Largest stream id.
pub const MAX_STREAM_ID: u64 = (1 << 62) - 1;

/// The plain beginning of a stream's outer request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOpen {
    /// The session.
    pub session_id: SessionId,
    /// 1 to [`MAX_STREAM_ID`].
    pub stream_id: u64,
}

impl StreamOpen {
    /// Length of the encoding in bytes.
    pub const LEN: usize = 1 + 16 + 8;

    /// Decodes it.
    pub fn decode(encoded: &[u8; Self::LEN]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(encoded);
        if reader.u8()? != KIND_STREAM_OPEN {
            return Err(DecodeError);
        }
        let open = Self { session_id: reader.array()?, stream_id: reader.u64()? };
        if (1..=MAX_STREAM_ID).contains(&open.stream_id) { Ok(open) } else { Err(DecodeError) }
    }

    /// The encoding.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [KIND_STREAM_OPEN; Self::LEN];
        out[1..17].copy_from_slice(&self.session_id);
        out[17..].copy_from_slice(&self.stream_id.to_be_bytes());
        out
    }
}

/// What both ends keep of a session.
struct Shared {
    suite: Suite,
    id: SessionId,
    secrets: Box<SessionSecrets>,
    parameters: SessionParameters,
    c2s_usage: Arc<Usage>,
    s2c_usage: Arc<Usage>,
}

impl Shared {
    fn new(
        suite: Suite,
        id: SessionId,
        secrets: Box<SessionSecrets>,
        parameters: SessionParameters,
    ) -> Self {
        let (c2s_usage, s2c_usage) = Default::default();
        Self { suite, id, secrets, parameters, c2s_usage, s2c_usage }
    }

    /// `used`: bytes that the keys count as used for, c2s and s2c.
    #[cfg(feature = "dangerous-dev-attester")]
    fn with_used(self, used: [u64; 2]) -> Self {
        self.c2s_usage.set_bytes(used[0]);
        self.s2c_usage.set_bytes(used[1]);
        self
    }

    fn is_exhausted(&self) -> bool {
        self.c2s_usage.is_exhausted() || self.s2c_usage.is_exhausted()
    }
}

/// The client's end of a session. Shared by all streams; erased when dropped.
pub struct ClientSession {
    shared: Shared,
    last_stream: AtomicU64,
}

/// The client's end of a stream.
pub struct ClientStream {
    /// Goes first in the outer request body, as [`StreamOpen::encode`] gives it.
    pub open: StreamOpen,
    /// Seals the request.
    pub request: MessageSealer<Request>,
    /// Opens the response.
    pub response: MessageOpener<Response>,
}

impl ClientSession {
    pub(crate) fn new(
        suite: Suite,
        id: SessionId,
        secrets: Box<SessionSecrets>,
        parameters: SessionParameters,
    ) -> Self {
        let shared = Shared::new(suite, id, secrets, parameters);
        Self { shared, last_stream: AtomicU64::new(0) }
    }

    /// A session without a handshake, for fuzzing. Its keys count as `used` for so many bytes, c2s and
    /// s2c; nothing keeps the caller from using them in two sessions.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_standalone(
        suite: Suite,
        id: SessionId,
        secrets: Box<SessionSecrets>,
        parameters: SessionParameters,
        used: [u64; 2],
    ) -> Self {
        let mut session = Self::new(suite, id, secrets, parameters);
        session.shared = session.shared.with_used(used);
        session
    }

    /// Opens a new stream.
    ///
    /// None when the session's keys are so far used that it is time for a new session.
    pub fn open_stream(&self) -> Option<ClientStream> {
        let Shared { suite, id, secrets, c2s_usage, s2c_usage, .. } = &self.shared;
        if c2s_usage.is_half_used() || s2c_usage.is_half_used() {
            return None;
        }
        let stream_id = self.last_stream.fetch_add(1, Relaxed) + 1;
        if stream_id > MAX_STREAM_ID {
            return None;
        }
        Some(ClientStream {
            open: StreamOpen { session_id: *id, stream_id },
            request: MessageSealer::new(FrameSealer::new(
                *suite,
                &secrets.c2s,
                stream_id,
                c2s_usage.clone(),
            )),
            response: MessageOpener::new(FrameOpener::new(
                *suite,
                &secrets.s2c,
                stream_id,
                s2c_usage.clone(),
            )),
        })
    }

    /// Opens the response to the early request that came with the ClientHello: stream 0.
    pub(crate) fn early_response(&self) -> MessageOpener<Response> {
        let Shared { suite, secrets, s2c_usage, .. } = &self.shared;
        MessageOpener::new(FrameOpener::new(*suite, &secrets.s2c, 0, s2c_usage.clone()))
    }

    /// The session's suite.
    pub fn suite(&self) -> Suite {
        self.shared.suite
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Lifetimes and limits the proxy set.
    pub fn parameters(&self) -> SessionParameters {
        self.shared.parameters
    }

    /// The value the app sees as `steve-session`.
    pub fn binding(&self) -> [u8; 32] {
        self.shared.secrets.session_binding()
    }

    /// The secrets, for test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_secrets(&self) -> &SessionSecrets {
        &self.shared.secrets
    }
}

/// The proxy's end of a session.
pub struct ServerSession {
    shared: Shared,
    window: Mutex<ReplayWindow>,
    binding: Zeroizing<[u8; 32]>,
}

impl ServerSession {
    pub(crate) fn new(
        suite: Suite,
        id: SessionId,
        secrets: Box<SessionSecrets>,
        parameters: SessionParameters,
    ) -> Self {
        let binding = Zeroizing::new(secrets.session_binding());
        let shared = Shared::new(suite, id, secrets, parameters);
        Self { shared, window: Mutex::default(), binding }
    }

    /// As [`ClientSession::dangerous_standalone`].
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_standalone(
        suite: Suite,
        id: SessionId,
        secrets: Box<SessionSecrets>,
        parameters: SessionParameters,
        used: [u64; 2],
    ) -> Self {
        let mut session = Self::new(suite, id, secrets, parameters);
        session.shared = session.shared.with_used(used);
        session
    }

    /// The session's suite.
    pub fn suite(&self) -> Suite {
        self.shared.suite
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Lifetimes and limits.
    pub fn parameters(&self) -> SessionParameters {
        self.shared.parameters
    }

    /// The value for `steve-session`.
    pub fn binding(&self) -> [u8; 32] {
        *self.binding
    }

    /// True when the session must be dropped (SPEC.md, Section 9.4).
    pub fn is_exhausted(&self) -> bool {
        self.shared.is_exhausted()
    }

    /// A stream that somebody claims to open. Nothing can be sealed for it before its first frame has
    /// authenticated and its id has proved to be new: see [`PendingStream::accept`].
    pub fn pending_stream(self: &Arc<Self>, stream_id: u64) -> Box<PendingStream> {
        let Shared { suite, secrets, c2s_usage, .. } = &self.shared;
        let frames = FrameOpener::new(*suite, &secrets.c2s, stream_id, c2s_usage.clone());
        let request = MessageOpener::new(frames);
        Box::new(PendingStream { session: self.clone(), stream_id, request })
    }

    /// The stream, whose first frame has authenticated and whose id is new.
    pub(crate) fn accept(
        self: &Arc<Self>,
        stream_id: u64,
        mut request: MessageOpener<Request>,
        first: FirstFrame,
    ) -> Box<ServerStream> {
        let Shared { suite, secrets, parameters, s2c_usage, .. } = &self.shared;
        let frames = FrameSealer::new(*suite, &secrets.s2c, stream_id, s2c_usage.clone());
        let first = first.0.and_then(|frame| {
            let is_head = frame.frame_type == FrameType::Head;
            if is_head && frame.content.len() > parameters.max_head_size as usize {
                return Err(request.refuse(HeadError::TooLarge));
            }
            request.accept(frame)
        });
        let response = MessageSealer::new(frames);
        Box::new(ServerStream { first, request, response, session: self.clone() })
    }

    fn window(&self) -> MutexGuard<'_, ReplayWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose first frame is awaited.
pub struct PendingStream {
    session: Arc<ServerSession>,
    stream_id: u64,
    request: MessageOpener<Request>,
}

/// The proxy's end of a stream.
pub struct ServerStream {
    /// What the first frame held; an error here is answered inside the channel.
    pub first: Result<Event<RequestHead>, StreamError>,
    /// Opens the rest of the request.
    pub request: MessageOpener<Request>,
    /// Seals the response.
    pub response: MessageSealer<Response>,
    /// The session it belongs to.
    pub session: Arc<ServerSession>,
}

/// Progress of a [`PendingStream`].
pub enum Pending {
    /// More bytes are needed.
    NeedMore(Box<PendingStream>),
    /// The stream is open: its first frame is authentic and its id was new.
    Open(Box<ServerStream>),
}

impl PendingStream {
    /// Adds received bytes and tries to open the first frame.
    ///
    /// An error says nothing about its cause, and nothing may be sealed for the stream. A head above
    /// the session's `max_head_size` is an error in [`ServerStream::first`].
    pub fn accept(mut self: Box<Self>, chunk: Bytes) -> Result<Pending, Unrecognized> {
        // A copy is not worth opening, nor does it count as use of the key.
        if !self.session.window().is_free(self.stream_id) {
            return Err(Unrecognized);
        }
        let Some(first) = FirstFrame::open(&mut self.request, chunk)? else {
            return Ok(Pending::NeedMore(self));
        };
        let Self { session, stream_id, request } = *self;
        if !session.window().mark(stream_id) {
            return Err(Unrecognized);
        }
        Ok(Pending::Open(session.accept(stream_id, request, first)))
    }
}

/// An authentic first frame, or what is wrong inside one.
pub(crate) struct FirstFrame(Result<Frame, StreamError>);

impl FirstFrame {
    /// Adds received bytes and tries to open it; none when more bytes are needed.
    pub(crate) fn open(
        request: &mut MessageOpener<Request>,
        chunk: Bytes,
    ) -> Result<Option<Self>, Unrecognized> {
        request.push(chunk);
        match request.next_frame() {
            Ok(frame) => Ok(frame.map(|frame| Self(Ok(frame)))),
            Err(error @ StreamError::Frame(FrameError::Type)) => Ok(Some(Self(Err(error)))),
            Err(_) => Err(Unrecognized),
        }
    }
}

#[cfg(test)]
mod tests;
