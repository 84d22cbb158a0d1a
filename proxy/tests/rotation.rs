//! Clients of the SDK while keys rotate and sessions end under them.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{EVIDENCE, Fixture, app, outer};
use http::Response;
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steve_protocol::evidence::Evidence;
use steve_protocol::key_config::KeyConfig;
use tokio::task::JoinSet;

async fn epoch(proxy: &Fixture) -> u64 {
    let answer = outer::call(proxy.address, "GET", EVIDENCE, "").await;
    let evidence = Evidence::decode(&answer.body).unwrap();
    KeyConfig::decode(evidence.key_config).unwrap().fields().epoch
}

/// Orders (POST, never repeated on a guess) and questions (GET, sent early), all the time.
#[tokio::test]
async fn clients_follow_the_rotation_without_a_failed_request() {
    let executed: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = executed.clone();
    let app = app::serve(move |request| {
        let record = record.clone();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            record.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            Response::new(outer::whole(body))
        }
    })
    .await;
    let proxy = Fixture::with(app, |c| {
        c.limits.key_rotation = Duration::from_secs(2);
        c.limits.key_overlap = Duration::from_secs(1);
        c.limits.session_lifetime = Duration::from_secs(1);
        c.limits.session_idle = Duration::from_secs(1);
    })
    .await;
    let proxy = Arc::new(proxy);
    let mut clients = JoinSet::new();
    for number in 0..6 {
        let proxy = proxy.clone();
        clients.spawn(async move {
            let client = proxy.sdk();
            let mut sent = Vec::new();
            while epoch(&proxy).await < 5 {
                let order = format!("{number}.{}", sent.len());
                let response = client.post("/order").body(order.clone()).send().await.unwrap();
                assert_eq!(response.into_body().text().await.unwrap(), order);
                client.get("/question").early(true).send().await.unwrap();
                sent.push(order);
                // Now and then long enough for the session to end meanwhile.
                let pause = if sent.len() % 20 == 0 { 1200 } else { 20 };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            sent
        });
    }
    let mut sent: Vec<String> = clients.join_all().await.concat();
    let mut executed = executed.lock().unwrap().clone();
    executed.retain(|order| !order.is_empty());
    sent.sort();
    executed.sort();
    assert!(sent.len() > 100, "{}", sent.len());
    assert_eq!(sent, executed, "every order exactly once");
}
