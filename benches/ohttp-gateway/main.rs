//! The least that a gateway of Oblivious HTTP (RFC 9458) of hyper and the crate `ohttp` can be, to
//! compare with: whole messages, HPKE of the RustCrypto crates.
//!
//! `ohttp-gateway LISTEN APP`, addresses. `GET /config` gives the key configuration.

#![forbid(unsafe_code)]

use bhttp::{Message, Mode, StatusCode};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ohttp::hpke::{Aead, Kdf, Kem};
use ohttp::{KeyConfig, Server, SymmetricSuite};
use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type App = Client<HttpConnector, Full<Bytes>>;

const KEY_ID: u8 = 1;
/// Connections to the app that are kept.
const UPSTREAM_IDLE: usize = 256;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, app] = arguments.as_slice() else {
        return Err("usage: ohttp-gateway LISTEN APP".into());
    };
    let address: SocketAddr = app.parse()?;
    ohttp::init();
    let suites = vec![SymmetricSuite::new(Kdf::HkdfSha256, Aead::Aes128Gcm)];
    let server = Arc::new(Server::new(KeyConfig::new(KEY_ID, Kem::X25519Sha256, suites)?)?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let app: App = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(UPSTREAM_IDLE)
        .build(connector);

    let listener = TcpListener::bind(listen).await?;
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        let (server, app) = (server.clone(), app.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (server, app) = (server.clone(), app.clone());
                async move {
                    let answer = answer(&server, &app, address, request).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(|error| {
                        let mut response = Response::new(error.to_string().into());
                        *response.status_mut() = http::StatusCode::BAD_REQUEST;
                        response
                    }))
                }
            });
            // How a connection ends is the business of its peer.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
        });
    }
}

async fn answer(
    server: &Server,
    app: &App,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Failure> {
    if request.uri().path() == "/config" {
        return Ok(Response::new(server.config().encode()?.into()));
    }
    let sealed = request.into_body().collect().await?.to_bytes();
    let (opened, sealer) = server.decapsulate(&sealed)?;
    let message = Message::read_bhttp(&mut Cursor::new(opened))?;
    let text = |part: Option<&[u8]>| -> Result<String, Failure> {
        Ok(String::from_utf8(part.ok_or("not a request")?.to_vec())?)
    };
    let path = text(message.control().path())?;
    let mut inner = Request::builder()
        .method(text(message.control().method())?.as_str())
        .uri(format!("http://{address}{path}"));
    for field in message.header().fields() {
        inner = inner.header(field.name(), field.value());
    }
    let body = Full::new(Bytes::copy_from_slice(message.content()));
    let (head, body) = app.request(inner.body(body)?).await?.into_parts();
    let mut reply = Message::response(StatusCode::try_from(head.status.as_u16())?);
    for (name, value) in &head.headers {
        reply.put_header(name.as_str(), value.as_bytes());
    }
    reply.write_content(body.collect().await?.to_bytes());
    let mut encoded = Vec::new();
    reply.write_bhttp(Mode::KnownLength, &mut encoded)?;
    Ok(Response::new(sealer.encapsulate(&encoded)?.into()))
}
