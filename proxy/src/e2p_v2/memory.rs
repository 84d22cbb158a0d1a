//! The memory that is set apart for messages, of which every one is held whole, and what one peer may
//! have of it.

use super::MAX_BODY;
use crate::limits::{Budget, Share};
use tokio::sync::OwnedSemaphorePermit;

/// Part of the memory for connections and streams that is set apart.
const PART: usize = 4;
/// Eighths of that which one session, and one connection, may have.
const PEER: usize = 5;
/// Eighths which all messages that have not named a session in use may have.
const UNNAMED: usize = 1;
/// The most that one exchange takes in bytes: its request, which the app may not have read to the end,
/// and its response in two places while it moves to a larger one.
const LARGEST_EXCHANGE: usize = 3 * MAX_BODY;

/// All of it.
pub(super) struct Memory {
    all: Share,
    unnamed: Share,
    bytes: usize,
    peer_bytes: usize,
    _set_apart: Option<OwnedSemaphorePermit>,
}

/// What a message may be held in: memory of all, counted for its peers too.
#[derive(Clone)]
pub(super) struct Place {
    all: Share,
    peers: Vec<Share>,
}

/// Memory that is taken, until it is dropped.
pub(super) struct Room {
    _all: OwnedSemaphorePermit,
    _peers: Vec<OwnedSemaphorePermit>,
}

impl Memory {
    /// To be called before anything else takes of the budget.
    pub(super) fn new(budget: &Budget) -> Self {
        let bytes = budget.usage().1 / PART;
        let peer_bytes = bytes / 8 * PEER;
        if peer_bytes < LARGEST_EXCHANGE {
            tracing::warn!(
                needed = LARGEST_EXCHANGE,
                memory = peer_bytes,
                "the memory of a session of E2P v2 is less than its largest exchange may take: \
                 raise --memory-budget if such exchanges are refused"
            );
        }
        let set_apart = budget.share().try_take(bytes);
        let (all, unnamed) = (Share::new(bytes), Share::new(bytes / 8 * UNNAMED));
        Self { all, unnamed, bytes, peer_bytes, _set_apart: set_apart }
    }

    /// Bytes for all messages.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// What a new session or connection may have.
    pub(super) fn of_peer(&self) -> Share {
        Share::new(self.peer_bytes)
    }

    /// For messages of this peer that have not named a session in use: however many there are, they
    /// take little from those that have.
    pub(super) fn unnamed(&self, peer: &Share) -> Place {
        self.place(peer).and(&self.unnamed)
    }

    /// For messages of this peer.
    pub(super) fn place(&self, peer: &Share) -> Place {
        Place { all: self.all.clone(), peers: vec![peer.clone()] }
    }
}

impl Place {
    /// The same, counted for one more peer.
    pub(super) fn and(&self, peer: &Share) -> Self {
        let peers = self.peers.iter().chain([peer]).cloned().collect();
        Self { all: self.all.clone(), peers }
    }

    /// So much of it, if there is.
    pub(super) fn take(&self, bytes: usize) -> Option<Room> {
        let peers = self.peers.iter().map(|peer| peer.try_take(bytes));
        let peers = peers.collect::<Option<_>>()?;
        Some(Room { _all: self.all.take(bytes)?, _peers: peers })
    }

    #[cfg(test)]
    pub(super) fn of(all: &Share) -> Self {
        Self { all: all.clone(), peers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn one_peer_cannot_take_all_and_the_default_has_room_for_the_largest() {
        let memory = Memory::new(&Budget::new(&Limits::default(), true));
        let (large, all) = (memory.bytes / 2, memory.bytes);
        assert!(memory.peer_bytes >= LARGEST_EXCHANGE && memory.peer_bytes < all);
        let (session, other) = (memory.of_peer(), memory.of_peer());
        let of_session = || memory.place(&memory.of_peer()).and(&session);
        let held = of_session().take(large).unwrap();
        assert!(of_session().take(large / 2).is_none(), "also by another connection");
        assert!(memory.place(&other).take(large / 2).is_some());
        drop(held);
        let _held = memory.place(&other).take(large).unwrap();
        assert!(memory.place(&other).and(&session).take(large / 2).is_none());
        assert!(of_session().take(large / 2).is_some());
    }

    #[test]
    fn who_names_no_session_takes_little() {
        let memory = Memory::new(&Budget::new(&Limits::default(), true));
        let anonymous = || memory.unnamed(&memory.of_peer()).take(4096);
        let taken: Vec<_> = std::iter::from_fn(anonymous).collect();
        assert!(taken.len() * 4096 <= memory.bytes / 8);
        assert!(memory.place(&memory.of_peer()).take(memory.bytes / 2).is_some());
    }
}
