//! WebSockets of the SDK to an app behind the proxy.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Fixture;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use steve_sdk::{Receipt, UpgradeError, WebSocketError};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// An app that sends back every message, on WebSockets only.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(io).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn messages_go_both_ways_and_the_end_is_orderly() {
    let proxy = Fixture::start(echo().await).await;
    let (mut socket, response) = proxy.sdk().websocket("/chat").await.unwrap();
    assert_eq!(response.status(), 101);
    assert!(response.extensions().get::<Receipt>().is_some());
    for text in ["hello".to_owned(), "x".repeat(300_000)] {
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text.as_str());
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn an_app_that_does_not_know_websockets_refuses_them() {
    let proxy = Fixture::start(common::app::echo().await).await;
    let error = proxy.sdk().websocket("/").await.unwrap_err();
    let WebSocketError::Upgrade(UpgradeError::Refused(response)) = error else { panic!("{error}") };
    assert!(response.status().as_u16() >= 200);
    response.into_body().bytes().await.unwrap();
}
