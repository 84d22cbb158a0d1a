//! Outer requests as an intermediary sees them, and what the outer TLS shows.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest answer that is read, in bytes: more than evidence may be.
const MAX_ANSWER: usize = 256 * 1024;
/// A certificate should hold for longer than this.
pub(super) const RENEW_DAYS: u64 = 14;

/// What the server's certificate is worth.
#[derive(Clone, Debug)]
pub(super) enum Tls {
    Valid,
    /// Valid now, but not any more in [`RENEW_DAYS`].
    EndsSoon,
    Invalid(String),
}

/// Verifies as clients do and notes the outcome, but lets the connection go on, so that one bad
/// certificate does not hide everything else. Nothing secret is sent over it.
#[derive(Debug)]
struct Recording {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<Tls>>,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |at| self.inner.verify_server_cert(leaf, chain, name, ocsp, at);
        let renewal = Duration::from_secs(now.as_secs() + RENEW_DAYS * 86_400);
        let outcome = match verify(now) {
            Err(error) => Tls::Invalid(error.to_string()),
            Ok(_) if verify(UnixTime::since_unix_epoch(renewal)).is_err() => Tls::EndsSoon,
            Ok(_) => Tls::Valid,
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Sends outer requests, each over a connection of its own.
pub(super) struct Outer {
    origin: String,
    config: ClientConfig,
    verifier: Arc<Recording>,
    timeout: Duration,
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Outer {
    /// `roots` are files with certificates, trusted besides the roots of the web.
    pub(super) fn new(
        origin: String,
        roots: &[Vec<u8>],
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let general = |error: String| rustls::Error::General(error);
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for file in roots {
            if file.first() == Some(&0x30) {
                store.add(CertificateDer::from(file.clone()))?;
            }
            for certificate in CertificateDer::pem_slice_iter(file) {
                store.add(certificate.map_err(|error| general(error.to_string()))?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .build()
            .map_err(|error| general(error.to_string()))?;
        let verifier = Arc::new(Recording { inner, seen: Mutex::new(None) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        Ok(Self { origin, config, verifier, timeout })
    }

    /// What the last connection's certificate was worth; none without TLS.
    pub(super) fn tls(&self) -> Option<Tls> {
        self.verifier.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends one request; `http2` offers that beside HTTP/1.1.
    pub(super) async fn send(
        &self,
        http2: bool,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(self.config.clone())
            .https_or_http()
            .enable_http1();
        let connector = if http2 { connector.enable_http2().build() } else { connector.build() };
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(Full::<Bytes>::new(body.into())).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = client.request(request).await.map_err(|error| causes(&error))?;
            let (head, body) = answer.into_parts();
            let read = Limited::new(body, MAX_ANSWER).collect().await;
            let body = read.map_err(|error| error.to_string())?.to_bytes();
            let (status, version, headers) = (head.status, head.version, head.headers);
            Ok(Answer { status, version, headers, body })
        };
        let late = || format!("no answer within {:?}", self.timeout);
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
