//! Frames: one AEAD ciphertext each, with hidden type and padding (SPEC.md, Section 9.3).

mod blocks;
mod input;
mod output;

use crate::aead::{AeadKey, NONCE_LEN, TAG_LEN};
use crate::schedule::{self, TrafficKey};
use crate::suite::Suite;
use crate::usage::Usage;
use blocks::Blocks;
use bytes::{Buf, Bytes, BytesMut};
use input::Input;
pub use output::{FrameBuffer, Output};
use std::fmt;
use std::sync::Arc;

/// Largest content, and largest sum of content and padding, in bytes.
pub const MAX_CONTENT_LEN: usize = 65_536;
/// Length of the header in bytes.
pub const HEADER_LEN: usize = 4;
/// What a frame adds to its content: header, type and tag.
pub const OVERHEAD: usize = HEADER_LEN + 1 + TAG_LEN;
/// Longest sealed frame, with its header, in bytes.
pub const MAX_SEALED_LEN: usize = MAX_CONTENT_LEN + OVERHEAD;

const MIN_LENGTH: usize = 1 + TAG_LEN;
const MAX_LENGTH: usize = MAX_CONTENT_LEN + 1 + TAG_LEN;
const FIN: u8 = 0x80;

/// What a frame's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Control data and field section.
    Head = 1,
    /// Bytes of the body.
    Data = 2,
    /// Field section after the body.
    Trailers = 3,
    /// The message ends without being complete.
    Reset = 4,
}

/// An opened frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What `content` is.
    pub frame_type: FrameType,
    /// The message is complete with this frame.
    pub fin: bool,
    /// At most [`MAX_CONTENT_LEN`] bytes.
    pub content: Bytes,
}

/// Shows no content: what is in a log must not be plaintext.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame_type, fin, content } = self;
        write!(f, "Frame({frame_type:?}, fin: {fin}, {} bytes)", content.len())
    }
}

/// Why a frame was not opened. The stream ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Wrong key, nonce or bytes.
    #[error("a frame does not authenticate")]
    Unauthenticated,
    /// The length in the header is out of range; nothing was read.
    #[error("a frame header is malformed")]
    Header,
    /// It authenticates, but has no type or an unknown one: the peer is broken.
    #[error("a frame has no valid type")]
    Type,
    /// All frame numbers of the stream are used, or the peer exceeded the key's limit.
    #[error("the key usage limit is reached")]
    Exhausted,
}

/// The key usage limit of SPEC.md, Section 9.4 is reached: use a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key usage limit of the session is reached")]
pub struct UsageLimitReached;

struct Direction {
    key: AeadKey,
    iv: [u8; NONCE_LEN],
    stream_id: u64,
    next_frame: u32,
    usage: Arc<Usage>,
}

impl Direction {
    fn new(suite: Suite, traffic: &TrafficKey, stream_id: u64, usage: Arc<Usage>) -> Self {
        let key = traffic.aead(suite.aead());
        Self { key, iv: traffic.iv, stream_id, next_frame: 0, usage }
    }

    /// The nonce of the next frame, or none when frame numbers or key are used up.
    fn next_nonce(&mut self, length: usize) -> Option<[u8; 12]> {
        let following = self.next_frame.checked_add(1)?;
        if !self.usage.add(length as u64) {
            return None;
        }
        let nonce = schedule::nonce(&self.iv, self.stream_id, self.next_frame);
        self.next_frame = following;
        Some(nonce)
    }
}

/// Seals the frames of one direction of one stream, in order.
pub struct FrameSealer(Direction);

impl FrameSealer {
    /// A sealer outside a session, for benches and test vectors: usage limits are its own, and
    /// nothing keeps the caller from using a key and a stream id twice.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_standalone(suite: Suite, traffic: &TrafficKey, stream_id: u64) -> Self {
        Self::new(suite, traffic, stream_id, Arc::default())
    }

    pub(crate) fn new(
        suite: Suite,
        traffic: &TrafficKey,
        stream_id: u64,
        usage: Arc<Usage>,
    ) -> Self {
        Self(Direction::new(suite, traffic, stream_id, usage))
    }

    /// Appends one frame to `out`, with `padding` zero bytes that the peer cannot tell from content
    /// before it has opened the frame.
    ///
    /// # Panics
    ///
    /// If content and padding are more than [`MAX_CONTENT_LEN`].
    pub fn seal(
        &mut self,
        frame_type: FrameType,
        fin: bool,
        content: &[u8],
        padding: usize,
        out: &mut impl Output,
    ) -> Result<(), UsageLimitReached> {
        assert!(content.len() + padding <= MAX_CONTENT_LEN);
        let length = content.len() + 1 + padding + TAG_LEN;
        let nonce = self.0.next_nonce(length).ok_or(UsageLimitReached)?;
        let header = (length as u32).to_be_bytes();
        let type_byte = frame_type as u8 | if fin { FIN } else { 0 };

        let frame = out.grow(HEADER_LEN + length);
        let (out_header, sealed) = frame.split_at_mut(HEADER_LEN);
        out_header.copy_from_slice(&header);
        if padding == 0 {
            self.0.key.seal(&nonce, &header, content, &[type_byte], sealed);
        } else {
            let mut extra = vec![0; 1 + padding];
            extra[0] = type_byte;
            self.0.key.seal(&nonce, &header, content, &extra, sealed);
        }
        Ok(())
    }
}

/// Takes the frames of one direction of one stream apart, in order, from chunks of any size.
///
/// Never buffers more than one frame beyond what was pushed.
pub struct FrameOpener {
    direction: Direction,
    input: Input,
    /// The beginning of a frame whose rest has not been pushed.
    partial: BytesMut,
    blocks: Blocks,
    failed: bool,
}

