//! Clients that order all the time.

use crate::enclaves::Region;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steve_sdk::{Client, Receipt};
use tokio::task::JoinSet;

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    orders: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// PCR0 of who served, once each.
    images: Mutex<Vec<Vec<u8>>>,
}

pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// What came of a load.
pub struct Outcome {
    pub orders: usize,
    pub failures: Vec<String>,
    /// Images that have served any of it.
    pub images: usize,
}

impl Load {
    /// Starts so many clients, each of which orders again when it has its answer and `pause` is over.
    /// `name` tells the orders from those of other loads.
    pub fn start(
        region: &Region,
        address: SocketAddr,
        name: &'static str,
        clients: usize,
        pause: Duration,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let mut running = JoinSet::new();
        for number in 0..clients {
            let name = format!("{name}-{number}");
            running.spawn(order(region.client(address), name, pause, shared.clone()));
        }
        Self { shared, clients: running }
    }

    pub fn orders(&self) -> usize {
        self.shared.orders.load(SeqCst)
    }

    /// Waits until so many more orders are answered.
    pub async fn more(&self, orders: usize) {
        let enough = self.orders() + orders;
        while self.orders() < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it, with every answer that is still to come.
    pub async fn end(mut self) -> Outcome {
        self.shared.over.store(true, SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap());
        let images = self.shared.images.lock().unwrap().len();
        Outcome { orders: self.orders(), failures, images }
    }
}

/// No order may be sent twice: none has an idempotency key.
async fn order(client: Client, name: String, pause: Duration, shared: Arc<Shared>) {
    let mut count = 0;
    while !shared.over.load(SeqCst) {
        let id = format!("{name}-{count}");
        count += 1;
        match client.post("/orders").body(id.clone()).send().await {
            Ok(response) if response.status() == 200 => {
                let receipt = response.extensions().get::<Receipt>().unwrap();
                let image = receipt.enclave().pcrs().iter().next().unwrap().1.as_bytes().to_vec();
                let mut images = shared.images.lock().unwrap();
                if !images.contains(&image) {
                    images.push(image);
                }
            }
            Ok(response) => {
                shared.failures.lock().unwrap().push(format!("{id}: {}", response.status()));
            }
            Err(error) => shared.failures.lock().unwrap().push(format!("{id}: {error}")),
        }
        shared.orders.fetch_add(1, SeqCst);
        tokio::time::sleep(pause).await;
    }
}
