//! The client's end of a tunnel.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use steve_protocol::head::{ResponseHead, encode_request};
use steve_protocol::session::{ClientSession, ClientStream};
use steve_protocol::stream::Event;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

pub const TUNNEL: &str = "/.well-known/steve/v3/tunnel";

pub type Socket = WebSocketStream<TcpStream>;

/// Opens the WebSocket.
pub async fn socket(at: SocketAddr) -> Socket {
    let request = format!("ws://{at}{TUNNEL}").into_client_request().unwrap();
    let io = TcpStream::connect(at).await.unwrap();
    tokio_tungstenite::client_async(request, io).await.unwrap().0
}

/// A stream in a tunnel.
pub struct Tunnel {
    pub socket: Socket,
    pub stream: ClientStream,
}

impl Tunnel {
    pub async fn open(at: SocketAddr, session: &ClientSession) -> Self {
        let mut socket = socket(at).await;
        let stream = session.open_stream().unwrap();
        let open = stream.open.encode();
        socket.send(Message::binary(open.to_vec())).await.unwrap();
        Self { socket, stream }
    }

    /// Asks for an upgrade.
    pub async fn ask(at: SocketAddr, session: &ClientSession, protocol: &str) -> Self {
        let mut tunnel = Self::open(at, session).await;
        tunnel.stream.response.answers_upgrade_request();
        let fields = [("upgrade", protocol.as_bytes())];
        let head = encode_request("GET", "https", "app.example", "/", fields.into_iter()).unwrap();
        let mut out = BytesMut::new();
        tunnel.stream.request.head(&head, false, &mut out).unwrap();
        tunnel.frame(out.freeze()).await;
        tunnel
    }

    pub async fn frame(&mut self, frame: Bytes) {
        self.socket.send(Message::Binary(frame)).await.unwrap();
    }

    pub async fn data(&mut self, data: &[u8], fin: bool) {
        let mut out = BytesMut::new();
        self.stream.request.data(data, fin, &mut out).unwrap();
        self.frame(out.freeze()).await;
    }

    /// The next event, or how the socket was closed: code and reason.
    pub async fn next(&mut self) -> Result<Event<ResponseHead>, (u16, String)> {
        loop {
            if let Some(event) = self.stream.response.next_event().unwrap() {
                return Ok(event);
            }
            match self.socket.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    assert_eq!(frame.len(), whole(&frame), "a message is one frame");
                    self.stream.response.push(frame);
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err((close.code.into(), close.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err((1006, String::new())),
            }
        }
    }

    /// The status of the final head.
    pub async fn status(&mut self) -> u16 {
        match self.next().await {
            Ok(Event::Head { head, .. }) => head.status(),
            other => panic!("{other:?}"),
        }
    }

    /// What the app sends until FIN.
    pub async fn rest(&mut self) -> Bytes {
        let mut rest = BytesMut::new();
        loop {
            match self.next().await {
                Ok(Event::Data { data, fin }) => {
                    rest.extend_from_slice(&data);
                    if fin {
                        return rest.freeze();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn whole(frame: &[u8]) -> usize {
    4 + u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize
}
