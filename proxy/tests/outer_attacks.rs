//! Attacks from outside the channel. The numbers are those of the project's list of attacks.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::BytesMut;
use common::app::RawApp;
use common::client::{Call, read};
use common::outer::{Answer, call, whole};
use common::{EVIDENCE, Fixture, STREAM, app, outer};
use http::{Request, Response};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steve_protocol::suite::Suite;
use steve_proxy::attester::{AttestError, Attester, DevAttester};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

const SUITE: Suite = Suite::X25519Aes256Gcm;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn row_09_everything_else_is_refused_and_the_app_is_not_contacted() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let requests = [
        ("GET", "/"),
        ("POST", "/login"),
        ("GET", "/.well-known/steve"),
        ("GET", "/.well-known/../.well-known/steve/health"),
        ("GET", "//.well-known/steve/health"),
        ("OPTIONS", "*"),
        ("DELETE", "/x?y"),
    ];
    for (method, path) in requests {
        let answer = call(proxy.address, method, path, "secret").await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert_eq!(answer.body, r#"{"error":"e2e_required"}"#);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.headers.len(), 3, "{:?}", answer.headers);
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn row_09_the_wire_holds_no_plaintext() {
    let app = app::serve(|_| async {
        let body = whole("MARK-response-body");
        Response::builder().header("x-field", "MARK-response-field").body(body).unwrap()
    });
    let proxy = Fixture::start(app.await).await;
    let (tap, wire) = tap(proxy.address).await;
    let session = proxy.connect(SUITE).await;
    let call = Call::post("/MARK-path?MARK-query", "MARK-request-body")
        .field("authorization", "MARK-request-field");
    let answer = call.send(tap, &session).await.unwrap();
    assert_eq!(answer.text(), "MARK-response-body");
    let wire = String::from_utf8_lossy(&wire.lock().unwrap()).into_owned();
    assert!(wire.contains("200 OK") && wire.contains(STREAM), "the tap sees the outer exchange");
    for plaintext in ["MARK", "authorization", "x-field", "steve-session"] {
        assert!(!wire.contains(plaintext), "{plaintext} on the wire");
    }
}

/// A relay that remembers the bytes of both directions.
async fn tap(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, wire) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let seen = wire.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(to).await.unwrap();
            let (client, server) = (client.into_split(), server.into_split());
            tokio::spawn(relay(client.0, server.1, seen.clone()));
            tokio::spawn(relay(server.0, client.1, seen.clone()));
        }
    });
    (address, wire)
}

async fn relay(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    seen: Arc<Mutex<Vec<u8>>>,
) {
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut chunk).await {
        seen.lock().unwrap().extend_from_slice(&chunk[..len]);
        if to.write_all(&chunk[..len]).await.is_err() {
            break;
        }
    }
    let _ = copy(&mut tokio::io::empty(), &mut to).await;
}

