//! The proxy's end of tunnels.

use crate::app::Exchange;
use crate::proxy::{Answer, Fate, Proxy, whole};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use steve_protocol::session::{Pending, StreamOpen};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a request comes in.
pub(crate) enum Source {
    Body(Incoming),
    Messages(SplitStream<Socket>),
}

impl Source {
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Body(body) => body.frame().await?.ok()?.into_data().ok(),
            Self::Messages(messages) => loop {
                match messages.next().await?.ok()? {
                    Message::Binary(bytes) => return Some(bytes),
                    Message::Ping(_) | Message::Pong(_) => {}
                    _ => return None,
                }
            },
        }
    }
}

impl Proxy {
    pub(crate) fn tunnel(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        let upgrade = hyper::upgrade::on(&mut request);
        let response = create_response(&request.map(|_| ())).unwrap();
        let proxy = self.clone();
        let carrying = tokio::spawn(async move {
            let io = TokioIo::new(upgrade.await.unwrap());
            proxy.carry(WebSocketStream::from_raw_socket(io, Role::Server, None).await).await;
        });
        self.running.lock().unwrap().push(carrying.abort_handle());
        let (parts, ()) = response.into_parts();
        Answer::from_parts(parts, whole(101, "").into_body())
    }

    async fn carry(self: Arc<Self>, socket: Socket) {
        let (mut sender, messages) = socket.split();
        let mut source = Source::Messages(messages);
        let open = source.next().await.unwrap();
        let open = StreamOpen::decode(open.as_ref().try_into().unwrap()).unwrap();
        let Some(session) = self.enclave.session(&open.session_id) else {
            let close = CloseFrame { code: 4422.into(), reason: "unrecognized".into() };
            let _ = sender.send(Message::Close(Some(close))).await;
            return;
        };
        let mut pending = session.pending_stream(open.stream_id);
        let stream = loop {
            match pending.accept(source.next().await.unwrap()).unwrap() {
                Pending::Open(stream) => break stream,
                Pending::NeedMore(more) => pending = more,
            }
        };
        let binding = BASE64_URL_SAFE_NO_PAD.encode(session.binding());
        let (out, mut sealed) = mpsc::channel(1);
        let mut exchange = Exchange::new(*stream, source, out, binding);
        let fate = self.fates.lock().unwrap().pop_front();
        if let Some(Fate::CutTo(_)) = fate {
            tokio::select! {
                () = self.app.serve(exchange) => {}
                _ = sealed.recv() => {}
            }
            return;
        }
        let forward = async move {
            while let Some(chunk) = sealed.recv().await {
                if sender.send(Message::Binary(chunk)).await.is_err() {
                    return;
                }
            }
            let _ = sender.close().await;
        };
        let serve = async move {
            match fate {
                Some(Fate::Reset(code)) => exchange.reset(code).await,
                _ => self.app.serve(exchange).await,
            }
        };
        tokio::join!(serve, forward);
    }
}

/// A WebSocket server that sends back what it gets; the client's end of its connection.
pub(crate) fn websocket_echo() -> DuplexStream {
    let (client, server) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let mut socket = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    client
}