impl FrameOpener {
    /// An opener outside a session, for benches and test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_standalone(suite: Suite, traffic: &TrafficKey, stream_id: u64) -> Self {
        Self::new(suite, traffic, stream_id, Arc::default())
    }

    pub(crate) fn new(
        suite: Suite,
        traffic: &TrafficKey,
        stream_id: u64,
        usage: Arc<Usage>,
    ) -> Self {
        let direction = Direction::new(suite, traffic, stream_id, usage);
        let (input, partial, blocks) = Default::default();
        Self { direction, input, partial, blocks, failed: false }
    }

    /// Adds received bytes. Take all frames with [`next_frame`](Self::next_frame) before adding more.
    pub fn push(&mut self, chunk: Bytes) {
        let input = std::mem::take(&mut self.input);
        self.input = if input.is_empty() { chunk.into() } else { input.with(&chunk) };
    }

    /// The next frame, or none when more bytes are needed. After an error there are no more frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.failed {
            return Ok(None);
        }
        let result = self.try_next();
        if result.is_err() {
            self.failed = true;
            self.input = Input::default();
            self.partial = BytesMut::new();
            self.blocks = Blocks::default();
        }
        result
    }

    fn try_next(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_empty() {
            let sealed_len =
                frame_length(self.input.as_ref())?.map_or(0, |length| HEADER_LEN + length);
            if sealed_len > 0 && self.input.len() >= sealed_len {
                let frame = self.input.split_to(sealed_len);
                return self.open(frame).map(Some);
            }
            if self.input.is_empty() {
                return Ok(None);
            }
            self.partial = self.blocks.take(sealed_len.max(HEADER_LEN));
            self.partial.clear();
        }
        if !self.fill_to(HEADER_LEN) {
            return Ok(None);
        }
        let Some(length) = frame_length(&self.partial)? else { return Ok(None) };
        if self.partial.capacity() < HEADER_LEN + length {
            let mut block = self.blocks.take(HEADER_LEN + length);
            block.clear();
            block.extend_from_slice(&self.partial);
            self.partial = block;
        }
        if !self.fill_to(HEADER_LEN + length) {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.partial);
        let (frame_type, fin, len) = self.open_in_place(&mut frame)?;
        let block = frame.freeze();
        self.blocks.remember(&block);
        let content = block.slice(HEADER_LEN..HEADER_LEN + len);
        Ok(Some(Frame { frame_type, fin, content }))
    }

    /// Moves input into `partial` until that holds `len` bytes.
    fn fill_to(&mut self, len: usize) -> bool {
        let missing = len.saturating_sub(self.partial.len()).min(self.input.len());
        self.partial.extend_from_slice(self.input.split_to(missing).as_ref());
        self.partial.len() >= len
    }

    /// Opens a whole frame: in place where nobody else holds its memory, otherwise into a block.
    fn open(&mut self, frame: Input) -> Result<Frame, FrameError> {
        let frame = match frame {
            Input::Own(mut own) => {
                let (frame_type, fin, len) = self.open_in_place(&mut own)?;
                own.truncate(HEADER_LEN + len);
                own.advance(HEADER_LEN);
                return Ok(Frame { frame_type, fin, content: own.freeze() });
            }
            Input::Shared(shared) => shared,
        };
        let (header, body) = frame.split_at(HEADER_LEN);
        let (ciphertext, tag) = body.split_last_chunk().ok_or(FrameError::Header)?;
        let nonce = self.direction.next_nonce(body.len()).ok_or(FrameError::Exhausted)?;
        let mut block = self.blocks.take(ciphertext.len());
        if block.len() < ciphertext.len() {
            block.resize(ciphertext.len(), 0);
        }
        let plaintext = &mut block[..ciphertext.len()];
        self.direction
            .key
            .open_to(&nonce, header, ciphertext, tag, plaintext)
            .map_err(|_| self.unauthenticated())?;
        let (frame_type, fin, len) = parse(plaintext)?;
        let block = block.freeze();
        self.blocks.remember(&block);
        Ok(Frame { frame_type, fin, content: block.slice(..len) })
    }

    /// Opens a whole frame; the content is behind its header.
    fn open_in_place(&mut self, frame: &mut [u8]) -> Result<(FrameType, bool, usize), FrameError> {
        let (header, body) = frame.split_at_mut(HEADER_LEN);
        let nonce = self.direction.next_nonce(body.len()).ok_or(FrameError::Exhausted)?;
        let (data, tag) = body.split_last_chunk_mut().ok_or(FrameError::Header)?;
        self.direction
            .key
            .open_in_place(&nonce, header, data, tag)
            .map_err(|_| self.unauthenticated())?;
        parse(data)
    }

    fn unauthenticated(&self) -> FrameError {
        self.direction.usage.count_failure();
        FrameError::Unauthenticated
    }
}

/// The `length` field, checked; none if the header is not complete.
fn frame_length(input: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(header) = input.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let length = u32::from_be_bytes(*header) as usize;
    if (MIN_LENGTH..=MAX_LENGTH).contains(&length) {
        Ok(Some(length))
    } else {
        Err(FrameError::Header)
    }
}

/// The type, whether the message is complete, and the length of the content, which comes first.
fn parse(plaintext: &[u8]) -> Result<(FrameType, bool, usize), FrameError> {
    let end = plaintext.iter().rposition(|byte| *byte != 0).ok_or(FrameError::Type)?;
    let type_byte = plaintext[end];
    let frame_type = match type_byte & !FIN {
        1 => FrameType::Head,
        2 => FrameType::Data,
        3 => FrameType::Trailers,
        4 => FrameType::Reset,
        _ => return Err(FrameError::Type),
    };
    Ok((frame_type, type_byte & FIN != 0, end))
}

#[cfg(test)]
mod tests;
