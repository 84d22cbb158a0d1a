use super::Session;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use steve_protocol::session::SessionId;
use tokio::time::Instant;

/// Sessions whose client has not yet sent an authentic frame, oldest first.
pub(super) struct Unconfirmed {
    by_id: HashMap<SessionId, (u64, Arc<Session>)>,
    by_age: BTreeMap<u64, (Instant, SessionId)>,
    next: u64,
    capacity: usize,
    lifetime: Duration,
}

impl Unconfirmed {
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Self {
        let (by_id, by_age, next) = Default::default();
        Self { by_id, by_age, next, capacity, lifetime }
    }

    /// When the pool is full the oldest session makes room; true if one did.
    pub(super) fn insert(&mut self, session: Arc<Session>) -> bool {
        let is_full = self.by_id.len() >= self.capacity;
        while self.by_id.len() >= self.capacity {
            let Some((_, (_, oldest))) = self.by_age.pop_first() else { break };
            self.by_id.remove(&oldest);
        }
        let id = *session.id();
        self.by_age.insert(self.next, (Instant::now(), id));
        self.by_id.insert(id, (self.next, session));
        self.next += 1;
        is_full
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Arc<Session>> {
        let (age, session) = self.by_id.get(id)?;
        let (born, _) = self.by_age.get(age)?;
        let alive = born.elapsed() < self.lifetime && !session.is_over();
        alive.then(|| session.clone())
    }

    pub(super) fn remove(&mut self, id: &SessionId) {
        if let Some((age, _)) = self.by_id.remove(id) {
            self.by_age.remove(&age);
        }
    }

    pub(super) fn sweep(&mut self) {
        while let Some(entry) = self.by_age.first_entry() {
            let (born, id) = *entry.get();
            if born.elapsed() < self.lifetime {
                break;
            }
            entry.remove();
            self.by_id.remove(&id);
        }
    }
}
