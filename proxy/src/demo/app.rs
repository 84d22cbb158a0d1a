//! The app of the demo: plain HTTP, and not a word about encryption in it.

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

const GREETING: &str = "Hello from inside the enclave. The app speaks plain HTTP on 8083.\n";
const STORY: &str = "Each of these words leaves the app by itself and is encrypted by itself, \
                     and the host in between learns nothing but their lengths.";
const MAX_QUESTION: usize = 64 * 1024;
const WORD_EVERY: Duration = Duration::from_millis(60);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until the process ends; gives the address.
pub(super) async fn start(address: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that goes away is no event for a demo.
                let _ = server.serve_connection(TokioIo::new(socket), service_fn(answer)).await;
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => text(StatusCode::OK, GREETING.into()),
        (&Method::POST, "/chat") => chat(request).await,
        (&Method::POST, "/reply") => reply(request).await,
        (&Method::GET, "/stream") => word_by_word(STORY.into()),
        (_, path) => {
            let hint = "The demo app has GET /, POST /chat, POST /reply and GET /stream.";
            text(StatusCode::NOT_FOUND, format!("Nothing at {path}. {hint}\n"))
        }
    })
}

async fn chat(request: Request<Incoming>) -> Response<Body> {
    let question = match question(request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let question: serde_json::Value = match serde_json::from_slice(&question) {
        Ok(question) => question,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("Not JSON: {error}\n")),
    };
    let answer =
        serde_json::json!({ "answer": "Only you and the enclave know this.", "to": question });
    let mut response = text(StatusCode::OK, format!("{answer}\n"));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// What the page of the demo talks to.
async fn reply(request: Request<Incoming>) -> Response<Body> {
    let question = match question(request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let question = String::from_utf8_lossy(&question);
    word_by_word(format!(
        "You wrote “{question}”. I am the app in the enclave, and I speak plain HTTP. Each word of \
         this answer is encrypted by itself as soon as I have written it. The host in between sees \
         when the words come and how long they are, and nothing else of them."
    ))
}

async fn question(request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    match Limited::new(request.into_body(), MAX_QUESTION).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(text(StatusCode::PAYLOAD_TOO_LARGE, "At most 64 KiB, please.\n".into())),
    }
}

fn word_by_word(text: String) -> Response<Body> {
    let words = stream::unfold(Bytes::from(text), |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let space = rest.iter().position(|byte| *byte == b' ');
        let word = rest.split_to(space.map_or(rest.len(), |at| at + 1));
        tokio::time::sleep(WORD_EVERY).await;
        Some((Ok(Frame::data(word)), rest))
    });
    let mut response = Response::new(StreamBody::new(words).boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}
