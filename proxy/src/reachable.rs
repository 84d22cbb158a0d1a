//! Whether the app can be connected to.

use crate::limits::Limits;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
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
    pub(crate) fn new(app: Uri, limits: &Limits) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.app_connect_timeout));
        Self { app, tcp, reachable: Arc::new(AtomicBool::new(true)) }
    }

    /// True when the last connection, or attempt at one, succeeded.
    pub(crate) fn is_reachable(&self) -> bool {
        self.reachable.load(Relaxed)
    }

    /// Connects and closes at once.
    pub(crate) async fn probe(&self) {
        let _ = self.clone().call(self.app.clone()).await;
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
    type Response = TokioIo<TcpStream>;
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
            match (&connected, reachable.swap(connected.is_ok(), Relaxed)) {
                (Err(error), true) => tracing::warn!(%error, "the app is unreachable"),
                (Ok(_), false) => tracing::info!("the app is reachable again"),
                _ => {}
            }
            connected
        })
    }
}
