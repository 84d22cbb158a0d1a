//! What the app remembers from one request to the next.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events that a slow reader may be behind before it misses some.
const BACKLOG: usize = 1024;

pub(crate) struct State {
    events: broadcast::Sender<String>,
    executed: Mutex<BTreeMap<String, u64>>,
    waiting: AtomicU64,
    gone: AtomicU64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            events: broadcast::Sender::new(BACKLOG),
            executed: Mutex::default(),
            waiting: AtomicU64::new(0),
            gone: AtomicU64::new(0),
        }
    }
}

impl State {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<String> {
        self.events.subscribe()
    }

    /// To how many streams the event went.
    pub(crate) fn publish(&self, event: String) -> usize {
        self.events.send(event).unwrap_or(0)
    }

    /// How often the id has been executed, this time included.
    pub(crate) fn execute(&self, id: &str) -> u64 {
        let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        let times = executed.entry(id.to_owned()).or_default();
        *times += 1;
        *times
    }

    pub(crate) fn executed(&self) -> Value {
        json!(*self.executed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn slow_clients(&self) -> Value {
        json!({ "waiting": self.waiting.load(Relaxed), "gone": self.gone.load(Relaxed) })
    }

    /// Counts a client as waiting until the result is dropped, and as gone from then on.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self.clone())
    }
}

pub(crate) struct Waiting(Arc<State>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.gone.fetch_add(1, Relaxed);
    }
}
