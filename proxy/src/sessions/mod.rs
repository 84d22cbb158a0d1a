//! The session table.
//!
//! A session whose client has not yet sent an authentic frame waits in a small pool of its own,
//! where the oldest makes room: anonymous handshakes cannot displace a session in use (row 19).
//!
//! When the table of sessions in use is full, one that has no open stream makes room for one whose
//! client has just sent an authentic request. To be displaced costs a client no more than another
//! handshake, because what it sends on the old session is refused as unknown and was not executed; to
//! refuse newcomers would let anybody who fills the table once keep everybody out.

mod session;
mod unconfirmed;

pub(crate) use session::{Session, StreamPermit};

use crate::limits::{Limit, Limits};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steve_protocol::session::{ServerSession, SessionId};
use tokio::time::interval;
use unconfirmed::Unconfirmed;

const SHARDS: usize = 16;
const SWEEP: Duration = Duration::from_secs(5);
/// How often shutdown looks whether there are any.
const OVER: Duration = Duration::from_millis(500);

type Shard = HashMap<SessionId, Arc<Session>>;

/// All sessions of the proxy.
pub(crate) struct Sessions {
    confirmed: [Mutex<Shard>; SHARDS],
    unconfirmed: Mutex<Unconfirmed>,
    capacity: usize,
}

/// The table is full of sessions with open streams.
pub(crate) struct TableFull;

impl Sessions {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            confirmed: Default::default(),
            unconfirmed: Mutex::new(Unconfirmed::new(
                limits.max_unconfirmed,
                limits.unconfirmed_lifetime,
            )),
            capacity: limits.max_sessions,
        }
    }

    /// Takes in the session of a handshake that was just answered.
    pub(crate) fn insert(&self, session: Arc<ServerSession>) -> Arc<Session> {
        let session = Arc::new(Session::new(session));
        if self.lock_unconfirmed().insert(session.clone()) {
            Limit::UnconfirmedSessions.reached();
        }
        session
    }

    /// The session, if it is to be served.
    pub(crate) fn get(&self, id: &SessionId) -> Option<Arc<Session>> {
        if let Some(session) = self.lock_unconfirmed().get(id) {
            return Some(session);
        }
        let mut shard = self.shard(id);
        let session = shard.get(id)?;
        if session.is_over() {
            shard.remove(id);
            return None;
        }
        Some(session.clone())
    }

    /// To be called when a first frame of `session` has authenticated and is to be dispatched.
    pub(crate) fn confirm(&self, session: &Arc<Session>) -> Result<(), TableFull> {
        if session.is_confirmed() {
            return Ok(());
        }
        if self.is_full() {
            Limit::Sessions.reached();
            if !self.make_room(session.id()) {
                return Err(TableFull);
            }
        }
        self.shard(session.id()).insert(*session.id(), session.clone());
        session.set_confirmed();
        self.lock_unconfirmed().remove(session.id());
        Ok(())
    }

    /// Drops a session without open streams: the one that was idle for longest of the first shard
    /// that has any. One shard and not all, to keep the search short under a flood.
    fn make_room(&self, newcomer: &SessionId) -> bool {
        let start = usize::from(newcomer[0]) % SHARDS;
        let (before, from) = self.confirmed.split_at(start);
        from.iter().chain(before).any(|shard| {
            let mut shard = lock(shard);
            let idle = shard.values().filter(|session| !session.has_open_streams());
            let oldest = idle.min_by_key(|session| session.last_used()).map(|one| *one.id());
            oldest.is_some_and(|id| shard.remove(&id).is_some())
        })
    }

    /// True when there is no room for another session in use.
    fn is_full(&self) -> bool {
        self.confirmed_count() >= self.capacity
    }

    fn confirmed_count(&self) -> usize {
        self.confirmed.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Sessions in use, and those whose client has not yet sent an authentic frame.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.confirmed_count(), self.lock_unconfirmed().len())
    }

    /// Returns when no session is left.
    pub(crate) async fn are_over(&self) {
        let mut ticks = interval(OVER);
        while self.counts() != (0, 0) {
            ticks.tick().await;
        }
    }

    /// Drops sessions that are over, every few seconds, for ever.
    pub(crate) async fn sweep(&self) {
        let mut ticks = interval(SWEEP);
        loop {
            ticks.tick().await;
            self.lock_unconfirmed().sweep();
            for shard in &self.confirmed {
                lock(shard).retain(|_, session| !session.is_over());
            }
        }
    }

    fn shard(&self, id: &SessionId) -> MutexGuard<'_, Shard> {
        lock(&self.confirmed[usize::from(id[0]) % SHARDS])
    }

    fn lock_unconfirmed(&self) -> MutexGuard<'_, Unconfirmed> {
        lock(&self.unconfirmed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
