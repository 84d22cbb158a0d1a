use super::shaped::Shaped;
use super::{Phase, ResetCode, Response, Role};
use crate::frame::{FrameSealer, FrameType, MAX_CONTENT_LEN, Output, UsageLimitReached};
use std::marker::PhantomData;

/// Why a frame was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The session's keys are used up; use a new session.
    #[error(transparent)]
    UsageLimitReached(#[from] UsageLimitReached),
    /// The frame may not come here, for example a body before its head.
    #[error("frame out of order")]
    OutOfOrder,
    /// A head or a trailer section is longer than a frame.
    #[error("head of more than 65536 bytes")]
    HeadTooLarge,
}

/// Seals one message, frame by frame.
///
/// Dropping it before FIN leaves a truncated message, which the peer reports as an error; end a
/// message that cannot be completed with [`reset`](Self::reset).
pub struct MessageSealer<R> {
    pub(super) frames: FrameSealer,
    pub(super) phase: Phase,
    /// None for a sealer that seals everything as it comes.
    pub(super) shaped: Option<Box<Shaped>>,
    role: PhantomData<fn(R)>,
}

impl MessageSealer<Response> {
    /// Appends the head of an informational response, with a status below 200.
    pub fn informational(
        &mut self,
        encoded: &[u8],
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        self.expect(Phase::Start)?;
        self.seal(FrameType::Head, false, encoded, Phase::Start, out)
    }
}

impl<R: Role> MessageSealer<R> {
    /// A sealer outside a session, for test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_standalone(frames: FrameSealer) -> Self {
        Self::new(frames)
    }

    pub(crate) fn new(frames: FrameSealer) -> Self {
        Self { frames, phase: Phase::Start, shaped: None, role: PhantomData }
    }

    /// Appends the (final) head, as encoded by
    /// [`head::encode_request`](crate::head::encode_request) or
    /// [`head::encode_response`](crate::head::encode_response).
    pub fn head(
        &mut self,
        encoded: &[u8],
        fin: bool,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        self.expect(Phase::Start)?;
        self.seal(FrameType::Head, fin, encoded, after(fin), out)
    }

    /// Appends bytes of the body, in as many frames as they need. Without `fin`, no bytes give no
    /// frame. A sealer that [shapes](Self::set_shaping) keeps those that do not fill a frame.
    pub fn data(&mut self, data: &[u8], fin: bool, out: &mut impl Output) -> Result<(), SealError> {
        self.expect(Phase::Body)?;
        let mut chunks = data.chunks(MAX_CONTENT_LEN).peekable();
        while let Some(chunk) = chunks.next() {
            let last = fin && chunks.peek().is_none();
            self.seal(FrameType::Data, last, chunk, after(last), out)?;
        }
        if fin && data.is_empty() {
            self.seal(FrameType::Data, true, b"", Phase::Done, out)?;
        }
        Ok(())
    }

    /// Appends the trailer section, as encoded by
    /// [`head::encode_trailers`](crate::head::encode_trailers), which completes the message.
    pub fn trailers(&mut self, encoded: &[u8], out: &mut impl Output) -> Result<(), SealError> {
        self.expect(Phase::Body)?;
        self.seal(FrameType::Trailers, true, encoded, Phase::Done, out)
    }

    /// Ends the message as incomplete. Does nothing if it is over. A sealer that
    /// [shapes](Self::set_shaping) forgets what it has gathered.
    pub fn reset(&mut self, code: ResetCode, out: &mut impl Output) -> Result<(), SealError> {
        if self.is_over() {
            return Ok(());
        }
        self.seal(FrameType::Reset, false, &code.to_bytes(), Phase::Failed, out)
    }

    /// True before the (final) head.
    pub fn is_at_start(&self) -> bool {
        self.phase == Phase::Start
    }

    /// True after FIN or RESET, or when only [padding](Self::owes_padding) is to come before it.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }

    fn expect(&self, phase: Phase) -> Result<(), SealError> {
        if self.phase == phase { Ok(()) } else { Err(SealError::OutOfOrder) }
    }

    fn seal(
        &mut self,
        frame_type: FrameType,
        fin: bool,
        content: &[u8],
        next: Phase,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        if content.len() > MAX_CONTENT_LEN {
            return Err(SealError::HeadTooLarge);
        }
        let sealed = match self.shaped {
            None => self.frames.seal(frame_type, fin, content, 0, out).map_err(SealError::from),
            Some(_) => self.seal_shaped(frame_type, fin, content, out),
        };
        self.phase = if sealed.is_ok() { next } else { Phase::Failed };
        sealed
    }
}

fn after(fin: bool) -> Phase {
    if fin { Phase::Done } else { Phase::Body }
}
