//! The outer connection: TLS with roots of one's own, HTTP/2, and connections that break.

use crate::proxy::Proxy;
use crate::support::{builder, exchange, policy};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use steve_sdk::{BuildError, Client, ClientBuilder, Error, OriginError};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// PEM of the outer certificate of every proxy with TLS, by its port.
static ROOTS: LazyLock<Mutex<HashMap<u16, String>>> = LazyLock::new(Mutex::default);

/// A proxy behind TLS and HTTP/2.
async fn tls_proxy() -> Arc<Proxy> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let proxy = Proxy::start(Some(TlsAcceptor::from(Arc::new(config)))).await;
    ROOTS.lock().unwrap().insert(proxy.address.port(), pem(cert.der()));
    proxy
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let base64 = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

fn tls_builder(proxy: &Proxy) -> ClientBuilder {
    Client::builder(format!("https://localhost:{}", proxy.address.port()))
        .dangerous_attestation_root_sha256(proxy.enclave.authority.root_sha256())
        .policy(policy())
}

/// One proxy that is reached over HTTP/1.1 and one over HTTP/2.
pub(crate) async fn both() -> [Arc<Proxy>; 2] {
    [Proxy::start(None).await, tls_proxy().await]
}

/// A client for a proxy of [`both`].
pub(crate) fn client_of(proxy: &Proxy) -> Client {
    match ROOTS.lock().unwrap().get(&proxy.address.port()) {
        Some(root) => tls_builder(proxy).tls_roots(root.as_bytes()).build().unwrap(),
        None => builder(proxy).build().unwrap(),
    }
}

#[tokio::test]
async fn outer_tls_needs_a_root_that_the_caller_gave() {
    let proxy = tls_proxy().await;
    let error = tls_builder(&proxy).build().unwrap().verify().await.unwrap_err();
    assert!(matches!(error, Error::Transport { connect: true, .. }), "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");

    let client = client_of(&proxy);
    let before = proxy.connections.load(SeqCst);
    for _ in 0..3 {
        assert_eq!(exchange(&client, "POST", "/", "body").await.unwrap().1, "body");
    }
    assert_eq!(proxy.connections.load(SeqCst), before + 1, "HTTP/2 shares one connection");
}

#[tokio::test]
async fn connections_that_cannot_be_made() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = |url: String| Client::builder(url).policy(policy());
    let error = client(format!("http://{unused}")).build().unwrap().verify().await.unwrap_err();
    assert!(matches!(error, Error::Transport { connect: true, .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    // Accepts connections and says nothing: the time for TLS counts too.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let client = client(url).connect_timeout(Duration::from_millis(200)).build().unwrap();
    let began = Instant::now();
    let error = client.verify().await.unwrap_err();
    assert!(error.is_transport() && error.to_string().contains("200ms"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_no_steve_service_is_recognised() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut request = [0; 1024];
            let _ = tcp.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nabc";
            tcp.write_all(answer).await.unwrap();
        }
    });
    let client = Client::builder(url).policy(policy()).build().unwrap();
    let error = client.verify().await.unwrap_err();
    assert!(error.to_string().contains("HTTP 404"), "{error}");
    assert!(error.to_string().contains("is the URL that of a STEVE service?"), "{error}");
}

#[tokio::test]
async fn connections_that_were_closed_meanwhile_are_replaced() {
    for proxy in both().await {
        let client = client_of(&proxy);
        for _ in 0..5 {
            exchange(&client, "POST", "/", "body").await.unwrap();
            proxy.cut_connections();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(proxy.connections.load(SeqCst), 5);
    }
}

#[test]
fn a_client_needs_an_origin_a_policy_and_suites() {
    let build = |url: &str| Client::builder(url).policy(policy()).build().unwrap_err();
    assert!(matches!(build("https://a/b"), BuildError::Url(OriginError::NotAnOrigin)));
    assert!(matches!(build("a"), BuildError::Url(OriginError::NotAbsolute(_))));
    let error = Client::builder("https://a").build().unwrap_err();
    assert!(matches!(error, BuildError::NoPolicy));
    let error = Client::builder("https://a").policy(policy()).suites([]).build().unwrap_err();
    assert!(matches!(error, BuildError::NoSuites));
    let error = Client::builder("https://a").policy(policy()).tls_roots("x").build().unwrap_err();
    assert!(matches!(error, BuildError::TlsRoot(_)));
}

/// Connections of the caller's making, here Unix sockets.
#[tokio::test]
async fn a_client_can_be_given_its_connections() {
    let proxy = Proxy::start(None).await;
    let (address, dialled) = (proxy.address, Arc::new(Mutex::new(Vec::new())));
    let seen = dialled.clone();
    let client = Client::builder("http://name.invalid")
        .dangerous_attestation_root_sha256(proxy.enclave.authority.root_sha256())
        .policy(policy())
        .dial_with(move |uri| {
            seen.lock().unwrap().push(uri.to_string());
            async move {
                let (ours, theirs) = tokio::net::UnixStream::pair()?;
                tokio::spawn(async move {
                    let mut ours = ours;
                    let mut tcp = tokio::net::TcpStream::connect(address).await?;
                    tokio::io::copy_bidirectional(&mut ours, &mut tcp).await
                });
                Ok(theirs)
            }
        })
        .build()
        .unwrap();
    assert_eq!(exchange(&client, "POST", "/echo", "hello").await.unwrap().0, 200);
    let dialled = dialled.lock().unwrap();
    assert!(!dialled.is_empty());
    assert!(dialled.iter().all(|uri| uri.starts_with("http://name.invalid")), "{dialled:?}");
}

/// A connection that cannot be made is an error of the network; nothing is tried instead.
#[tokio::test]
async fn a_failure_to_dial_is_reported() {
    let client = Client::builder("https://name.invalid")
        .policy(policy())
        .dial_with(|_| async { Err::<tokio::net::UnixStream, _>(std::io::Error::other("no way")) })
        .build()
        .unwrap();
    let error = client.verify().await.unwrap_err();
    assert!(matches!(error, Error::Transport { connect: true, .. }), "{error}");
}
