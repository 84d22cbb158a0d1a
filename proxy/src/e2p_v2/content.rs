//! The plaintext of an answer, with room around it, so that it is sealed where it is.

use super::buffer::{Buffer, Full};
use super::inner::{self, BODY_HEAD};
use super::memory::Place;
use super::messages::{Envelope, MAX_ENVELOPE_HEAD};
use super::schedule::Message;
use super::sessions::Session;
use bytes::Bytes;
use steve_protocol::aead::TAG_LEN;

/// What an answer with nothing but an error or a hash in it takes at most, in bytes.
pub(super) const SMALL: usize = 4096;

/// Room for the head of the envelope, the plaintext, and room for the tag.
pub(super) struct Content {
    buffer: Buffer,
    /// Where the plaintext begins.
    start: usize,
}

impl Content {
    /// A plaintext of at most `SMALL` bytes less 128. `buffer` is empty, with room for `SMALL` bytes.
    pub(super) fn small(mut buffer: Buffer, plaintext: &[u8]) -> Result<Self, Full> {
        buffer.append_zeros(MAX_ENVELOPE_HEAD)?;
        buffer.append(plaintext)?;
        buffer.append_zeros(TAG_LEN)?;
        Ok(Self { buffer, start: MAX_ENVELOPE_HEAD })
    }

    /// Bytes of the plaintext, about.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Seals it in its envelope. The sequence must be one that was marked as used just now, or that of
    /// the confirmation: no other answer may be sealed with it.
    pub(super) fn seal(mut self, session: &Session, kind: Message, sequence: u64) -> Bytes {
        let content = &mut self.buffer[self.start..];
        let head = Envelope::head(&session.id, sequence, content.len());
        let (data, tag) = content.split_at_mut(content.len() - TAG_LEN);
        tag.copy_from_slice(&session.keys.seal(kind, &session.id, sequence, data));
        let start = self.start - head.len();
        self.buffer[start..self.start].copy_from_slice(&head);
        Bytes::from_owner(self.buffer).slice(start..)
    }
}

/// A response that is being collected: its head, then its body.
pub(super) struct Response {
    buffer: Buffer,
    head_len: usize,
    max_body: usize,
}

impl Response {
    /// With a body of up to `max_body` bytes.
    pub(super) fn new(place: Place, head: &[u8], max_body: usize) -> Result<Self, Full> {
        let before = MAX_ENVELOPE_HEAD + head.len() + BODY_HEAD;
        let mut buffer = Buffer::new(place, before + max_body + TAG_LEN);
        buffer.append_zeros(MAX_ENVELOPE_HEAD)?;
        buffer.append(head)?;
        buffer.append_zeros(BODY_HEAD)?;
        Ok(Self { buffer, head_len: head.len(), max_body })
    }

    /// Takes the memory for a body of this length, so that it need not move.
    pub(super) fn expect(&mut self, body_len: u64) -> Result<(), Full> {
        let body_len = usize::try_from(body_len).map_err(|_| Full::TooLarge)?;
        if body_len > self.max_body {
            return Err(Full::TooLarge);
        }
        self.buffer.reserve(self.before() + body_len + TAG_LEN)
    }

    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), Full> {
        if data.len() > self.max_body - self.body_len() {
            return Err(Full::TooLarge);
        }
        self.buffer.append(data)
    }

    /// The whole plaintext. `may_be_null` says that a body of no bytes is none.
    pub(super) fn finish(mut self, may_be_null: bool) -> Result<Content, Full> {
        let body_len = self.body_len();
        let is_null = may_be_null && body_len == 0;
        let body_head = if is_null { inner::null() } else { inner::body_head(body_len) };
        // The length of the body is known only now: what is before it moves up to it.
        let (from, before) = (MAX_ENVELOPE_HEAD, self.before());
        let start = from + BODY_HEAD - body_head.len();
        self.buffer.copy_within(from..from + self.head_len, start);
        self.buffer[before - body_head.len()..before].copy_from_slice(&body_head);
        self.buffer.append_zeros(TAG_LEN)?;
        Ok(Content { buffer: self.buffer, start })
    }

    /// Bytes before the body.
    fn before(&self) -> usize {
        MAX_ENVELOPE_HEAD + self.head_len + BODY_HEAD
    }

    fn body_len(&self) -> usize {
        self.buffer.len() - self.before()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Share;

    fn collected(body: &[u8], may_be_null: bool) -> Vec<u8> {
        let place = Place::of(&Share::new(1 << 20));
        let mut response = Response::new(place, b"head", 300).unwrap();
        response.append(body).unwrap();
        let content = response.finish(may_be_null).unwrap();
        content.buffer[content.start..content.buffer.len() - TAG_LEN].to_vec()
    }

    #[test]
    fn heads_move_up_to_bodies() {
        assert_eq!(collected(b"", true), b"head\xf6");
        assert_eq!(collected(b"", false), b"head\x40");
        assert_eq!(collected(b"a", true), b"head\x41a");
        assert_eq!(collected(&[7; 300], false), [&b"head\x59\x01\x2c"[..], &[7; 300]].concat());
    }

    #[test]
    fn an_announced_body_is_held_once_and_no_longer_than_it_may_be() {
        let share = Share::new(16 * 1024);
        let mut response = Response::new(Place::of(&share), b"head", 4000).unwrap();
        assert_eq!(response.expect(4001), Err(Full::TooLarge));
        response.expect(4000).unwrap();
        let _all = share.try_take(11 * 1024).unwrap();
        response.append(&[1; 4000]).unwrap();
        assert_eq!(response.append(&[1]), Err(Full::TooLarge));
        assert!(response.finish(false).is_ok());
    }
}
