//! `deploy/grafana/dashboard.json` shows what proxy and relay export, and nothing else.
#![cfg(all(feature = "dangerous-dev-attester", feature = "e2p-v2"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::client::Call;
use common::early::{deliver, early};
use common::{Fixture, app, outer};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use steve_protocol::suite::Suite;
use steve_proxy::relay::{self, RelayConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const DASHBOARD: &str = include_str!("../../deploy/grafana/dashboard.json");

/// Families that are exported and not shown, and why.
const LEFT_OUT: [(&str, &str); 1] =
    [("steve_challenges_answered", "the same as steve_evidence_batch_sum")];

#[tokio::test]
async fn every_metric_of_the_dashboard_exists_and_every_other_is_left_out_for_a_reason() {
    let exported = proxy().await + &relay().await;
    let mut families = BTreeSet::new();
    let mut series = BTreeSet::new();
    for line in exported.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            families.insert(family.split(' ').next().unwrap());
        } else if !line.starts_with('#') {
            series.insert(line.split(['{', ' ']).next().unwrap());
        }
    }
    let dashboard = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = String::new();
    collect(&dashboard, &mut queries);
    let shown: BTreeSet<&str> = names(&queries).collect();
    let unknown: Vec<_> = shown.difference(&series).collect();
    assert!(unknown.is_empty(), "on the dashboard and not exported: {unknown:?}");

    let of = |name: &str, family: &str| {
        let suffixes = ["", "_total", "_info", "_bucket", "_sum", "_count"];
        name.strip_prefix(family).is_some_and(|suffix| suffixes.contains(&suffix))
    };
    let is_shown = |family: &str| shown.iter().any(|name| of(name, family));
    for (family, why) in LEFT_OUT {
        assert!(families.contains(family) && !is_shown(family), "{family} is left out: {why}");
    }
    let left_out: BTreeSet<&str> = LEFT_OUT.map(|(family, _)| family).into();
    let forgotten: Vec<_> =
        families.iter().filter(|family| !is_shown(family) && !left_out.contains(*family)).collect();
    assert!(forgotten.is_empty(), "exported and not on the dashboard: {forgotten:?}");
}

/// The metrics of a proxy to which everything has happened that is counted by label: a family without
/// a label value is not exported.
async fn proxy() -> String {
    let proxy = Fixture::with(app::echo().await, |config| {
        config.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.e2p_v2 = true;
    })
    .await;
    let enclave = proxy.attest().await;
    let sent = deliver(&proxy, &early(&enclave, &Call::get("/")).wire).await;
    assert_eq!(sent.status, 200);
    let session = proxy.handshake(&enclave, Suite::X25519Aes256Gcm).await;
    Call::get("/").send(proxy.address, &session).await.unwrap();
    assert_eq!(outer::call(proxy.address, "GET", "/unencrypted", "").await.status, 403);
    assert_eq!(outer::call(proxy.address, "POST", "/e2p/v2/session", "x").await.status, 400);
    scrape(proxy.running.metrics_addr().unwrap(), "steve_streams_ended_total{").await
}

/// The metrics of a relay that has lost a connection.
async fn relay() -> String {
    let nobody = tempfile::tempdir().unwrap().path().join("nobody");
    let route = format!("127.0.0.1:0=unix:{}:8080", nobody.display());
    let running = relay::start(RelayConfig {
        routes: vec![route.parse().unwrap()],
        metrics_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..RelayConfig::default()
    })
    .unwrap();
    let mut client = TcpStream::connect(running.local_addrs()[0]).await.unwrap();
    let end = client.read(&mut [0]).await;
    assert!(!matches!(end, Ok(1..)), "{end:?}");
    scrape(running.metrics_addr().unwrap(), "steve_relay_connections_ended_total{").await
}

/// The metrics, once an end that is counted last is among them.
async fn scrape(address: SocketAddr, end: &str) -> String {
    let mut text = String::new();
    for _ in 0..500 {
        let answer = outer::call(address, "GET", "/metrics", "").await;
        assert_eq!(answer.status, 200);
        text = String::from_utf8(answer.body.to_vec()).unwrap();
        if text.contains(end) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {end} in\n{text}");
}

/// All queries in the dashboard, one a line.
fn collect(value: &Value, queries: &mut String) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let (true, Value::String(text)) = (["expr", "query"].contains(&&**name), member)
                {
                    *queries += text;
                    *queries += "\n";
                }
                collect(member, queries);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
        _ => {}
    }
}

/// The names of this project's metrics in queries.
fn names(queries: &str) -> impl Iterator<Item = &str> {
    let words = queries.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("steve_"))
}
