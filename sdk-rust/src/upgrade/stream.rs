use crate::error::{ChannelError, Error};
use crate::exchange::{Incoming, Item, StreamGuard};
use crate::transport::TunnelWriter;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Sink;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use steve_protocol::frame::MAX_CONTENT_LEN;
use steve_protocol::stream::{MessageSealer, Request, StreamError};
use steve_protocol::tunnel::take_frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Message;

/// A connection to the app that carries another protocol than HTTP, encrypted.
///
/// Reading ends without an error only after the enclave's authenticated end mark; if the connection
/// is cut it fails with `UnexpectedEof`, if it is reset or changed with `ConnectionReset`, and again
/// if asked again. `shutdown` ends the own direction and leaves the other open. What is written is
/// at most 64 KiB ahead of the network. Dropping it earlier than both ends aborts the connection.
///
/// Pings of the tunnel are answered while it is being read.
pub struct Upgraded {
    incoming: Incoming,
    received: Bytes,
    reading: Reading,
    sealer: MessageSealer<Request>,
    /// Frames that the tunnel had no room for.
    sealed: Bytes,
    writer: TunnelWriter,
    guard: Arc<StreamGuard>,
}

enum Reading {
    Open,
    Ended,
    Failed(Error),
}

impl Upgraded {
    pub(super) fn new(
        incoming: Incoming,
        sealer: MessageSealer<Request>,
        writer: TunnelWriter,
        guard: Arc<StreamGuard>,
    ) -> Self {
        let (received, sealed, reading) = (Bytes::new(), Bytes::new(), Reading::Open);
        Self { incoming, received, reading, sealer, sealed, writer, guard }
    }

    /// Seals bytes and hands them to the tunnel, when it has room.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8], fin: bool) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        let mut out = BytesMut::new();
        self.sealer.data(data, fin, &mut out).map_err(io_error)?;
        self.sealer.flush(&mut out).map_err(io_error)?;
        self.sealed = out.freeze();
        self.guard.sending();
        self.guard.sizes.add_request(data.len());
        // On its way at once, as with a socket; what does not fit there waits for a flush.
        match self.poll_flush_tunnel(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Hands everything that is sealed, or padding, to the tunnel. Ready when that has room again.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(Pin::new(&mut self.writer).poll_ready(cx)).map_err(io_error)?;
            if self.sealed.is_empty() {
                let mut out = BytesMut::new();
                self.sealer.pad(&mut out).map_err(io_error)?;
                self.sealed = out.freeze();
            }
            let Some(frame) = take_frame(&mut self.sealed) else { return Poll::Ready(Ok(())) };
            Pin::new(&mut self.writer).start_send(Message::Binary(frame)).map_err(io_error)?;
        }
    }

    fn poll_flush_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.writer).poll_flush(cx).map_err(io_error)
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.received.is_empty() {
            match &this.reading {
                Reading::Open => {}
                Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Failed(error) => return Poll::Ready(Err(failure(error))),
            }
            match ready!(this.incoming.poll_item(cx)) {
                Ok(Item::Data { data, fin }) => {
                    this.received = data;
                    if fin {
                        this.reading = Reading::Ended;
                    }
                }
                Ok(Item::Trailers(_)) => {
                    this.reading = Reading::Failed(StreamError::OutOfOrder.into());
                }
                Err(error) => this.reading = Reading::Failed(this.incoming.cause(error)),
            }
        }
        let len = this.received.len().min(buffer.remaining());
        buffer.put_slice(&this.received[..len]);
        this.received.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.sealer.is_over() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let data = &data[..data.len().min(MAX_CONTENT_LEN)];
        if !data.is_empty() {
            ready!(self.poll_send(cx, data, false))?;
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_tunnel(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.sealer.is_over() {
            ready!(self.poll_send(cx, b"", true))?;
        }
        self.poll_flush(cx)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.reading {
            Reading::Open => "Upgraded(open)",
            Reading::Ended => "Upgraded(ended)",
            Reading::Failed(_) => "Upgraded(failed)",
        })
    }
}

fn failure(error: &Error) -> io::Error {
    let kind = match error {
        Error::Channel(ChannelError::Truncated) => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::ConnectionReset,
    };
    io::Error::new(kind, error.clone())
}

fn io_error(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