#[tokio::test]
async fn only_exact_public_paths_pass_in_plaintext() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::with(app.address, |c| c.public_paths = vec!["/robots.txt".into()]).await;
    for (method, path, status) in [
        ("GET", "/robots.txt?v=1", 200),
        ("HEAD", "/robots.txt", 200),
        ("POST", "/robots.txt", 403),
        ("GET", "/robots.txt/", 403),
        ("GET", "/Robots.txt", 403),
        ("GET", "/", 403),
    ] {
        let answer = call(proxy.address, method, path, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let with_body = call(proxy.address, "GET", "/robots.txt", "body").await;
    assert_eq!(with_body.status, 403);
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn row_22_in_plaintext_too_only_the_proxy_sets_its_namespace() {
    let app = app::echo().await;
    let proxy = Fixture::with(app, |c| c.allow_plaintext_fallback = true).await;
    let request = Request::post("/any")
        .header("steve-session", "forged")
        .header("steve_session", "forged")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-end", "2")
        .body(whole("data"));
    let answer = outer::collect(outer::send(proxy.address, request.unwrap()).await).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.starts_with("POST /any\n") && text.ends_with("\n\ndata"), "{text}");
    assert!(text.contains("x-end: 2\n") && text.contains("host: outer.example\n"), "{text}");
    assert!(!text.contains("forged") && !text.contains("x-hop"), "{text}");
}

/// Takes its time, and counts.
struct Slow(DevAttester, Arc<AtomicUsize>);

impl Attester for Slow {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        self.0.attest(user_data, nonce)
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        self.0.random()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

#[tokio::test]
async fn row_17_a_flood_of_challenges_costs_few_attestations_and_a_bounded_queue() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let proxy = Fixture::with_attester(
        app::nowhere().await,
        |c| c.limits.max_challenges = 64,
        |attester| Box::new(Slow(attester, counter)),
    )
    .await;
    let before = calls.load(Ordering::Relaxed);
    let flood = (0..400).map(|_| call(proxy.address, "POST", EVIDENCE, vec![7; 32]));
    let answers: Vec<Answer> = futures_util::future::join_all(flood).await;
    let count = |status: u16| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(count(200) + count(503), 400);
    assert!(count(200) >= 64, "{} answered", count(200));
    assert!(count(503) > 0, "the queue is bounded");
    let refused = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert_eq!(refused.header("retry-after"), "1");
    let spent = calls.load(Ordering::Relaxed) - before;
    assert!(spent <= 1 + count(200).div_ceil(16), "{spent} calls for {} answers", count(200));

    // Every member of a batch can appraise its evidence.
    futures_util::future::join_all((0..20).map(|_| proxy.attest())).await;
}

#[tokio::test]
async fn row_20_nothing_of_the_outer_request_reaches_the_app() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let sealed = Call::get("/inner").field("x-inner", "1").seal(&mut stream);
    let request = Request::post(format!("{STREAM}?outer=query"))
        .header("host", "outer.example")
        .header("user-agent", "outer agent")
        .header("cookie", "outer=1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("steve-session", "outer")
        .header("authorization", "outer")
        .body(whole(sealed));
    let response = outer::send(proxy.address, request.unwrap()).await;
    read(stream.response, response).await.unwrap();
    let binding = app.seen();
    let (before, rest) = binding.split_once("steve-session: ").unwrap();
    assert_eq!(before, "GET /inner HTTP/1.1\r\nx-inner: 1\r\nhost: app.example\r\n");
    assert_eq!(&rest[43..], "\r\n\r\n");
    assert!(rest[..43].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
}

#[tokio::test]
async fn row_20_the_outer_response_is_the_same_whatever_is_inside() {
    let app = app::serve(|request| async move {
        let status = request.uri().path()[1..].parse::<u16>().unwrap();
        Response::builder().status(status).header("server", "app").body(whole("x")).unwrap()
    });
    let proxy = Fixture::start(app.await).await;
    let session = proxy.connect(SUITE).await;
    let mut outer_heads = Vec::new();
    for status in [200, 404, 500] {
        let mut stream = session.open_stream().unwrap();
        let sealed = Call::get(&format!("/{status}")).seal(&mut stream);
        let response = outer::post(proxy.address, STREAM, whole(sealed)).await;
        outer_heads.push((response.status(), response.headers().clone()));
        assert_eq!(read(stream.response, response).await.unwrap().status, status);
    }
    assert_eq!(outer_heads[0], outer_heads[1]);
    assert_eq!(outer_heads[0], outer_heads[2]);
    assert!(!outer_heads[0].1.contains_key("server"));
}

/// A request head as an attacker's encoder makes it, without any rule.
fn lawless(method: &str, authority: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let put = |out: &mut Vec<u8>, part: &str| {
        out.extend_from_slice(&(part.len() as u16 | 0x4000).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    };
    let (mut head, mut section) = (Vec::new(), Vec::new());
    for part in [method, "https", authority, path] {
        put(&mut head, part);
    }
    for part in fields.iter().flat_map(|(name, value)| [name, value]) {
        put(&mut section, part);
    }
    head.extend_from_slice(&(section.len() as u16 | 0x4000).to_be_bytes());
    [head, section].concat()
}

#[tokio::test]
async fn row_21_smuggling_is_refused_inside_the_channel() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    let crlf = "/\r\nx: y";
    let heads = [
        lawless("GET", "a", crlf, &[]),
        lawless("GET / HTTP/1.1\r\nx:", "a", "/", &[]),
        lawless("GET", "a\r\nx: y", "/", &[]),
        lawless("GET", "u@a", "/", &[]),
        lawless("GET", "a", "http://b/", &[]),
        lawless("GET", "a", "/ HTTP/1.1", &[]),
        lawless("GET", "a", "/#", &[]),
        lawless("GET", "a", "/\u{7f}", &[]),
        lawless("GET", "a", "/", &[("x\r\ny", "z")]),
        lawless("GET", "a", "/", &[("x", "y\r\nz: 1")]),
        lawless("GET", "a", "/", &[("x", "y\nz: 1")]),
        lawless("GET", "a", "/", &[("x", "y\0")]),
        lawless("GET", "a", "/", &[("X", "y")]),
        lawless("GET", "a", "/", &[("x ", "y")]),
        lawless("GET", "a", "/", &[("host", "b")]),
        lawless("GET", "a", "/", &[("host", "a"), ("host", "a")]),
        lawless("POST", "a", "/", &[("content-length", "1"), ("content-length", "1")]),
        lawless("POST", "a", "/", &[("content-length", "1, 1")]),
        lawless("POST", "a", "/", &[("content-length", "-1")]),
        lawless("POST", "a", "/", &[("content-length", "+1")]),
    ];
    for (index, head) in heads.iter().enumerate() {
        let mut stream = session.open_stream().unwrap();
        let mut out = BytesMut::from(&stream.open.encode()[..]);
        stream.request.head(head, true, &mut out).unwrap();
        let response = outer::post(proxy.address, STREAM, whole(out.freeze())).await;
        let answer = read(stream.response, response).await.unwrap();
        assert_eq!(answer.bodiless_error(), (400, "malformed_request"), "head {index}");
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn row_21_framing_fields_of_the_client_do_not_reach_the_app() {
    let app = RawApp::start(OK).await;
    let proxy = Fixture::start(app.address).await;
    let session = proxy.connect(SUITE).await;
    Call::post("/", "abc")
        .field("content-length", "3")
        .field("transfer-encoding", "chunked")
        .field("connection", "upgrade, x-named")
        .field("x-named", "1")
        .field("proxy-authorization", "x")
        .field("te", "gzip")
        .send(proxy.address, &session)
        .await
        .unwrap();
    let seen = app.seen();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\ncontent-length: 3\r\nhost: app.example\r\n"));
    assert_eq!((head.lines().count(), body), (4, "abc"), "{seen}");
}

#[tokio::test]
async fn row_21_ambiguous_responses_are_refused() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx\0: y\r\n\r\n",
    ] {
        let proxy = Fixture::start(RawApp::start(response).await.address).await;
        let answer = proxy.get("/").await;
        assert_eq!(answer.error(), (502, "app_malformed_response"), "{response:?}");
    }
}

#[tokio::test]
async fn responses_lose_hop_by_hop_fields_and_the_namespace_of_the_proxy() {
    let app = RawApp::start(
        "HTTP/1.1 200 OK\r\nsteve-error: forged\r\nSteve_X: 1\r\nconnection: close, x-hop\r\n\
         x-hop: 1\r\nkeep-alive: 1\r\nx-end: 2\r\ncontent-length: 2\r\n\r\nok",
    );
    let proxy = Fixture::start(app.await.address).await;
    let answer = proxy.get("/").await;
    let names: Vec<_> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-end", "content-length"]);
}

#[tokio::test]
async fn other_resources_and_methods_are_refused() {
    let proxy = Fixture::start(app::nowhere().await).await;
    for (method, path, status, code, allow) in [
        ("GET", "/.well-known/steve/", 404, "not_found", ""),
        ("GET", "/.well-known/steve/v2/stream", 404, "not_found", ""),
        ("GET", STREAM, 405, "method_not_allowed", "POST"),
        ("PUT", EVIDENCE, 405, "method_not_allowed", "GET, HEAD, POST"),
        ("OPTIONS", STREAM, 405, "method_not_allowed", "POST"),
        ("GET", "/.well-known/steve/v3/tunnel", 426, "upgrade_required", ""),
        ("POST", EVIDENCE, 400, "malformed", ""),
        ("POST", STREAM, 400, "malformed", ""),
    ] {
        let answer = call(proxy.address, method, path, "").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (status, allow), "{path}");
        assert_eq!(answer.body, format!(r#"{{"error":"{code}"}}"#));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_only() {
    let origin = "https://app.example";
    let proxy = Fixture::with(app::nowhere().await, |c| c.cors_origins = vec![origin.into()]).await;
    let ask = async |method: &str, path: &str, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(whole(""));
        outer::collect(outer::send(proxy.address, request.unwrap()).await).await
    };
    let answer = ask("OPTIONS", STREAM, origin).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("access-control-max-age"), "7200");
    assert_eq!(answer.header("vary"), "origin");
    let answer = ask("GET", EVIDENCE, origin).await;
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    for (method, path, origin) in [
        ("OPTIONS", STREAM, "https://app.example.evil"),
        ("GET", EVIDENCE, "https://APP.example"),
        ("GET", EVIDENCE, "null"),
        ("OPTIONS", "/", origin),
        ("GET", "/", origin),
    ] {
        let answer = ask(method, path, origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {path} {origin}");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
}
