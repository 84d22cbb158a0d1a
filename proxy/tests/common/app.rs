//! Apps behind the proxy.

use super::outer::{self, Body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Serves requests with `answer`.
pub async fn serve<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let response = answer(request);
                async { Ok::<_, Infallible>(response.await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(io), service));
        }
    });
    address
}

/// Answers with a description of the request, one line each: request line, fields, blank, body.
pub async fn echo() -> SocketAddr {
    serve(|request| async {
        let (parts, body) = request.into_parts();
        let mut text = format!("{} {}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        let collected = body.collect().await;
        let Ok(collected) = collected else {
            return Response::builder().status(500).body(outer::whole("broken")).unwrap();
        };
        if let Some(trailers) = collected.trailers() {
            for (name, value) in trailers {
                text += &format!("trailer {name}: {}\n", value.to_str().unwrap());
            }
        }
        let mut all = (text + "\n").into_bytes();
        all.extend_from_slice(&collected.to_bytes());
        Response::new(outer::whole(all))
    })
    .await
}

/// An app that reads requests as bytes.
#[derive(Clone)]
pub struct RawApp {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
}

impl RawApp {
    /// Answers every connection's first bytes with `answer`, then closes, but keeps reading for a
    /// moment to see all that comes.
    pub async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Self { address, seen: Arc::default(), connections: Arc::default() };
        let shared = app.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(shared.clone().connection(io, answer));
            }
        });
        app
    }

    async fn connection(self, mut io: TcpStream, answer: &'static str) {
        let mut chunk = [0; 4096];
        let mut pause = Duration::from_secs(10);
        let mut silent = true;
        while let Ok(Ok(len @ 1..)) = timeout(pause, io.read(&mut chunk)).await {
            if std::mem::take(&mut silent) {
                self.connections.fetch_add(1, Ordering::Relaxed);
            }
            self.seen.lock().unwrap().extend_from_slice(&chunk[..len]);
            pause = Duration::from_millis(100);
        }
        let _ = io.write_all(answer.as_bytes()).await;
    }

    /// All bytes so far.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Connections that brought any bytes; the proxy's probes bring none.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// True for a connection that ends without a byte, as the proxy's probes do.
pub async fn is_probe(io: &TcpStream) -> bool {
    !matches!(io.peek(&mut [0]).await, Ok(1))
}

/// An address where nothing listens.
pub async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub fn text(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(outer::whole(body))
}
