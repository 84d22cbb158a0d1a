//! How to reach the app, and whether it can be reached.

use crate::limits::Limits;
use futures_util::task::AtomicWaker;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tower_service::Service;

/// Connects to the app, whatever authority a request names, and remembers whether the last time it
/// could.
#[derive(Clone)]
pub(crate) struct AppConnector {
    app: Uri,
    tcp: HttpConnector,
    reachable: Arc<AtomicBool>,
}

impl AppConnector {
    pub(super) fn new(app: Uri, limits: &Limits) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.app_connect_timeout));
        Self { app, tcp, reachable: Arc::new(AtomicBool::new(true)) }
    }

    /// True when the last connection, or attempt at one, succeeded.
    pub(crate) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Option<AppConnection> {
        self.clone().call(self.app.clone()).await.ok().map(TokioIo::into_inner)
    }

    /// Connects and closes at once.
    pub(crate) async fn probe(&self) {
        self.connect().await;
    }

    /// Probes for ever.
    pub(crate) async fn run(&self, limits: &Limits) {
        loop {
            sleep(limits.app_probe_interval).await;
            self.probe().await;
        }
    }
}

impl Service<Uri> for AppConnector {
    type Response = TokioIo<AppConnection>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx)
    }

    fn call(&mut self, _of_the_request: Uri) -> Self::Future {
        let connecting = self.tcp.call(self.app.clone());
        let reachable = self.reachable.clone();
        Box::pin(async move {
            let connected = connecting.await;
            match (&connected, reachable.swap(connected.is_ok(), Ordering::Relaxed)) {
                (Err(error), true) => tracing::warn!(%error, "the app is unreachable"),
                (Ok(_), false) => tracing::info!("the app is reachable again"),
                _ => {}
            }
            let tcp = connected?.into_inner();
            Ok(TokioIo::new(AppConnection { tcp, switch: KillSwitch::default() }))
        })
    }
}

/// A connection to the app.
pub(crate) struct AppConnection {
    tcp: TcpStream,
    switch: KillSwitch,
}

/// Breaks a connection off, also one that waits for the app to read.
#[derive(Clone, Default)]
pub(super) struct KillSwitch(Arc<Switch>);

#[derive(Default)]
struct Switch {
    killed: AtomicBool,
    /// The task that drives the connection.
    task: AtomicWaker,
}

impl KillSwitch {
    pub(super) fn kill(&self) {
        self.0.killed.store(true, Ordering::Release);
        self.0.task.wake();
    }

    /// An error once the connection is killed; otherwise the task is woken when it is.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.0.task.register(cx.waker());
        if self.0.killed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AppConnection {
    /// The bare connection.
    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

impl Connection for AppConnection {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.switch.clone())
    }
}

impl AsyncRead for AppConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.switch.check(cx)?;
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for AppConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.switch.check(cx)?;
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.switch.check(cx)?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
