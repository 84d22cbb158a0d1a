//! Tunnels: the host passes bytes on, and changes them.

use super::fault::{Editor, Fault, Kind, Piece, Route, What};
use super::host::Host;
use super::world::{Which, Wire};
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split,
};
use tokio::select;
use tokio::time::sleep;

impl Host {
    /// Serves a connection that begins with GET as a tunnel; gives back any other.
    pub(super) async fn tunnel(self: Arc<Self>, mut wire: Wire) -> Option<Begun> {
        let mut first = vec![0; 1024];
        let len = wire.read(&mut first).await.ok()?;
        first.truncate(len);
        if !first.starts_with(b"GET ") {
            return Some(Begun { first: first.into(), wire });
        }
        let Fault { before, route, request, response } = self.decide(Kind::Tunnel);
        self.prepare(before).await;
        let which = match route {
            Route::Forge(status, _) | Route::Mask(status, _) => {
                let head = format!("HTTP/1.1 {status} \r\ncontent-length: 0\r\n\r\n");
                let _ = wire.write_all(head.as_bytes()).await;
                return None;
            }
            Route::Reflect => {
                let _ = wire.write_all(&first).await;
                return None;
            }
            Route::Hold(_) => return std::future::pending().await,
            Route::Swallow => return None,
            Route::Other => Which::Other,
            _ => Which::Current,
        };
        let proxy = self.world.connect(which).await?;
        let (from_client, to_client) = split(wire);
        let (from_proxy, to_proxy) = split(proxy);
        let seen = [Arc::default(), Arc::default()];
        let [there, back] = [(0, request), (1, response)].map(|(direction, edit)| Way {
            host: self.clone(),
            editor: Editor::new(edit),
            direction,
            seen: seen.clone(),
        });
        select! {
            _ = there.pass(Bytes::from(first), from_client, to_proxy) => {}
            _ = back.pass(Bytes::new(), from_proxy, to_client) => {}
        }
        None
    }
}

/// One direction.
struct Way {
    host: Arc<Host>,
    editor: Editor,
    direction: usize,
    seen: [Arc<Mutex<Vec<u8>>>; 2],
}

impl Way {
    /// Ends only when the whole tunnel is to end.
    async fn pass(
        mut self,
        mut chunk: Bytes,
        mut from: ReadHalf<Wire>,
        mut to: WriteHalf<Wire>,
    ) -> io::Result<()> {
        loop {
            self.seen[self.direction].lock().unwrap().extend_from_slice(&chunk);
            let pieces = self.editor.apply(chunk);
            self.host.edited(&self.editor);
            for piece in pieces {
                match piece {
                    Piece::Data(bytes) => to.write_all(&bytes).await?,
                    Piece::Do(What::Wait(time)) => sleep(time).await,
                    Piece::Do(What::Restart) => self.host.world.restart().await,
                    Piece::Do(What::End) => {
                        to.shutdown().await?;
                        return std::future::pending().await;
                    }
                    Piece::Do(What::Stall) => return std::future::pending().await,
                    Piece::Do(What::Reflect | What::Splice(_)) => {
                        let other = self.seen[1 - self.direction].lock().unwrap().clone();
                        to.write_all(&other).await?;
                    }
                    Piece::Do(_) => return Ok(()),
                }
            }
            let mut buffer = vec![0; 4096];
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                to.shutdown().await?;
                return std::future::pending().await;
            }
            buffer.truncate(len);
            chunk = buffer.into();
        }
    }
}

/// A connection of which some bytes were read.
pub(super) struct Begun {
    first: Bytes,
    wire: Wire,
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            ready!(Pin::new(&mut self.wire).poll_read(cx, buffer))?;
        } else {
            let len = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(len));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
