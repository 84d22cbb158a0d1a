//! Requests, prepared in the form that each channel wants.

use crate::Result;
use crate::http::post_head;
use crate::pattern;
use bytes::Bytes;
use steve_protocol::frame::{MAX_CONTENT_LEN, OVERHEAD};
use steve_protocol::head::encode_request;
use steve_protocol::session::StreamOpen;

pub(crate) const STREAM_PATH: &str = "/.well-known/steve/v3/stream";

/// What the answer to a request must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// So many bytes of the pattern.
    Pattern(u64),
    /// The number of bytes that were sent.
    Count(u64),
    /// Whatever comes.
    Any,
}

pub(crate) struct Request {
    /// The HTTP/1.1 head, with the body if that is one piece.
    pub(crate) plain: Bytes,
    /// The HTTP/1.1 head of the outer request.
    pub(crate) outer: Bytes,
    /// The encoded inner head.
    pub(crate) inner: Bytes,
    /// Bytes of the pattern in the body.
    pub(crate) upload: u64,
    pub(crate) expected: Expected,
    pub(crate) method: &'static str,
    pub(crate) path: String,
}

impl Request {
    pub(crate) fn get(path: &str, expected: Expected) -> Result<Self> {
        Self::new("GET", path.to_owned(), 0, expected)
    }

    /// `length` bytes of the pattern, downwards.
    pub(crate) fn down(length: u64) -> Result<Self> {
        Self::get(&format!("/bytes/{length}"), Expected::Pattern(length))
    }

    /// `length` bytes of the pattern, upwards.
    pub(crate) fn up(length: u64) -> Result<Self> {
        Self::new("POST", "/take".to_owned(), length, Expected::Count(length))
    }

    fn new(method: &'static str, path: String, upload: u64, expected: Expected) -> Result<Self> {
        let length = upload.to_string();
        let fields = [("content-length", length.as_bytes())];
        let fields = fields.into_iter().filter(|_| upload > 0);
        let inner = encode_request(method, "https", "localhost", &path, fields)?;
        let mut plain = match method {
            "GET" => format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes(),
            _ => post_head(&path, upload).into_bytes(),
        };
        if upload <= pattern::PIECE as u64 {
            plain.extend_from_slice(&pattern::piece(0, upload as usize));
        }
        let frames = upload.div_ceil(MAX_CONTENT_LEN as u64) * OVERHEAD as u64;
        let sealed = (StreamOpen::LEN + OVERHEAD + inner.len()) as u64 + upload + frames;
        let outer = post_head(STREAM_PATH, sealed).into();
        Ok(Self { plain: plain.into(), outer, inner, upload, expected, method, path })
    }

    /// The pieces of a body that is more than one piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> {
        let upload = self.upload;
        (0..upload).step_by(pattern::PIECE).map(move |start| {
            pattern::piece(start, (upload - start).min(pattern::PIECE as u64) as usize)
        })
    }

    pub(crate) fn is_one_piece(&self) -> bool {
        self.upload <= pattern::PIECE as u64
    }
}
