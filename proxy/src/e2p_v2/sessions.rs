//! The session table.
//!
//! Sessions wait to be confirmed in a pool of their own, so that handshakes that are never finished
//! do not displace sessions in use. In both pools the one that was unused for longest makes room. The
//! scan for it is linear: every insertion has cost a call of the attester, which takes longer.

use super::messages::{Envelope, SessionId};
use super::refusal::Refusal;
use super::schedule::{Keys, Message};
use super::window::ReplayWindow;
use crate::limits::{Limit, Limits};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, interval};

/// Clients keep a session for 25 minutes and do not expect it to end before they do.
const LEAST_LIFETIME: Duration = Duration::from_secs(30 * 60);
const SWEEP: Duration = Duration::from_secs(5);
/// Sequence of the confirmation.
const CONFIRMATION: u64 = 0;

/// A session. Its keys are erased when the last request that uses it is over.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) keys: Keys,
    born: Instant,
    used: Mutex<Used>,
}

struct Used {
    window: ReplayWindow,
    last: Instant,
}

impl Session {
    pub(super) fn new(id: SessionId, keys: Keys) -> Arc<Self> {
        let born = Instant::now();
        let used = Mutex::new(Used { window: ReplayWindow::default(), last: born });
        Arc::new(Self { id, keys, born, used })
    }

    /// Opens a request in place and marks its sequence as used. Gives where the plaintext is. What
    /// does not authenticate marks nothing.
    pub(super) fn open(
        &self,
        envelope: &Envelope,
        message: &mut [u8],
    ) -> Result<Range<usize>, Refusal> {
        if !lock(&self.used).window.is_free(envelope.sequence) {
            return Err(Refusal::Replayed);
        }
        let opened = self.open_as(Message::Application, envelope, message)?;
        let mut used = lock(&self.used);
        // Another copy may have been faster.
        if !used.window.mark(envelope.sequence) {
            return Err(Refusal::Replayed);
        }
        used.last = Instant::now();
        Ok(opened)
    }

    fn open_as(
        &self,
        kind: Message,
        envelope: &Envelope,
        message: &mut [u8],
    ) -> Result<Range<usize>, Refusal> {
        let Range { start, end } = envelope.ciphertext;
        let len = self.keys.open(kind, &self.id, envelope.sequence, &mut message[start..end])?;
        Ok(start..start + len)
    }

    fn last_used(&self) -> Instant {
        lock(&self.used).last
    }
}

/// All sessions of this protocol.
pub(super) struct Sessions(Mutex<Table>);

struct Table {
    unconfirmed: Pool,
    confirmed: Pool,
}

impl Sessions {
    pub(super) fn new(limits: &Limits) -> Self {
        let unconfirmed = Pool::new(limits.max_unconfirmed, limits.unconfirmed_lifetime);
        let lifetime = limits.session_lifetime.max(LEAST_LIFETIME);
        let confirmed = Pool::new(limits.max_sessions, lifetime);
        Self(Mutex::new(Table { unconfirmed, confirmed }))
    }

    /// Takes in a session that waits for its confirmation.
    pub(super) fn insert(&self, session: Arc<Session>) {
        if lock(&self.0).unconfirmed.insert(session) {
            Limit::UnconfirmedSessions.reached();
        }
    }

    /// Opens a confirmation; of several one succeeds. One that is refused changes nothing.
    pub(super) fn confirm(
        &self,
        envelope: &Envelope,
        message: &mut [u8],
    ) -> Result<Arc<Session>, Refusal> {
        let id = &envelope.session_id;
        if envelope.sequence != CONFIRMATION {
            return Err(Refusal::Protocol);
        }
        let session = {
            let table = lock(&self.0);
            if table.confirmed.get(id).is_some() {
                return Err(Refusal::Replayed);
            }
            table.unconfirmed.get(id).ok_or(Refusal::UnknownSession)?
        };
        let opened = session.open_as(Message::Confirmation, envelope, message)?;
        if !session.keys.is_transcript_hash(&message[opened]) {
            return Err(Refusal::Protocol);
        }
        let mut table = lock(&self.0);
        // Another copy may have been faster.
        table.unconfirmed.sessions.remove(id).ok_or(Refusal::Replayed)?;
        if table.confirmed.insert(session.clone()) {
            Limit::Sessions.reached();
        }
        Ok(session)
    }

