//! What the metrics say after a known sequence of requests, and what they never say.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::BytesMut;
use common::client::{Call, Failure};
use common::early::{deliver, early};
use common::tunnel::Tunnel;
use common::{EVIDENCE, Fixture, STREAM, app, eventually, outer};
use http::StatusCode;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use steve_protocol::suite::Suite;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SUITE: Suite = Suite::X25519Aes256Gcm;
const MARK: &str = "xyzzy-plaintext";

fn any_port(config: &mut steve_proxy::Config) {
    config.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
}

async fn scrape(proxy: &Fixture) -> String {
    let address = proxy.running.metrics_addr().unwrap();
    let answer = outer::call(address, "GET", "/metrics", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The value of a series, written exactly as in the answer; 0 if it is not there.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn the_values_follow_the_requests_and_row_24_their_labels_tell_no_more_than_answers() {
    let proxy = Fixture::with(app::echo().await, |c| {
        any_port(c);
        c.limits.max_streams = 1;
    })
    .await;
    let before = scrape(&proxy).await;
    assert_eq!(value(&before, "steve_ready"), 1.0);
    assert_eq!(value(&before, "steve_streams_total"), 0.0);
    assert!(before.contains("steve_build_info{version=\""), "{before}");
    assert!(value(&before, "steve_memory_budget_bytes") > 1e8);

    let enclave = proxy.attest().await;
    let session = proxy.handshake(&enclave, SUITE).await;
    let _unused = proxy.handshake(&enclave, SUITE).await;
    let secret = format!("/{MARK}");
    Call::get(&secret).send(proxy.address, &session).await.unwrap();
    let post = Call::post(&secret, format!("{MARK}{}", "x".repeat(10_000))).field(MARK, MARK);
    post.send(proxy.address, &session).await.unwrap();
    let refused = Call::new("CONNECT", "/").send(proxy.address, &session).await.unwrap();
    assert_eq!(refused.error(), (501, "not_implemented"));

    // An unknown session, an unknown key and bytes that do not open are one thing outside.
    let gone = Fixture::start(app::nowhere().await).await;
    let stranger = gone.connect(SUITE).await;
    let unknown = Call::get(&secret).send(proxy.address, &stranger).await.unwrap_err();
    assert_eq!(unknown, Failure::Outer(StatusCode::UNPROCESSABLE_ENTITY));
    let mut broken = Call::get("/").seal(&mut session.open_stream().unwrap()).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(outer::call(proxy.address, "POST", STREAM, broken).await.status, 422);
    let path = format!("/{MARK}?{MARK}");
    assert_eq!(outer::call(proxy.address, "GET", &path, "").await.status, 403);
    assert_eq!(outer::call(proxy.address, "DELETE", EVIDENCE, "").await.status, 405);

    let text = becomes(&proxy, &["steve_connections_open"], 0.0).await;
    for (series, expected) in [
        ("steve_connections_open", 0.0),
        ("steve_streams_open", 0.0),
        ("steve_streams_total", 3.0),
        ("steve_streams_ended_total{outcome=\"complete\",code=\"\"}", 2.0),
        ("steve_streams_ended_total{outcome=\"answered\",code=\"not_implemented\"}", 1.0),
        ("steve_handshakes_total{result=\"accepted\"}", 2.0),
        ("steve_sessions{state=\"confirmed\"}", 1.0),
        ("steve_sessions{state=\"unconfirmed\"}", 1.0),
        ("steve_refusals_total{code=\"unrecognized\"}", 2.0),
        ("steve_refusals_total{code=\"e2e_required\"}", 1.0),
        ("steve_refusals_total{code=\"method_not_allowed\"}", 1.0),
        ("steve_evidence_calls_total{result=\"ok\"}", 2.0),
        ("steve_evidence_calls_total{result=\"failed\"}", 0.0),
        ("steve_evidence_call_seconds_count", 2.0),
        ("steve_challenges_answered_total", 1.0),
        ("steve_evidence_batch_sum", 1.0),
        ("steve_app_response_seconds_count", 2.0),
        ("steve_tunnels_open", 0.0),
        ("steve_memory_budget_used_bytes", 0.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series} in\n{text}");
    }
    let received = value(&text, "steve_sealed_received_bytes_total");
    assert!((10_000.0..12_000.0).contains(&received), "{received}");
    let sent = value(&text, "steve_sealed_sent_bytes_total");
    assert!((10_000.0..13_000.0).contains(&sent), "{sent}");
    assert!(!text.contains(MARK) && !text.contains("127.0.0.1"), "{text}");
    let families = text.lines().filter(|line| line.starts_with("steve_refusals_total{")).count();
    assert_eq!(families, 3, "{text}");
}

#[tokio::test]
async fn early_requests_are_counted_by_their_answer_and_row_24_copies_are_not_told_apart() {
    let proxy = Fixture::with(app::echo().await, |c| {
        any_port(c);
        c.limits.max_early_requests = 1;
    })
    .await;
    let enclave = proxy.attest().await;
    let [first, second] = [early(&enclave, &Call::get("/")), early(&enclave, &Call::get("/"))];
    for (wire, status) in
        [(&first, 200), (&second, 200), (&second, 200), (&first, 422), (&first, 422)]
    {
        assert_eq!(deliver(&proxy, &wire.wire).await.status, status);
    }
    let text = scrape(&proxy).await;
    for (series, expected) in [
        ("steve_early_requests_total{answer=\"accepted\"}", 1.0),
        ("steve_early_requests_total{answer=\"rejected\"}", 2.0),
        ("steve_refusals_total{code=\"unrecognized\"}", 2.0),
        ("steve_sessions{state=\"confirmed\"}", 0.0),
        ("steve_sessions{state=\"unconfirmed\"}", 3.0),
        ("steve_streams_total", 1.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series} in\n{text}");
    }
    assert_eq!(text.matches("steve_early_requests_total{").count(), 2, "{text}");
}

#[tokio::test]
async fn open_streams_and_their_budget_show() {
    let app = app::serve(|_| std::future::pending());
    let proxy = Fixture::with(app.await, any_port).await;
    let session = proxy.connect(SUITE).await;
    let mut stream = session.open_stream().unwrap();
    let body = outer::whole(Call::get("/").seal(&mut stream));
    let open = outer::post(proxy.address, STREAM, body).await;
    let text = scrape(&proxy).await;
    let used = "steve_memory_budget_used_bytes";
    let before = value(&text, used);
    assert_eq!(value(&text, "steve_streams_open"), 1.0);
    assert_eq!(value(&text, "steve_connections_open"), 1.0);
    drop(open);
    let text = becomes(&proxy, &["steve_streams_open"], 0.0).await;
    let ended = value(&text, "steve_streams_ended_total{outcome=\"abandoned\",code=\"\"}");
    assert_eq!(ended, 1.0, "{text}");
    assert!(before - value(&text, used) > 500_000.0, "{text}");
}

#[tokio::test]
async fn a_tunnel_is_a_connection_with_a_stream() {
    let app = app::serve(|_| std::future::pending());
    let proxy = Fixture::with(app.await, any_port).await;
    let session = proxy.connect(SUITE).await;
    let mut tunnel = Tunnel::open(proxy.address, &session).await;
    let mut sealed = BytesMut::new();
    tunnel.stream.request.head(&Call::get("/").head(), true, &mut sealed).unwrap();
    tunnel.frame(sealed.freeze()).await;
    let series = ["steve_tunnels_open", "steve_connections_open", "steve_streams_open"];
    becomes(&proxy, &series, 1.0).await;
    drop(tunnel);
    becomes(&proxy, &series, 0.0).await;
    // One that is refused has sent a close frame with the code.
    let stranger = Fixture::start(app::nowhere().await).await.connect(SUITE).await;
    let _refused = Tunnel::open(proxy.address, &stranger).await;
    becomes(&proxy, &["steve_refusals_total{code=\"unrecognized\"}"], 1.0).await;
}

/// Waits until all of these series have the value.
async fn becomes(proxy: &Fixture, series: &[&str], expected: f64) -> String {
    let mut text = String::new();
    for _ in 0..500 {
        text = scrape(proxy).await;
        if series.iter().all(|one| value(&text, one) == expected) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{series:?} did not become {expected}:\n{text}");
}

#[tokio::test]
async fn nothing_but_get_metrics_is_served_and_connections_end() {
    let proxy = Fixture::with(app::echo().await, any_port).await;
    let address = proxy.running.metrics_addr().unwrap();
    assert_eq!(outer::call(address, "GET", "/", "").await.status, 404);
    assert_eq!(outer::call(address, "GET", EVIDENCE, "").await.status, 404);
    let refused = outer::call(address, "POST", "/metrics", "x").await;
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "GET"));
    // Nor are metrics where everything else is.
    assert_eq!(outer::call(proxy.address, "GET", "/metrics", "").await.status, 403);
    // One request for each connection.
    let twice = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    let answer = outer::raw(address, twice.as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    // Silent connections hold their places for a short time only.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = tokio::time::timeout(Duration::from_secs(15), scrape(&proxy)).await;
    assert!(answer.unwrap().ends_with("# EOF\n"));
    for mut io in silent {
        let mut rest = Vec::new();
        let _ = io.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn metrics_are_off_unless_asked_for_and_clients_see_whether_they_are() {
    let off = Fixture::start(app::nowhere().await).await;
    assert_eq!(off.running.metrics_addr(), None);
    let on = Fixture::with(app::nowhere().await, any_port).await;
    for (proxy, expected) in [(&off, false), (&on, true)] {
        let enclave = proxy.attest().await;
        let shown: serde_json::Value = serde_json::from_slice(enclave.configuration()).unwrap();
        assert_eq!(shown["metrics"], expected);
    }
}

/// A client that begins a request for metrics and does not go on does not stop others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_scrape_is_cut_off() {
    let proxy = Fixture::with(app::nowhere().await, any_port).await;
    let address = proxy.running.metrics_addr().unwrap();
    let cut = std::thread::spawn(move || {
        let mut io = std::net::TcpStream::connect(address).unwrap();
        io.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = io.read_to_end(&mut answer);
    });
    eventually("the end of the slow connection", || cut.is_finished()).await;
}
