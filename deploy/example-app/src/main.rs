//! An HTTP/1.1 app that knows nothing of STEVE: examples put it into an enclave, tests drive it.
//!
//! | resource | what it does |
//! |---|---|
//! | `/` | says what arrived: method, target, fields |
//! | `/echo` | sends the body back as it comes |
//! | `/bytes/N` | N bytes: the numbers 0, 1, 2 ... as 64 bits each, little-endian |
//! | `/digest` | length and SHA-256 of the body |
//! | GET `/events` | an event stream: what is posted from now on |
//! | POST `/events` | posts the body, up to 4096 bytes, to all event streams |
//! | `/ws` | a WebSocket that sends every message back |
//! | POST `/count` | executes the id in the body, up to 64 letters or digits, and says so on standard output |
//! | GET `/count` | how often each id was executed |
//! | `/slow` | never answers |
//! | `/slow/clients` | how many wait for `/slow`, and how many have gone away |
//! | `/memory` | what memory there is, and the most that each process has used, as `/proc` says it |
//!
//! It listens on 127.0.0.1:8083, or on the addresses that are its arguments.

mod answers;
mod memory;
mod state;
mod websocket;

use answers::{Answer, Reply};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use state::State;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What executing an id takes.
const WORK: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut addresses: Vec<_> = std::env::args().skip(1).collect();
    if addresses.is_empty() {
        addresses.push("127.0.0.1:8083".into());
    }
    let state = Arc::new(State::default());
    let mut listeners = JoinSet::new();
    for address in addresses {
        let listener = TcpListener::bind(&address).await?;
        println!("example-app: listening on {}", listener.local_addr()?);
        listeners.spawn(serve(listener, state.clone()));
    }
    listeners.join_all().await;
    Ok(())
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        // A connection that broke off before it was accepted, or no more descriptors for now.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(answer(&state, request).await) }
            });
            let mut http = http1::Builder::new();
            let connection =
                http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // How a connection ends is its client's affair.
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let answer = match (request.method(), path.as_str()) {
        (_, "/") => answers::arrived(&request),
        (_, "/echo") => answers::streamed(request.into_body()),
        (_, "/digest") => answers::digest(request.into_body()).await,
        (&Method::GET, "/events") => answers::events(state.subscribe()),
        (&Method::POST, "/events") => match answers::text(request.into_body(), 4096).await {
            Some(text) => answers::json(&state.publish(text).into()),
            None => answers::refused(StatusCode::BAD_REQUEST),
        },
        (&Method::GET, "/ws") => websocket::echo(request),
        (&Method::POST, "/count") => count(state, request).await,
        (&Method::GET, "/count") => answers::json(&state.executed()),
        (_, "/slow") => {
            let _waiting = state.wait();
            std::future::pending().await
        }
        (_, "/slow/clients") => answers::json(&state.slow_clients()),
        (_, "/memory") => answers::text_of(memory::report()),
        _ => match path.strip_prefix("/bytes/").and_then(|size| size.parse().ok()) {
            Some(size) => answers::numbers(size),
            None => answers::refused(StatusCode::NOT_FOUND),
        },
    };
    answer.unwrap_or_else(|error| answers::failed(&*error))
}

async fn count(state: &State, request: Request<Incoming>) -> Reply {
    let id = answers::text(request.into_body(), 64).await;
    let Some(id) = id.filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()))
    else {
        return answers::refused(StatusCode::BAD_REQUEST);
    };
    let times = state.execute(&id);
    println!("example-app: executed {id}");
    tokio::time::sleep(WORK).await;
    answers::json(&times.into())
}
