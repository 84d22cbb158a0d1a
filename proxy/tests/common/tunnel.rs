//! The client's end of a tunnel, and an app whose connections change their protocol.

use super::{Fixture, app};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use steve_protocol::head::{ResponseHead, encode_request};
use steve_protocol::session::{ClientSession, ClientStream};
use steve_protocol::stream::Event;
use steve_protocol::suite::Suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

pub const TUNNEL: &str = "/.well-known/steve/v3/tunnel";

pub type Socket = WebSocketStream<TcpStream>;

/// An answer that agrees to change to `echo/1`.
pub const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
    Upgrade: ECHO/1\r\nX-Kept: 1\r\nX-Hop: 2\r\nConnection: x-hop\r\n\r\n";

/// An app that reads the request head of every connection, answers, and hands the connection over.
pub async fn switching(answer: &'static str) -> (SocketAddr, mpsc::Receiver<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, connections) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            if app::is_probe(&io).await {
                continue;
            }
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.unwrap());
            }
            io.write_all(answer.as_bytes()).await.unwrap();
            sender.send((String::from_utf8(head).unwrap(), io)).await.unwrap();
        }
    });
    (address, connections)
}

/// A proxy that may upgrade to `echo/1`.
pub async fn fixture(app: SocketAddr) -> Fixture {
    Fixture::with(app, |config| config.upgrades = vec!["Echo/1".into()]).await
}

/// A request for `echo/1`, and the app's end of its connection after `answer`.
pub async fn upgraded(answer: &'static str) -> (Fixture, ClientSession, Tunnel, String, TcpStream) {
    let (address, mut connections) = switching(answer).await;
    let proxy = fixture(address).await;
    let session = proxy.connect(Suite::X25519Aes256Gcm).await;
    let tunnel = Tunnel::ask(proxy.address, &session, "echo/1").await;
    let (head, io) = connections.recv().await.unwrap();
    (proxy, session, tunnel, head, io)
}

/// How the proxy closes the WebSocket: code and reason.
pub async fn close_of(mut socket: Socket) -> (u16, String) {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(Some(close)) => return (close.code.into(), close.reason.to_string()),
            _ => continue,
        }
    }
}

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