    /// The session, if it is in use.
    pub(super) fn get(&self, id: &SessionId) -> Result<Arc<Session>, Refusal> {
        let table = lock(&self.0);
        match (table.confirmed.get(id), table.unconfirmed.get(id)) {
            (Some(session), _) => Ok(session),
            (None, Some(_)) => Err(Refusal::NotConfirmed),
            (None, None) => Err(Refusal::UnknownSession),
        }
    }

    /// Sessions in use, and those that wait for their confirmation.
    pub(super) fn counts(&self) -> (usize, usize) {
        let table = lock(&self.0);
        (table.confirmed.sessions.len(), table.unconfirmed.sessions.len())
    }

    /// Drops sessions that are over, every few seconds, for ever.
    pub(super) async fn sweep(&self) {
        let mut ticks = interval(SWEEP);
        loop {
            ticks.tick().await;
            let mut table = lock(&self.0);
            table.unconfirmed.sweep();
            table.confirmed.sweep();
        }
    }
}

struct Pool {
    sessions: HashMap<SessionId, Arc<Session>>,
    capacity: usize,
    lifetime: Duration,
}

impl Pool {
    fn new(capacity: usize, lifetime: Duration) -> Self {
        Self { sessions: HashMap::new(), capacity, lifetime }
    }

    /// True if another one had to make room.
    fn insert(&mut self, session: Arc<Session>) -> bool {
        let is_full = self.sessions.len() >= self.capacity;
        if is_full {
            let oldest = self.sessions.values().min_by_key(|session| session.last_used());
            let oldest = oldest.map(|session| session.id);
            oldest.and_then(|id| self.sessions.remove(&id));
        }
        self.sessions.insert(session.id, session);
        is_full
    }

    fn get(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.get(id).filter(|session| session.born.elapsed() < self.lifetime).cloned()
    }

    fn sweep(&mut self) {
        self.sessions.retain(|_, session| session.born.elapsed() < self.lifetime);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn session(number: u8) -> Arc<Session> {
        Session::new([number; 16], Keys::derive(&[number; 32], [number; 32]))
    }

    fn refusal(sessions: &Sessions, number: u8) -> Option<Refusal> {
        sessions.get(&[number; 16]).err()
    }

    #[tokio::test(start_paused = true)]
    async fn lifetimes() {
        let limits = Limits { session_lifetime: Duration::from_secs(60), ..Limits::default() };
        let sessions = Sessions::new(&limits);
        sessions.insert(session(1));
        assert_eq!(refusal(&sessions, 1), Some(Refusal::NotConfirmed));
        advance(limits.unconfirmed_lifetime).await;
        assert_eq!(refusal(&sessions, 1), Some(Refusal::UnknownSession));
        lock(&sessions.0).confirmed.insert(session(2));
        advance(LEAST_LIFETIME - Duration::from_secs(1)).await;
        assert_eq!(refusal(&sessions, 2), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(refusal(&sessions, 2), Some(Refusal::UnknownSession));
        lock(&sessions.0).confirmed.sweep();
        assert_eq!(sessions.counts().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_unused_for_longest_makes_room() {
        let limits = Limits { max_unconfirmed: 2, ..Limits::default() };
        let sessions = Sessions::new(&limits);
        for number in 1..=3 {
            sessions.insert(session(number));
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(refusal(&sessions, 1), Some(Refusal::UnknownSession));
        assert_eq!(refusal(&sessions, 2), Some(Refusal::NotConfirmed));
        assert_eq!(sessions.counts(), (0, 2));
    }
}
