//! The WebSocket that sends every message back.

use crate::answers::{self, Reply};
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) fn echo(mut request: Request<Incoming>) -> Reply {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return answers::refused(StatusCode::BAD_REQUEST);
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(carry(hyper::upgrade::on(&mut request)));
    Ok(Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(answers::body(Empty::new()))?)
}

async fn carry(upgrading: OnUpgrade) {
    let Ok(upgraded) = upgrading.await else { return };
    let io = TokioIo::new(upgraded);
    let (mut sink, mut messages) =
        WebSocketStream::from_raw_socket(io, Role::Server, None).await.split();
    while let Some(Ok(message)) = messages.next().await {
        // Pings are answered, and the close is completed, by the library.
        if (message.is_text() || message.is_binary()) && sink.send(message).await.is_err() {
            break;
        }
    }
}
