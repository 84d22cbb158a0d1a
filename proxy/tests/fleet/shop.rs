//! An app that counts how often it executes each order, and sends back what WebSockets say.

use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How often each order was executed.
pub type Orders = Arc<Mutex<HashMap<String, usize>>>;

pub struct Shop {
    pub address: SocketAddr,
    listening: AbortHandle,
}

impl Shop {
    /// Opens one more that shares its orders with others.
    pub async fn open(orders: &Orders) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let orders = orders.clone();
        let listening = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let orders = orders.clone();
                let service = service_fn(move |request| answer(orders.clone(), request));
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(io), service).with_upgrades());
            }
        });
        Self { address, listening: listening.abort_handle() }
    }

    /// Takes no more connections.
    pub fn close(&self) {
        self.listening.abort();
    }
}

async fn answer(
    orders: Orders,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(key) = request.headers().get("sec-websocket-key") {
        let accept = derive_accept_key(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let io = TokioIo::new(upgrade.await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        let response = Response::builder()
            .status(101)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, accept);
        return Ok(response.body(Full::default()).unwrap());
    }
    let is_order = request.method() == "POST";
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::builder().status(400).body(Full::default()).unwrap());
    };
    let body = body.to_bytes();
    if is_order {
        let id = String::from_utf8(body.to_vec()).unwrap();
        *orders.lock().unwrap().entry(id).or_default() += 1;
    }
    Ok(Response::new(Full::new(body)))
}
