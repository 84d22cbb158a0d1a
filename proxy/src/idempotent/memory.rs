use super::recording::{RecordedBody, Recording, Writer};
use super::{KeyError, KeyHash, RequestHash};
use crate::limits::{Limit, Share};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// The keys of all requests that this process has executed, over all sessions and generations of
/// enclave keys. A response may be forgotten, a key never is.
pub(crate) struct Memory {
    capacity: usize,
    /// Largest response that is kept, in bytes.
    pub(super) max_response: usize,
    /// For responses.
    space: Share,
    entries: Mutex<Entries>,
}

struct Entries {
    by_key: HashMap<KeyHash, Entry>,
    /// Those whose response can make room for others, oldest first.
    complete: VecDeque<KeyHash>,
}

struct Entry {
    request: RequestHash,
    /// None when the response is not kept.
    recording: Option<Arc<Recording>>,
}

/// What becomes of a request with a key.
pub(super) enum Begun {
    /// It is to be executed, now, and nothing else with this key ever is. Dropping the writer without
    /// an end counts as a failed execution.
    New(Writer, RecordedBody),
    /// It was, or is being executed.
    Repetition(RecordedBody),
}

impl Memory {
    /// Remembers `capacity` keys and keeps responses in `space`.
    pub(crate) fn new(capacity: usize, max_response: usize, space: Share) -> Self {
        let entries = Entries { by_key: HashMap::new(), complete: VecDeque::new() };
        Self { capacity, max_response, space, entries: Mutex::new(entries) }
    }

    /// True when there are no requests with keys.
    pub(crate) fn is_off(&self) -> bool {
        self.capacity == 0
    }

    /// Looks the key up, and enters it if it is new: one step.
    pub(super) fn begin(
        self: &Arc<Self>,
        key: KeyHash,
        request: RequestHash,
    ) -> Result<Begun, KeyError> {
        let mut entries = self.lock();
        if let Some(entry) = entries.by_key.get(&key) {
            if entry.request != request {
                return Err(KeyError::Mismatch);
            }
            let reader = entry.recording.as_ref().and_then(Recording::read);
            return reader.map(Begun::Repetition).ok_or(KeyError::ResponseGone);
        }
        if entries.by_key.len() >= self.capacity {
            Limit::IdempotentRequests.reached();
            return Err(KeyError::Full);
        }
        let recording = Arc::new(Recording::default());
        let reader = Recording::read(&recording).ok_or(KeyError::ResponseGone)?;
        entries.by_key.insert(key, Entry { request, recording: Some(recording.clone()) });
        Ok(Begun::New(Writer::new(self.clone(), key, recording), reader))
    }

    /// Undoes the entry of a request that certainly did not reach the app. To be called before anybody
    /// hears of it.
    pub(super) fn withdraw(&self, key: &KeyHash) {
        self.lock().by_key.remove(key);
    }

    /// Lets go of a response; the key stays.
    pub(super) fn forget_response(&self, key: &KeyHash) {
        if let Some(entry) = self.lock().by_key.get_mut(key) {
            entry.recording = None;
        }
    }

    /// Notes that a kept response is complete: it may make room for others.
    pub(super) fn complete(&self, key: KeyHash) {
        self.lock().complete.push_back(key);
    }

    /// Room for a part of a response. The oldest complete responses make room if need be.
    pub(super) fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Some(room) = self.space.try_take(bytes) {
                return Some(room);
            }
            let oldest = self.lock().complete.pop_front()?;
            self.forget_response(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
