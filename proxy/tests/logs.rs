//! What the program logs, and what it never logs.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::program::Program;
use common::{app, eventually, outer};
use serde_json::Value;
use tokio::task::JoinSet;

const MARK: &str = "xyzzy-plaintext";

fn events(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|event| event["fields"]["message"] == message).collect()
}

#[tokio::test]
async fn debug_logs_every_stream_and_no_plaintext() {
    let options = ["--log-format=json", "--log-level=debug", "--allow-plaintext-fallback"];
    let program = Program::start(app::echo().await, &options).await;
    let client = program.client();
    let path = format!("/{MARK}?{MARK}");
    for _ in 0..2 {
        let request = client.post(&path).header(MARK, MARK).body(MARK.repeat(1000));
        let response = request.send().await.unwrap();
        assert!(response.into_body().text().await.unwrap().contains(MARK));
    }
    let broken = client.get(&format!("/{MARK}")).header("connection", MARK).send().await;
    drop(broken);
    let plain = outer::call(program.address(), "POST", &path, MARK).await;
    assert_eq!(plain.status, 200);
    drop(client);
    eventually("the last event", || {
        let said = program.said();
        events(&said, "stream ended").len() >= 2 && !events(&said, "connection ended").is_empty()
    })
    .await;
    program.terminate();
    let (status, log) = program.end().await;
    assert!(status.success(), "{log}");
    assert!(!log.contains(MARK), "{log}");

    let ended = events(&log, "stream ended");
    let fields = &ended[0]["fields"];
    assert_eq!(
        (&ended[0]["level"], &ended[0]["target"]),
        (&"DEBUG".into(), &Value::from("steve_proxy::metrics::record"))
    );
    assert_eq!(fields["outcome"], "complete");
    assert!(fields["sealed_received"].as_u64().unwrap() > 15_000, "{log}");
    assert!(fields["sealed_sent"].as_u64().unwrap() > 15_000, "{log}");
    let mut names: Vec<&str> = fields.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let all = ["code", "message", "milliseconds", "outcome", "sealed_received", "sealed_sent"];
    assert_eq!(names, all);
    // The level is for the proxy alone.
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for event in lines.filter(|event| event["level"] == "DEBUG") {
        assert!(event["target"].as_str().unwrap().starts_with("steve_proxy"), "{event}");
    }
}

#[tokio::test]
async fn info_says_what_operators_need() {
    let options = ["--log-format=json", "--max-open-streams=1", "--drain-timeout=1"];
    let program = Program::start(app::serve(|_| std::future::pending()).await, &options).await;
    let client = program.client();
    let mut asked = JoinSet::new();
    for _ in 0..2 {
        asked.spawn(drop_answer(client.get("/").send()));
    }
    eventually("the limit", || !events(&program.said(), "limit reached").is_empty()).await;
    asked.shutdown().await;
    program.terminate();
    let (_, log) = program.end().await;
    assert_eq!(events(&log, "limit reached")[0]["fields"]["option"], "--max-open-streams");
    assert_eq!(events(&log, "limit reached").len(), 1, "once in ten seconds: {log}");
    let set = events(&log, "limit set");
    assert_eq!(set.len(), 2, "{log}");
    assert_eq!(set[0]["fields"]["option"], "--max-open-streams");
    assert_eq!(
        (&set[0]["fields"]["value"], &set[0]["fields"]["default"]),
        (&"1".into(), &Value::from("4096"))
    );
    assert_eq!(set[1]["fields"]["value"], "1 s");
    assert!(events(&log, "shutting down")[0]["fields"]["streams"].is_u64(), "{log}");
    assert!(events(&log, "stream ended").is_empty(), "{log}");
}

async fn drop_answer<T, E>(answer: impl Future<Output = Result<T, E>>) {
    drop(answer.await);
}

#[tokio::test]
async fn the_app_going_away_is_logged_once() {
    let options = ["--log-format=json", "--app-probe-interval=1"];
    let program = Program::start(app::nowhere().await, &options).await;
    let client = program.client();
    for _ in 0..3 {
        drop_answer(client.get("/").send()).await;
    }
    program.terminate();
    let (_, log) = program.end().await;
    assert_eq!(events(&log, "the app is unreachable").len(), 1, "{log}");
}
