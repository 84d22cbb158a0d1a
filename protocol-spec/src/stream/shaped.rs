//! The part of a [`MessageSealer`](super::MessageSealer) that pads and gathers (SPEC.md, Section 9.6).

use super::{MessageSealer, Phase, Role, SealError};
use crate::frame::{FrameType, MAX_SEALED_LEN, OVERHEAD, Output};
use crate::shaping::{Padding, Shaping};
use bytes::{Bytes, BytesMut};

/// What a sealer knows besides when it shapes.
pub(super) struct Shaped {
    padding: Padding,
    /// Bytes that were sealed, with headers and tags.
    sent: u64,
    /// Bytes of the body that are yet to be sealed: at most a frame's.
    held: BytesMut,
    ending: Option<Ending>,
}

/// The last frame, with padding frames to come before it.
struct Ending {
    frame_type: FrameType,
    content: Bytes,
    /// Length of all of them.
    rest: u64,
    /// What the last is to be at least.
    last: u64,
}

impl<R: Role> MessageSealer<R> {
    /// Shapes what is sealed. To be called before anything is.
    ///
    /// A sealer that shapes gathers bytes of the body: [`flush`](Self::flush) seals them. And it may
    /// owe padding after the end of the message: see [`pad`](Self::pad).
    pub fn set_shaping(&mut self, shaping: Shaping) {
        self.shaped = (!shaping.is_none()).then(|| {
            let (held, ending) = Default::default();
            Box::new(Shaped { padding: shaping.padding, sent: 0, held, ending })
        });
    }

    /// True if [`flush`](Self::flush) would seal something.
    pub fn has_gathered(&self) -> bool {
        self.shaped.as_ref().is_some_and(|shaped| !shaped.held.is_empty())
    }

    /// Seals the bytes of the body that were gathered.
    pub fn flush(&mut self, out: &mut impl Output) -> Result<(), SealError> {
        let Some(shaped) = self.shaped.as_mut().filter(|shaped| !shaped.held.is_empty()) else {
            return Ok(());
        };
        let held = shaped.held.split();
        let len = shaped.padding.frame(held.len());
        self.seal_to(FrameType::Data, false, &held, len, out)
    }

    /// True if the message is over, but for padding and the frame that ends it.
    pub fn owes_padding(&self) -> bool {
        self.shaped.as_ref().is_some_and(|shaped| shaped.ending.is_some())
    }

    /// Seals the next frame of those that are owed.
    pub fn pad(&mut self, out: &mut impl Output) -> Result<(), SealError> {
        let Some(shaped) = &mut self.shaped else { return Ok(()) };
        let Some(ending) = &mut shaped.ending else { return Ok(()) };
        if let Some(len) = shaped.padding.before_last(ending.rest, ending.last) {
            ending.rest -= len;
            return self.seal_to(FrameType::Data, false, b"", len as usize, out);
        }
        let Some(Ending { frame_type, content, rest, .. }) = shaped.ending.take() else {
            return Ok(());
        };
        let fin = frame_type != FrameType::Reset;
        self.seal_to(frame_type, fin, &content, rest as usize, out)
    }

    /// Seals everything that was gathered or is owed.
    pub fn settle(&mut self, out: &mut impl Output) -> Result<(), SealError> {
        self.flush(out)?;
        while self.owes_padding() {
            self.pad(out)?;
        }
        Ok(())
    }

    /// What the frame that is to be sealed becomes.
    pub(super) fn seal_shaped(
        &mut self,
        frame_type: FrameType,
        fin: bool,
        content: &[u8],
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        match frame_type {
            FrameType::Head => self.shaped_head(content, fin, out),
            FrameType::Data => self.gather(content, fin, out),
            FrameType::Trailers => self.shaped_trailers(content, out),
            FrameType::Reset => self.shaped_reset(content, out),
        }
    }

