//! HTTP/1.1 as a client that writes prepared requests and reads answers piece by piece.

use crate::Result;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Room that is made for every read, in bytes.
const READ: usize = 128 * 1024;
const MAX_FIELDS: usize = 64;

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What is left of a body.
enum Left {
    Bytes(u64),
    /// Bytes of the current chunk; 0 where the next one begins.
    Chunk(u64),
}

/// A kept-alive connection.
pub(crate) struct Http {
    io: Box<dyn Io>,
    buffer: BytesMut,
    left: Left,
}

impl Http {
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self { io, buffer: BytesMut::new(), left: Left::Bytes(0) }
    }

    pub(crate) fn into_io(self) -> Box<dyn Io> {
        self.io
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.io.write_all(bytes).await?)
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.io.flush().await?)
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.reserve(READ);
        if self.io.read_buf(&mut self.buffer).await? == 0 {
            return Err("the connection ended before the answer".into());
        }
        Ok(())
    }

    /// Reads the head of an answer; gives its status.
    pub(crate) async fn head(&mut self) -> Result<u16> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(length) = head.parse(&self.buffer)? {
                let field = |name: &str| {
                    let found = head.headers.iter().find(|one| one.name.eq_ignore_ascii_case(name));
                    found.and_then(|one| std::str::from_utf8(one.value).ok())
                };
                self.left = match field("content-length") {
                    Some(length) => Left::Bytes(length.parse()?),
                    None if field("transfer-encoding") == Some("chunked") => Left::Chunk(0),
                    None => return Err("an answer without a length".into()),
                };
                let status = head.code.unwrap_or(0);
                self.buffer.advance(length);
                return Ok(status);
            }
            self.fill().await?;
        }
    }

    /// The next piece of the body, none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if matches!(self.left, Left::Chunk(0)) {
            self.chunk_size().await?;
        }
        let (Left::Bytes(left) | Left::Chunk(left)) = self.left;
        if left == 0 {
            return Ok(None);
        }
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let length = left.min(self.buffer.len() as u64);
        let piece = self.buffer.split_to(length as usize).freeze();
        let left = left - length;
        match &mut self.left {
            Left::Bytes(of) => *of = left,
            Left::Chunk(of) => {
                *of = left;
                if left == 0 {
                    self.line_end().await?;
                }
            }
        }
        Ok(Some(piece))
    }

    /// Reads the size of the next chunk. The last one ends the body.
    async fn chunk_size(&mut self) -> Result<()> {
        loop {
            let parsed = httparse::parse_chunk_size(&self.buffer);
            match parsed.map_err(|_| "an invalid chunk size")? {
                httparse::Status::Complete((length, size)) => {
                    self.buffer.advance(length);
                    self.left = Left::Chunk(size);
                    if size == 0 {
                        self.left = Left::Bytes(0);
                        self.line_end().await?;
                    }
                    return Ok(());
                }
                httparse::Status::Partial => self.fill().await?,
            }
        }
    }

    async fn line_end(&mut self) -> Result<()> {
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if !self.buffer.starts_with(b"\r\n") {
            return Err("a chunk without its end".into());
        }
        self.buffer.advance(2);
        Ok(())
    }

    /// The whole body.
    pub(crate) async fn body(&mut self) -> Result<Bytes> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Sends a POST, and gives the body of its answer, which must be a 200.
    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> Result<Bytes> {
        let mut request = post_head(path, body.len() as u64).into_bytes();
        request.extend_from_slice(body);
        self.write(&request).await?;
        self.flush().await?;
        match self.head().await? {
            200 => self.body().await,
            status => Err(format!("{path} answered {status}").into()),
        }
    }
}

/// The head of a POST.
pub(crate) fn post_head(path: &str, length: u64) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
}
