//! Outer requests, each over a connection of its own.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

pub fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is sent piece by piece; an error sent breaks it off.
pub fn channel() -> (mpsc::Sender<io::Result<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, |mut receiver| async {
        let item: io::Result<Bytes> = receiver.recv().await?;
        Some((item.map(Frame::data), receiver))
    });
    (sender, BodyExt::boxed_unsync(StreamBody::new(frames)))
}

/// Sends one request; an error if the connection ends before the response head.
pub async fn try_send(
    address: SocketAddr,
    mut request: Request<Body>,
) -> hyper::Result<Response<Incoming>> {
    let io = TcpStream::connect(address).await.unwrap();
    io.set_nodelay(true).unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    request.headers_mut().entry("host").or_insert(http::HeaderValue::from_static("outer.example"));
    sender.send_request(request).await
}

pub async fn send(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    try_send(address, request).await.unwrap()
}

pub async fn post(address: SocketAddr, path: &str, body: Body) -> Response<Incoming> {
    send(address, Request::post(path).body(body).unwrap()).await
}

pub async fn collect(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub async fn call(address: SocketAddr, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    let request = Request::builder().method(method).uri(path).body(whole(body)).unwrap();
    collect(send(address, request).await).await
}

/// Sends bytes and gives all that comes back until the peer closes.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut io = TcpStream::connect(address).await.unwrap();
    io.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    answer
}
