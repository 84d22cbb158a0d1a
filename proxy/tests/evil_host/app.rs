//! The app behind the proxies. What it answers follows from the request's id, so that everybody
//! can know it; what it did is on record.

use super::common::outer::{self, Body};
use super::sim;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Stands in everything that is secret: ids, paths, fields and bodies.
pub const CANARY: &str = "CANARY";

/// What the app does otherwise than it should: the harness must notice.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Mischief {
    #[default]
    None,
    /// One byte of every body is another.
    OtherByte,
    /// One field is another.
    OtherField,
    /// Bodies end early, in good order.
    Short,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    /// Its head reached the app.
    pub seen: u32,
    /// All of it did, unchanged.
    pub executed: u32,
}

#[derive(Clone)]
pub struct App {
    pub address: SocketAddr,
    records: Arc<Mutex<HashMap<String, Record>>>,
    violations: Arc<Mutex<Vec<String>>>,
    mischief: Mischief,
}

/// A response as the app gives it.
pub struct Expected {
    pub status: u16,
    pub field: String,
    pub pieces: Vec<Bytes>,
    pub trailer: Option<String>,
}

/// The answer to `id` the `execution`th time.
pub fn expected(path: &str, id: &str, execution: u32) -> Expected {
    let number = id.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let streamed = path == "/streamed";
    let count = if streamed { 2 + number as usize % 4 } else { 1 };
    let piece = |n: usize| {
        let text = format!("{CANARY} answer {execution} to {id}, piece {n}.");
        Bytes::from(text.repeat(1 + number as usize % 3))
    };
    Expected {
        status: [200, 200, 201, 404, 500][number as usize % 5],
        field: format!("{CANARY}-{id}-{execution}"),
        pieces: (0..count).map(piece).collect(),
        trailer: streamed.then(|| format!("{CANARY}-end-{id}")),
    }
}

/// The body of request `id`, if it has one of `len` pieces.
pub fn request_body(id: &str, pieces: usize) -> Vec<Bytes> {
    (0..pieces).map(|n| Bytes::from(format!("{CANARY} piece {n} of request {id};"))).collect()
}

/// What the app sends first on an upgraded connection.
pub fn greeting(id: &str) -> String {
    format!("{CANARY} welcome {id}\n")
}

impl App {
    pub async fn start(mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Self { address, records: Arc::default(), violations: Arc::default(), mischief };
        let shared = app.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                sim::stir();
                // The kernel would wait for an acknowledgement, in a time that is not ours.
                io.set_nodelay(true).unwrap();
                let app = shared.clone();
                let service = service_fn(move |request| app.clone().answer(request));
                let server = hyper::server::conn::http1::Builder::new();
                let io = TokioIo::new(Noticed(io));
                tokio::spawn(server.serve_connection(io, service).with_upgrades());
            }
        });
        app
    }

    pub fn record(&self, id: &str) -> Record {
        self.records.lock().unwrap().get(id).copied().unwrap_or_default()
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    fn note(&self, id: &str, what: impl FnOnce(&mut Record)) -> Record {
        let mut records = self.records.lock().unwrap();
        let record = records.entry(id.to_owned()).or_default();
        what(record);
        *record
    }

    fn violated(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    /// The id is the query; the field `x-pieces` says how long the body is.
    async fn answer(self, mut request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (path, id) =
            (request.uri().path().to_owned(), request.uri().query().unwrap_or_default());
        let id = id.to_owned();
        self.note(&id, |record| record.seen += 1);
        if request.headers().contains_key("upgrade") {
            let record = self.note(&id, |record| record.executed += 1);
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    let _ = echo(TokioIo::new(upgraded), id).await;
                }
            });
            let _ = record;
            let mut response = Response::new(outer::whole(""));
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
            response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
            return Ok(response);
        }
        let (parts, body) = request.into_parts();
        let pieces =
            parts.headers.get("x-pieces").and_then(|value| value.to_str().ok()?.parse().ok());
        if parts.headers.get("x-id").map(HeaderValue::as_bytes) != Some(id.as_bytes()) {
            self.violated(format!("the app got {id} with a changed field"));
        }
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if Some(&body[..]) != pieces.map(|pieces| request_body(&id, pieces).concat()).as_deref() {
            self.violated(format!("the app got {id} complete with a changed body"));
        }
        let record = self.note(&id, |record| record.executed += 1);
        Ok(self.respond(&path, expected(&path, &id, record.executed), record.executed))
    }

    fn respond(&self, path: &str, mut expected: Expected, execution: u32) -> Response<Body> {
        let field = match self.mischief {
            Mischief::OtherField => "another",
            _ => &expected.field,
        };
        let response = Response::builder()
            .status(expected.status)
            .header("x-field", field)
            .header("x-execution", execution);
        match (self.mischief, expected.pieces.last_mut()) {
            (Mischief::OtherByte, Some(last)) => {
                let mut bytes = last.to_vec();
                bytes[0] ^= 1;
                *last = bytes.into();
            }
            (Mischief::Short, Some(last)) => last.truncate(last.len() - 1),
            _ => {}
        }
        if path != "/streamed" {
            return response.body(outer::whole(expected.pieces.concat())).unwrap();
        }
        let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Frame<Bytes>>>(1);
        tokio::spawn(async move {
            for piece in expected.pieces {
                if sender.send(Ok(Frame::data(piece))).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
            let trailer = HeaderValue::try_from(expected.trailer.unwrap_or_default()).unwrap();
            let trailers = HeaderMap::from_iter([("x-end".parse().unwrap(), trailer)]);
            let _ = sender.send(Ok(Frame::trailers(trailers))).await;
        });
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        let body = http_body_util::StreamBody::new(frames);
        response.header("trailer", "x-end").body(BodyExt::boxed_unsync(body)).unwrap()
    }
}

/// Greets, then sends back what comes until its end.
async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin, id: String) -> io::Result<()> {
    io.write_all(greeting(&id).as_bytes()).await?;
    let mut chunk = [0; 512];
    loop {
        match io.read(&mut chunk).await? {
            0 => return io.shutdown().await,
            len => io.write_all(&chunk[..len]).await?,
        }
    }
}

/// A socket of which the clock takes notice.
struct Noticed(TcpStream);

impl AsyncRead for Noticed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.0).poll_read(cx, buffer);
        if polled.is_ready() {
            sim::stir();
        }
        polled
    }
}

impl AsyncWrite for Noticed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        sim::stir();
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        sim::stir();
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
