//! The least that a TLS 1.3 proxy of hyper and rustls can be, to compare with.
//!
//! `rustls-proxy LISTEN APP CERTIFICATE KEY`, addresses and PEM files.

use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Body = BoxBody<Bytes, hyper::Error>;

/// Connections to the app that are kept.
const UPSTREAM_IDLE: usize = 256;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, app, certificate, key] = arguments.as_slice() else {
        return Err("usage: rustls-proxy LISTEN APP CERTIFICATE KEY".into());
    };
    let app: SocketAddr = app.parse()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(UPSTREAM_IDLE)
        .build(connector);

    let listener = TcpListener::bind(listen).await?;
    loop {
        let (io, _) = listener.accept().await?;
        let (acceptor, client) = (acceptor.clone(), client.clone());
        tokio::spawn(async move {
            io.set_nodelay(true)?;
            let io = acceptor.accept(io).await?;
            let service = service_fn(|request| {
                let client = client.clone();
                async move { Ok::<_, Infallible>(forward(client, app, request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
            connection.with_upgrades().await?;
            Ok::<_, Failure>(())
        });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    app: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    exchange(client, app, request).await.unwrap_or_else(|_| {
        let mut response = Response::new(empty());
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        response
    })
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

async fn exchange(
    client: Client<HttpConnector, Incoming>,
    app: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{app}{path}").parse()?;
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let inner = upgrade.then(|| hyper::upgrade::on(&mut request));
    let mut response = client.request(request).await?;
    if let (Some(inner), 101) = (inner, response.status().as_u16()) {
        let outer = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let (mut inner, mut outer) = (TokioIo::new(inner.await?), TokioIo::new(outer.await?));
            tokio::io::copy_bidirectional(&mut inner, &mut outer).await?;
            Ok::<_, Failure>(())
        });
        return Ok(response.map(|_| empty()));
    }
    Ok(response.map(BodyExt::boxed))
}
