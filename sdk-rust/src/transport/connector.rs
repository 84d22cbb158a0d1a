use super::dial::{Dial, Dialled, Dialler};
use super::read_first::ReadFirst;
use crate::error::{BoxError, BuildError};
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// A connection, with TLS or without.
pub(super) type Connected = ReadFirst<MaybeHttpsStream<TokioIo<Dialled>>>;

/// Connects, with TLS for https; gives up after a time that covers name resolution, TCP and TLS.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: HttpsConnector<Dialler>,
    timeout: Duration,
}

impl Connector {
    /// `extra_roots` are trusted for TLS besides the roots of the web. A tunnel needs HTTP/1.1.
    pub(crate) fn new(
        extra_roots: Vec<CertificateDer<'static>>,
        timeout: Duration,
        dial: Option<Dial>,
        http2: bool,
    ) -> Result<Self, BuildError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            roots.add(root).map_err(|error| BuildError::TlsRoot(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let dialler = Dialler::new(dial);
        let inner =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let inner = match http2 {
            true => inner.enable_http2().wrap_connector(dialler),
            false => inner.wrap_connector(dialler),
        };
        Ok(Self { inner, timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting)
                .await
                .unwrap_or_else(|_| Err(format!("no connection within {timeout:?}").into()))
                .map(ReadFirst::new)
        })
    }
}
