use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection that is read to its end after its other end has stopped reading: an answer that comes
/// before its request has ended is not lost because the rest of the request cannot be sent.
///
/// In HTTP/2 a request ends without its connection, so there a failure is reported at once.
pub(crate) struct ReadFirst<T> {
    inner: T,
    http1: bool,
    /// Nothing can be sent any more; what is to be read ends with the reason.
    closed: bool,
}

impl<T: Connection> ReadFirst<T> {
    pub(super) fn new(inner: T) -> Self {
        let http1 = !inner.connected().is_negotiated_h2();
        Self { inner, http1, closed: false }
    }
}

impl<T> ReadFirst<T> {
    fn write<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut T, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Poll<Result<R, Error>> {
        if self.closed {
            return Poll::Pending;
        }
        match write(&mut self.inner, cx) {
            Poll::Ready(Err(error)) if self.http1 && is_close(&error) => {
                self.closed = true;
                // Whoever could not write is to read now.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            written => written,
        }
    }
}

/// After these there is an end to what can be read.
fn is_close(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl<T: Read + Unpin> Read for ReadFirst<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for ReadFirst<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, Error>> {
        self.write(cx, |inner, cx| Pin::new(inner).poll_write(cx, data))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        self.write(cx, |inner, cx| Pin::new(inner).poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.write(cx, |inner, cx| Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Connection> Connection for ReadFirst<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}
