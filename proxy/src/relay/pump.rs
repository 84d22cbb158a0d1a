//! One direction of a connection.

use super::buffers::Buffers;
use prometheus_client::metrics::counter::Counter;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::yield_now;
use tokio::time::Instant;

/// Chunks after which a direction lets the other one have its turn.
const TURN: u32 = 16;

/// Why a direction ended before its end.
#[derive(Debug)]
pub(super) enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// When something last moved on a connection, in either direction.
pub(super) struct Activity {
    begun: Instant,
    /// Milliseconds after `begun`.
    last: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) {
        self.last.store(self.begun.elapsed().as_millis() as u64, Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.last.load(Relaxed))
    }
}

/// What the two directions of a connection share.
pub(super) struct Shared<'a> {
    pub(super) buffers: &'a Buffers,
    pub(super) activity: &'a Activity,
}

/// Writes `first`, then passes on what can be read, to its end. While there is nothing to read it
/// holds no buffer.
pub(super) async fn pump(
    shared: &Shared<'_>,
    counter: &Counter,
    first: &[u8],
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Broken> {
    write(shared.activity, to, first).await.map_err(Broken::Writing)?;
    let mut turn = 0;
    loop {
        let (buffer, len) = read(shared.buffers, &mut from).await.map_err(Broken::Reading)?;
        let written = write(shared.activity, to, &buffer[..len]).await;
        shared.buffers.put(buffer);
        written.map_err(Broken::Writing)?;
        if len == 0 {
            return Ok(());
        }
        counter.inc_by(len as u64);
        turn += 1;
        if turn % TURN == 0 {
            yield_now().await;
        }
    }
}

/// A buffer and how much of it was read: nothing at the end.
async fn read(
    buffers: &Buffers,
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<(Box<[u8]>, usize)> {
    poll_fn(|cx| {
        let mut buffer = buffers.take();
        let mut space = ReadBuf::new(&mut buffer);
        let result = Pin::new(&mut *from).poll_read(cx, &mut space);
        let len = space.filled().len();
        match result {
            Poll::Ready(Ok(())) => Poll::Ready(Ok((buffer, len))),
            Poll::Ready(Err(error)) => {
                buffers.put(buffer);
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                buffers.put(buffer);
                Poll::Pending
            }
        }
    })
    .await
}

async fn write(
    activity: &Activity,
    to: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = to.write(bytes).await?;
        if len == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        activity.now();
        bytes = &bytes[len..];
    }
    Ok(())
}
