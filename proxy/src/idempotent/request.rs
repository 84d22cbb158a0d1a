//! A request with a key: read to its end, hashed, and given to the app as a whole.

use super::recording::BLOCK;
use super::{KeyError, RequestHash};
use crate::body::BrokenOff;
use crate::limits::Share;
use crate::stream::{Inbound, SESSION};
use crate::upstream::SendError;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Frame, SizeHint};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::future::poll_fn;
use tokio::sync::OwnedSemaphorePermit;

/// The body and the trailers of a request whose FIN has authenticated.
#[derive(Default)]
pub(crate) struct WholeBody {
    blocks: VecDeque<Vec<u8>>,
    trailers: Option<HeaderMap>,
    len: usize,
    room: Vec<OwnedSemaphorePermit>,
}

impl WholeBody {
    /// Reads what is left of a request: up to `max_len` bytes, in memory of the budget.
    pub(super) async fn read(
        inbound: &Inbound,
        max_len: usize,
        memory: &Share,
    ) -> Result<Self, SendError> {
        let mut body = Self::default();
        while let Some(frame) = poll_fn(|cx| inbound.poll_for_app(cx)).await {
            match frame.map_err(|BrokenOff| SendError::Failed)?.into_data() {
                Ok(data) if body.len + data.len() > max_len => {
                    return Err(SendError::Key(KeyError::TooLarge));
                }
                Ok(data) => body.append(&data, memory).ok_or(SendError::NoRoom)?,
                Err(frame) => body.trailers = frame.into_trailers().ok(),
            }
        }
        Ok(body)
    }

    /// In blocks, whatever the sizes of the frames were.
    fn append(&mut self, mut data: &[u8], memory: &Share) -> Option<()> {
        while !data.is_empty() {
            if self.blocks.back().is_none_or(|last| last.len() >= BLOCK) {
                self.room.push(memory.take(BLOCK)?);
                self.blocks.push_back(Vec::with_capacity(BLOCK));
            }
            let last = self.blocks.back_mut()?;
            let (now, later) = data.split_at(data.len().min(BLOCK - last.len()));
            last.extend_from_slice(now);
            self.len += now.len();
            data = later;
        }
        Some(())
    }

    /// Declares the length that is known now: the app need not be sent chunks.
    pub(super) fn frame(&self, headers: &mut HeaderMap) {
        if self.trailers.is_none() && headers.remove(TRANSFER_ENCODING).is_some() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.len));
        }
    }

    /// What the app gets, except how it is framed and which session it comes from.
    pub(super) fn hash<B>(&self, head: &Request<B>) -> RequestHash {
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        put(head.method().as_str().as_bytes());
        put(head.uri().to_string().as_bytes());
        let none = HeaderMap::new();
        for fields in [head.headers(), self.trailers.as_ref().unwrap_or(&none)] {
            for (name, value) in fields {
                if ![CONTENT_LENGTH, TRANSFER_ENCODING, SESSION].contains(name) {
                    put(name.as_str().as_bytes());
                    put(value.as_bytes());
                }
            }
            // No field has an empty name.
            put(b"");
        }
        hash.update((self.len as u64).to_be_bytes());
        self.blocks.iter().for_each(|block| hash.update(block));
        hash.finalize().into()
    }

    pub(crate) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if let Some(block) = self.blocks.pop_front() {
            self.len -= block.len();
            return Some(Frame::data(block.into()));
        }
        self.trailers.take().map(Frame::trailers)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.blocks.is_empty() && self.trailers.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.len as u64),
            Some(_) => SizeHint::default(),
        }
    }
}
