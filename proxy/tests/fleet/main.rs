//! More than one enclave behind a real HAProxy: `./test fleet` runs these.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../common/mod.rs"]
mod common;
mod enclaves;
mod haproxy;
mod load;
mod shop;

use enclaves::{Image, Region, route_is_there, routes_are};
use futures_util::{SinkExt, StreamExt};
use haproxy::HaProxy;
use load::Load;
use shop::{Orders, Shop};
use std::time::{Duration, Instant};
use steve_sdk::{Client, Error, Receipt};
use tokio_tungstenite::tungstenite::Message;

const FIRST: &str = "enclave1";
const SECOND: &str = "enclave2";

/// The session that served a GET.
async fn get(client: &Client) -> Result<String, Error> {
    let response = client.get("/").send().await?;
    Ok(response.extensions().get::<Receipt>().unwrap().session_id())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy"]
async fn a_rolling_upgrade_loses_no_order_and_executes_none_twice() {
    let (region, orders) = (Region::new(), Orders::default());
    let shop = Shop::open(&orders).await;
    let old = region.start(0, Image::Old, &shop).await;
    let haproxy = HaProxy::start(region.addresses).await;
    routes_are(haproxy.address, &[FIRST]).await;

    let load = Load::start(&region, haproxy.address, "often", 12, Duration::from_millis(2));
    // These come back when the old enclave tells its clients to leave.
    let seldom = Load::start(&region, haproxy.address, "seldom", 12, Duration::from_millis(2500));
    load.more(100).await;
    let new = region.start(1, Image::New, &shop).await;
    route_is_there(haproxy.address, SECOND).await;
    load.more(100).await;
    let stopped = tokio::spawn(old.shutdown());
    routes_are(haproxy.address, &[SECOND]).await;
    stopped.await.unwrap();
    load.more(100).await;
    let outcomes = [load.end().await, seldom.end().await];
    drop(new);

    for outcome in &outcomes {
        assert_eq!(outcome.failures, [""; 0]);
        assert_eq!(outcome.images, 2, "both images have served");
    }
    let orders = orders.lock().unwrap();
    let sum: usize = outcomes.iter().map(|outcome| outcome.orders).sum();
    assert_eq!(orders.len(), sum, "every order was executed");
    assert!(orders.values().all(|count| *count == 1), "and none twice");
    println!("{sum} orders during the upgrade");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy"]
async fn sessions_and_tunnels_stick() {
    let (region, orders) = (Region::new(), Orders::default());
    let shop = Shop::open(&orders).await;
    let enclaves =
        [region.start(0, Image::Old, &shop).await, region.start(1, Image::New, &shop).await];
    let haproxy = HaProxy::start(region.addresses).await;
    routes_are(haproxy.address, &[FIRST, SECOND]).await;
    for _ in 0..6 {
        let client = region.client(haproxy.address);
        let session = get(&client).await.unwrap();
        for _ in 0..6 {
            assert_eq!(get(&client).await.unwrap(), session);
        }
        let (mut socket, response) = client.websocket("/chat").await.unwrap();
        assert_eq!(response.extensions().get::<Receipt>().unwrap().session_id(), session);
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        socket.close(None).await.unwrap();
    }
    drop(enclaves);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy"]
async fn a_client_whose_enclave_is_gone_recovers() {
    let (region, orders) = (Region::new(), Orders::default());
    let shop = Shop::open(&orders).await;
    let first = region.start(0, Image::Old, &shop).await;
    let haproxy = HaProxy::start(region.addresses).await;
    routes_are(haproxy.address, &[FIRST]).await;
    let clients: [Client; 2] = std::array::from_fn(|_| region.client(haproxy.address));
    let mut sessions = Vec::new();
    for client in &clients {
        sessions.push(get(client).await.unwrap());
    }
    let second = region.start(1, Image::New, &shop).await;
    routes_are(haproxy.address, &[FIRST, SECOND]).await;
    // As when the enclave's machine fails: its connections break, and there are no others.
    drop(first);

    assert_ne!(get(&clients[0]).await.unwrap(), sessions[0], "a safe request is repeated");
    let lost = clients[1].post("/orders").body("lost").send().await.unwrap_err();
    let Error::Outer { status, .. } = lost else { panic!("{lost}") };
    assert_eq!(status, 422, "the other enclave does not know the session");
    assert!(orders.lock().unwrap().is_empty(), "it was not executed");
    clients[1].post("/orders").body("next").send().await.unwrap();
    assert_eq!(orders.lock().unwrap().get("next"), Some(&1));
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy"]
async fn an_enclave_that_is_not_ready_keeps_its_clients_and_gets_no_new_ones() {
    let (region, orders) = (Region::new(), Orders::default());
    let shops = [Shop::open(&orders).await, Shop::open(&orders).await];
    let first = region.start(0, Image::Old, &shops[0]).await;
    let haproxy = HaProxy::start(region.addresses).await;
    routes_are(haproxy.address, &[FIRST]).await;
    let client = region.client(haproxy.address);
    let session = get(&client).await.unwrap();
    let second = region.start(1, Image::New, &shops[1]).await;
    routes_are(haproxy.address, &[FIRST, SECOND]).await;
    shops[0].close();
    routes_are(haproxy.address, &[SECOND]).await;
    let response = client.get("/").send().await.unwrap();
    assert_eq!(response.extensions().get::<Receipt>().unwrap().session_id(), session);
    assert_eq!(response.headers()["steve-error"], "app_unreachable", "it still asks the first one");
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy"]
async fn the_load_balancer_can_drain_an_enclave_by_itself() {
    let (region, orders) = (Region::new(), Orders::default());
    let shop = Shop::open(&orders).await;
    let first = region.start(0, Image::Old, &shop).await;
    let haproxy = HaProxy::start(region.addresses).await;
    routes_are(haproxy.address, &[FIRST]).await;
    let client = region.client(haproxy.address);
    let session = get(&client).await.unwrap();
    let second = region.start(1, Image::New, &shop).await;
    routes_are(haproxy.address, &[FIRST, SECOND]).await;
    haproxy.command("set server enclaves/enclave1 state drain");
    routes_are(haproxy.address, &[SECOND]).await;
    assert_eq!(get(&client).await.unwrap(), session, "it stays as long as its evidence holds");
    client.verify().await.unwrap();
    haproxy.command("set server enclaves/enclave1 state ready");
    routes_are(haproxy.address, &[FIRST, SECOND]).await;
    drop((first, second));
}

/// Figures only: enclaves, load balancer, app and clients share this machine.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy"]
async fn throughput() {
    let (region, orders) = (Region::new(), Orders::default());
    let shop = Shop::open(&orders).await;
    let first = region.start(0, Image::Old, &shop).await;
    let haproxy = HaProxy::start(region.addresses).await;
    routes_are(haproxy.address, &[FIRST]).await;
    let one = rate(&region, &haproxy).await;
    let second = region.start(1, Image::New, &shop).await;
    routes_are(haproxy.address, &[FIRST, SECOND]).await;
    let two = rate(&region, &haproxy).await;
    println!(
        "orders a second: {one:.0} with one enclave, {two:.0} with two: {:.2} times",
        two / one
    );
    drop((first, second));
}

async fn rate(region: &Region, haproxy: &HaProxy) -> f64 {
    let load = Load::start(region, haproxy.address, "rate", 16, Duration::ZERO);
    load.more(100).await;
    let (began, before) = (Instant::now(), load.orders());
    load.more(500).await;
    let rate = (load.orders() - before) as f64 / began.elapsed().as_secs_f64();
    assert_eq!(load.end().await.failures, [""; 0]);
    rate
}
