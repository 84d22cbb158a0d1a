//! A connection to the app that was upgraded to another protocol (SPEC.md, Section 10.6).

use super::Inbound;
use crate::limits::UPGRADED_BUFFER;
use crate::upstream::AppConnection;
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

/// Both directions, independent of each other. Dropping it before they have ended resets the
/// connection, so that the app does not take what it got for all there is (row 6).
pub(super) struct UpgradedApp {
    /// What the app sent right after its head.
    early: Bytes,
    from_app: OwnedReadHalf,
    buffer: Box<[u8]>,
    /// Gives whether the client's direction ended with FIN.
    to_app: JoinHandle<bool>,
    has_ended: bool,
}

impl UpgradedApp {
    /// Begins to hand what the client sends on to the app. None for a connection
    /// that is not one to the app.
    pub(super) fn new(connection: Upgraded, inbound: Arc<Inbound>) -> Option<Self> {
        let parts = connection.downcast::<TokioIo<AppConnection>>().ok()?;
        let (from_app, to_app) = parts.io.into_inner().into_tcp().into_split();
        Some(Self {
            early: parts.read_buf,
            from_app,
            buffer: vec![0; UPGRADED_BUFFER].into(),
            to_app: tokio::spawn(hand_on(inbound, ToApp(Some(to_app)))),
            has_ended: false,
        })
    }

    /// The next bytes of the app; none at their end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.from_app).poll_read(cx, &mut buffer))?;
        } else {
            let len = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..len]);
            self.early.advance(len);
        }
        let len = buffer.filled().len();
        Poll::Ready(Ok(&self.buffer[..len]))
    }

    /// To be called after the end of the app's bytes: ready when nothing more is handed on to it.
    pub(super) fn poll_handed_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.has_ended = ready!(self.to_app.poll_unpin(cx)).unwrap_or(false);
        Poll::Ready(())
    }
}

impl Drop for UpgradedApp {
    fn drop(&mut self) {
        self.to_app.abort();
        if !self.has_ended {
            // Fails only for a connection that is gone.
            let _ = self.from_app.as_ref().set_zero_linger();
        }
    }
}

/// FIN closes the app's receiving direction. A failure of the client's leaves it to the response
/// side to reset the connection.
async fn hand_on(inbound: Arc<Inbound>, mut app: ToApp) -> bool {
    let Some(half) = &mut app.0 else { return false };
    while let Some(chunk) = inbound.next_upgraded().await {
        let Ok(bytes) = chunk else { return false };
        if half.write_all(&bytes).await.is_err() {
            return false;
        }
    }
    half.shutdown().await.is_ok()
}

/// The sending half, which would end the direction in order when it is dropped.
struct ToApp(Option<OwnedWriteHalf>);

impl Drop for ToApp {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            half.forget();
        }
    }
}
