use super::KEEP_ALIVE;
use crate::error::BoxError;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

/// Any byte stream in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection before TLS.
pub(crate) struct Dialled(Box<dyn Stream>);

/// The caller's way to connect.
pub(crate) type Dial = Arc<dyn Fn(Uri) -> BoxFuture<'static, io::Result<Dialled>> + Send + Sync>;

/// Makes a [`Dial`] of a function that gives connections of any type.
pub(crate) fn dial<D, F, C>(dial: D) -> Dial
where
    D: Fn(Uri) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<C>> + Send + 'static,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Arc::new(move |uri| {
        let dialling = dial(uri);
        Box::pin(async { Ok(Dialled(Box::new(dialling.await?))) })
    })
}

/// Connects by name and TCP, unless the caller has a way of its own.
#[derive(Clone)]
pub(super) enum Dialler {
    Tcp(HttpConnector),
    Own(Dial),
}

impl Dialler {
    pub(super) fn new(dial: Option<Dial>) -> Self {
        dial.map_or_else(
            || {
                let mut tcp = HttpConnector::new();
                tcp.enforce_http(false);
                tcp.set_nodelay(true);
                tcp.set_keepalive(Some(KEEP_ALIVE));
                Self::Tcp(tcp)
            },
            Self::Own,
        )
    }
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Dialled>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Own(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Tcp(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async {
                    Ok(TokioIo::new(Dialled(Box::new(connecting.await?.into_inner()))))
                })
            }
            Self::Own(dial) => {
                let dialling = dial(uri);
                Box::pin(async { Ok(TokioIo::new(dialling.await?)) })
            }
        }
    }
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