    /// A head, whose frame may be all there is.
    fn shaped_head(
        &mut self,
        encoded: &[u8],
        fin: bool,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        let Some(Shaped { padding, sent, .. }) = self.shaped.as_deref() else { return Ok(()) };
        let len = if fin {
            padding.rest(*sent, encoded.len()).min(MAX_SEALED_LEN as u64) as usize
        } else {
            padding.frame(encoded.len())
        };
        self.seal_to(FrameType::Head, fin, encoded, len, out)
    }

    /// Bytes of the body: every frame is full but the last before a flush.
    fn gather(
        &mut self,
        mut data: &[u8],
        fin: bool,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        while let Some(shaped) = &mut self.shaped {
            let room = shaped.padding.capacity() - shaped.held.len();
            // What fills a frame exactly may still be the end.
            if data.len() <= room {
                break;
            }
            let (now, later) = data.split_at(room);
            shaped.held.extend_from_slice(now);
            data = later;
            self.flush(out)?;
        }
        let Some(shaped) = &mut self.shaped else { return Ok(()) };
        shaped.held.extend_from_slice(data);
        if !fin {
            return Ok(());
        }
        let held = shaped.held.split();
        let rest = shaped.padding.rest(shaped.sent, held.len());
        let last = shaped.padding.smallest();
        let Some(first) = shaped.padding.before_last(rest, last) else {
            return self.seal_to(FrameType::Data, true, &held, rest as usize, out);
        };
        let (rest, content) = (rest - first, Bytes::new());
        shaped.ending = Some(Ending { frame_type: FrameType::Data, content, rest, last });
        self.seal_to(FrameType::Data, false, &held, first as usize, out)
    }

    /// The trailers, which are the last frame.
    fn shaped_trailers(&mut self, encoded: &[u8], out: &mut impl Output) -> Result<(), SealError> {
        self.flush(out)?;
        let Some(shaped) = &mut self.shaped else { return Ok(()) };
        let last = shaped.padding.frame(encoded.len());
        // There is no room for padding frames beside very large ones.
        let rest = match last <= MAX_SEALED_LEN / 2 {
            true => shaped.padding.rest(shaped.sent, encoded.len()),
            false => last as u64,
        };
        self.end_with(FrameType::Trailers, encoded, rest, last as u64, out)
    }

    /// A RESET, which has the length of the end that it stands for. What was gathered is lost.
    fn shaped_reset(&mut self, code: &[u8], out: &mut impl Output) -> Result<(), SealError> {
        let Some(shaped) = &mut self.shaped else { return Ok(()) };
        let lost = shaped.held.split();
        let mut rest = shaped.padding.rest(shaped.sent, lost.len().max(code.len()));
        // Nothing but RESET can stand before a head.
        if self.phase == Phase::Start {
            rest = rest.min(shaped.padding.largest());
        }
        let last = shaped.padding.smallest();
        self.end_with(FrameType::Reset, code, rest, last, out)
    }

    /// The last frame, or the first of those that are owed.
    fn end_with(
        &mut self,
        frame_type: FrameType,
        content: &[u8],
        rest: u64,
        last: u64,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        let Some(shaped) = &mut self.shaped else { return Ok(()) };
        let content = Bytes::copy_from_slice(content);
        shaped.ending = Some(Ending { frame_type, content, rest, last });
        self.pad(out)
    }

    /// Seals a frame, with padding to `len` bytes.
    fn seal_to(
        &mut self,
        frame_type: FrameType,
        fin: bool,
        content: &[u8],
        len: usize,
        out: &mut impl Output,
    ) -> Result<(), SealError> {
        let padding = len.saturating_sub(OVERHEAD + content.len());
        let sealed = self.frames.seal(frame_type, fin, content, padding, out);
        match (&sealed, &mut self.shaped) {
            (Ok(()), Some(shaped)) => shaped.sent += len as u64,
            (_, shaped) => {
                self.phase = Phase::Failed;
                *shaped = None;
            }
        }
        Ok(sealed?)
    }
}
