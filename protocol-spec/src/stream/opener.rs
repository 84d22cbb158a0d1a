use super::{Phase, ResetCode, Role};
use crate::frame::{Frame, FrameError, FrameOpener, FrameType};
use crate::head::{BodyLength, HeadError, Trailers};
use bytes::Bytes;
use std::fmt;

/// What a peer sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Event<H> {
    /// The head of an informational response; the final head is still to come.
    Informational(H),
    /// The (final) head.
    Head {
        /// Control data and fields.
        head: H,
        /// The message is complete: it has no body.
        fin: bool,
    },
    /// Bytes of the body.
    Data {
        /// At most 65536 bytes, possibly none.
        data: Bytes,
        /// The message is complete.
        fin: bool,
    },
    /// The trailer section; the message is complete.
    Trailers(Trailers),
    /// The message ends incomplete.
    Reset(ResetCode),
}

/// Shows no bytes of a body: what is in a log must not be plaintext.
impl<H: fmt::Debug> fmt::Debug for Event<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Informational(head) => write!(f, "Informational({head:?})"),
            Self::Head { head, fin } => write!(f, "Head({head:?}, fin: {fin})"),
            Self::Data { data, fin } => write!(f, "Data({} bytes, fin: {fin})", data.len()),
            Self::Trailers(trailers) => write!(f, "Trailers({trailers:?})"),
            Self::Reset(code) => write!(f, "Reset({code})"),
        }
    }
}

/// Why a message cannot be read on. What was read before is authentic, but the message is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A frame does not authenticate or is malformed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A head or trailer section breaks a rule of SPEC.md, Section 10.1.
    #[error("malformed message: {0}")]
    Head(#[from] HeadError),
    /// A frame comes where it may not.
    #[error("frame out of order")]
    OutOfOrder,
    /// The bytes ended before FIN or RESET.
    #[error("message truncated: it ended without its authenticated end mark")]
    Truncated,
}

/// Opens one message, event by event.
pub struct MessageOpener<R: Role> {
    frames: FrameOpener,
    phase: Phase,
    body: BodyLength,
    to_head_request: bool,
    may_upgrade: bool,
    /// An informational head came.
    informed: bool,
    /// The stream carries another protocol, or the request asks for that.
    upgraded: bool,
    role: std::marker::PhantomData<fn() -> R>,
}

impl<R: Role> MessageOpener<R> {
    /// An opener outside a session, for test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_standalone(frames: FrameOpener) -> Self {
        Self::new(frames)
    }

    pub(crate) fn new(frames: FrameOpener) -> Self {
        Self {
            frames,
            phase: Phase::Start,
            body: BodyLength::default(),
            to_head_request: false,
            may_upgrade: false,
            informed: false,
            upgraded: false,
            role: std::marker::PhantomData,
        }
    }

    /// Says that the message answers a HEAD request, whose response has no body whatever its fields
    /// say.
    pub fn answers_head_request(&mut self) {
        self.to_head_request = true;
    }

    /// Says that the message answers a request to upgrade, so that 101 may answer it.
    pub fn answers_upgrade_request(&mut self) {
        self.may_upgrade = true;
    }

    /// Adds received bytes. Take all events with [`next_event`](Self::next_event) before adding more.
    pub fn push(&mut self, chunk: Bytes) {
        self.frames.push(chunk);
    }

    /// The next event, or none when more bytes are needed. After an error the message is over.
    pub fn next_event(&mut self) -> Result<Option<Event<R::Head>>, StreamError> {
        match self.next_frame()? {
            Some(frame) => self.accept(frame).map(Some),
            None => Ok(None),
        }
    }

    /// To be called when the bytes have ended: errors unless the message is over.
    pub fn end(&self) -> Result<(), StreamError> {
        if self.is_over() { Ok(()) } else { Err(StreamError::Truncated) }
    }

    /// True after FIN, RESET or an error.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }

    /// True after FIN: everything that was sent has arrived.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Done
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, StreamError> {
        if self.is_over() {
            return Ok(None);
        }
        self.frames.next_frame().map_err(|error| {
            self.phase = Phase::Failed;
            error.into()
        })
    }

    pub(crate) fn accept(&mut self, frame: Frame) -> Result<Event<R::Head>, StreamError> {
        let result = self.try_accept(frame);
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    /// The error for a head that this end does not want. The message is over.
    pub(crate) fn refuse(&mut self, error: HeadError) -> StreamError {
        self.phase = Phase::Failed;
        error.into()
    }

    fn try_accept(&mut self, frame: Frame) -> Result<Event<R::Head>, StreamError> {
        let Frame { frame_type, fin, content } = frame;
        match (frame_type, self.phase) {
            (FrameType::Head, Phase::Start) => self.head(content, fin),
            (FrameType::Data, Phase::Body) => {
                self.body.add(content.len())?;
                self.finish_if(fin)?;
                Ok(Event::Data { data: content, fin })
            }
            (FrameType::Trailers, Phase::Body) if fin && !self.upgraded => {
                let trailers = Trailers::decode(content)?;
                self.finish_if(true)?;
                Ok(Event::Trailers(trailers))
            }
            (FrameType::Reset, Phase::Start | Phase::Body) if !fin => {
                let code: [u8; 2] =
                    content.as_ref().try_into().map_err(|_| StreamError::OutOfOrder)?;
                let code = ResetCode::from_u16(u16::from_be_bytes(code));
                if code.not_dispatched() && (self.informed || self.phase != Phase::Start) {
                    return Err(StreamError::OutOfOrder);
                }
                self.phase = Phase::Failed;
                Ok(Event::Reset(code))
            }
            _ => Err(StreamError::OutOfOrder),
        }
    }

    fn head(&mut self, content: Bytes, fin: bool) -> Result<Event<R::Head>, StreamError> {
        let head = R::decode(content)?;
        if R::is_informational(&head) {
            self.informed = true;
            return if fin { Err(StreamError::OutOfOrder) } else { Ok(Event::Informational(head)) };
        }
        self.upgraded = R::upgrades(&head);
        if self.upgraded {
            R::check_upgrade(self.may_upgrade, fin)?;
        }
        self.body = R::body_length(&head, self.to_head_request);
        self.phase = Phase::Body;
        self.finish_if(fin)?;
        Ok(Event::Head { head, fin })
    }

    fn finish_if(&mut self, fin: bool) -> Result<(), StreamError> {
        if fin {
            self.body.finish()?;
            self.phase = Phase::Done;
        }
        Ok(())
    }
}
