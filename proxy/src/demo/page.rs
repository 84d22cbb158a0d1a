//! The page of the demo, on an origin of its own: files, what it has to trust, and what the host sees.
//!
//! The host delivers none of it: a host that delivers the page can replace it.

use super::tap::Piece;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};

/// Path, file and type of what the page is made of.
const FILES: [(&str, &str, &str); 5] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/style.css", "style.css", "text/css; charset=utf-8"),
    ("/page.js", "page.js", "text/javascript; charset=utf-8"),
    ("/icon.svg", "icon.svg", "image/svg+xml"),
    ("/steve_wasm_bg.wasm", "steve_wasm_bg.wasm", "application/wasm"),
];

const NOT_BUILT: &str = "The page has not been built: it needs Node and a Rust compiler for \
                         wasm32-unknown-unknown. Run sdk-wasm/build.sh and load this again.\n";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the page's server gives.
pub(super) struct Page {
    /// Where `sdk-wasm/build.sh` put the files.
    pub(super) directory: PathBuf,
    /// The service, its measurements and root: JSON.
    pub(super) trust: String,
    /// The service's origin, to which alone the page may connect.
    pub(super) service: SocketAddr,
    pub(super) tap: broadcast::Sender<Piece>,
}

impl Page {
    /// Whether there is anything to serve.
    pub(super) fn is_built(&self) -> bool {
        FILES.iter().all(|(_, file, _)| self.directory.join(file).is_file())
    }

    /// Serves until the process ends.
    pub(super) async fn start(self, address: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        let page = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let page = page.clone();
                let service = service_fn(move |request| {
                    let page = page.clone();
                    async move { Ok::<_, Infallible>(page.answer(&request)) }
                });
                // A browser that goes away is no event for a demo.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Ok(())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if request.method() != Method::GET {
            return self.response(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain",
                full("GET only.\n"),
            );
        }
        match path {
            "/trust.json" => {
                self.response(StatusCode::OK, "application/json", full(self.trust.clone()))
            }
            "/host" => self.response(StatusCode::OK, "text/event-stream", self.live()),
            _ => self.file(path),
        }
    }

    fn file(&self, path: &str) -> Response<Body> {
        let Some((_, file, kind)) = FILES.iter().find(|(known, ..)| *known == path) else {
            return self.response(StatusCode::NOT_FOUND, "text/plain", full("Nothing here.\n"));
        };
        match std::fs::read(self.directory.join(file)) {
            Ok(bytes) => self.response(StatusCode::OK, kind, full(bytes)),
            Err(_) => self.response(StatusCode::NOT_FOUND, "text/plain", full(NOT_BUILT)),
        }
    }

    /// An event for each piece of bytes: `{"up":true,"bytes":"<base64>"}`.
    fn live(&self) -> Body {
        let pieces = stream::unfold(self.tap.subscribe(), |mut tap| async move {
            let event = match tap.recv().await {
                Ok(Piece { up, bytes }) => {
                    let bytes = STANDARD.encode(&bytes);
                    format!("data: {}\n\n", serde_json::json!({ "up": up, "bytes": bytes }))
                }
                Err(RecvError::Lagged(_)) => "event: missed\ndata: {}\n\n".into(),
                Err(RecvError::Closed) => return None,
            };
            Some((Ok(Frame::data(Bytes::from(event))), tap))
        });
        // A browser takes the stream for open when something came.
        let hello = stream::iter([Ok(Frame::data(Bytes::from_static(b": looking\n\n")))]);
        StreamBody::new(futures_util::StreamExt::chain(hello, pieces)).boxed_unsync()
    }

    fn response(&self, status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
        let service = self.service;
        let policy = format!(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
             connect-src 'self' http://{service} ws://{service}; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'"
        );
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_str(&policy).expect("an address is visible ASCII"),
            ),
        ];
        response.headers_mut().extend(headers);
        response
    }
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}
