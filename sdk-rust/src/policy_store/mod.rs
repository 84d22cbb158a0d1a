//! Policies that the app's owner signs, and which of them a client has seen.

mod format;

use crate::clock::wall_clock_ms;
use crate::record_file::RecordFile;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use steve_protocol::evidence::{PolicyFileError, PolicyOwner, SeenPolicy, SignedPolicy};

type Policies = BTreeMap<String, SeenPolicy>;

/// The newest policy seen in each namespace, in a JSON file that processes may share.
///
/// Records are by namespace, whoever has signed, so that a key that is replaced cannot bring back an
/// old policy: share a store only among clients of the same owners.
///
/// It is as durable as a [`FilePinStore`](crate::FilePinStore). A damaged file is an error and stays
/// as it is: starting anew would accept older policies. If it is missing, reports say that nothing
/// was on record ([`NotProven::EarlierPolicy`](crate::NotProven::EarlierPolicy)).
#[derive(Clone, Debug)]
pub struct FilePolicyStore {
    file: RecordFile,
}

impl FilePolicyStore {
    /// A store in the file at `path`, which is made with the first record. Its directory must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: RecordFile::new(path.into()) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// What is on record for a namespace.
    pub fn seen(&self, namespace: &str) -> Result<Option<SeenPolicy>, PolicyLoadError> {
        Ok(self.read()?.remove(namespace))
    }

    /// Verifies against the record and makes the result the new one, with nobody in between.
    fn advance(
        &self,
        namespace: &str,
        verify: impl FnOnce(Option<SeenPolicy>) -> Result<SignedPolicy, PolicyFileError>,
    ) -> Result<SignedPolicy, PolicyLoadError> {
        let _lock = self.file.lock().map_err(|error| self.error(error))?;
        let mut policies = self.read()?;
        let recorded = policies.get(namespace).copied();
        let policy = verify(recorded)?;
        if recorded != Some(policy.seen()) {
            policies.insert(namespace.to_owned(), policy.seen());
            let text = format::encode(&policies);
            self.file.replace(&text).map_err(|error| self.error(error))?;
        }
        Ok(policy)
    }

    fn read(&self) -> Result<Policies, PolicyLoadError> {
        match self.file.read().map_err(|error| self.error(error))? {
            Some(text) => format::decode(&text).map_err(|problem| self.error(problem)),
            None => Ok(Policies::new()),
        }
    }

    fn error(&self, cause: impl fmt::Display) -> PolicyLoadError {
        PolicyLoadError::Store(self.file.message(cause))
    }
}

/// Why there is no policy from a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyLoadError {
    /// The file is refused.
    #[error("the policy is refused: {0}")]
    File(#[from] PolicyFileError),
    /// The versions seen cannot be read or written.
    #[error("the store of policy versions failed: {0}")]
    Store(String),
}

/// Loads the policy files of one owner, and refuses those that are older than what it has seen.
///
/// It remembers that as long as it and its clones live, and in a [store](Self::store), if it has one,
/// for longer.
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::fs::read;
/// use steve_sdk::{Client, FilePolicyStore, Policy, PolicyLoader, PolicyOwner};
///
/// let key = "RWT2x//m3+WdORzlPBcpeF+75uj4bIJ3gRCGcWNivRFutrHIafQfNdI/".parse()?;
/// let policies = PolicyLoader::new(PolicyOwner::new([key], "app.example.com")?)
///     .store(FilePolicyStore::new("policies.json"));
/// let policy = policies.load(&read("policy.json")?, &read("policy.json.minisig")?)?;
/// let client = Client::builder("https://app.example.com").policy(Policy::signed(policy)).build()?;
///
/// // Whenever there is a new one:
/// let policy = policies.load(&read("policy.json")?, &read("policy.json.minisig")?)?;
/// client.update_policy(Policy::signed(policy));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PolicyLoader {
    owner: PolicyOwner,
    store: Option<FilePolicyStore>,
    seen: Arc<Mutex<Option<SeenPolicy>>>,
}

impl PolicyLoader {
    /// A loader for the policies of this owner, without a store.
    pub fn new(owner: PolicyOwner) -> Self {
        Self { owner, store: None, seen: Arc::default() }
    }

    /// Remembers what it has seen in this store, too.
    #[must_use]
    pub fn store(self, store: FilePolicyStore) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Verifies a policy file and its signature file, and puts its version on record.
    ///
    /// With a store this waits for locks and disks. An error changes nothing: clients keep the policy
    /// they have, until it expires.
    pub fn load(&self, file: &[u8], signature: &[u8]) -> Result<SignedPolicy, PolicyLoadError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let own = *seen;
        let verify = |recorded: Option<SeenPolicy>| {
            let newest = newer(recorded, own);
            self.owner.verify(file, signature, newest.as_ref(), wall_clock_ms())
        };
        let policy = match &self.store {
            Some(store) => store.advance(self.owner.namespace(), verify)?,
            None => verify(None)?,
        };
        *seen = Some(policy.seen());
        Ok(policy)
    }

    /// Verifies as [`load`](Self::load) does, and records nothing: to show what a file says, not to use
    /// it.
    pub fn check(&self, file: &[u8], signature: &[u8]) -> Result<SignedPolicy, PolicyLoadError> {
        let own = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = match &self.store {
            Some(store) => store.seen(self.owner.namespace())?,
            None => None,
        };
        let newest = newer(recorded, own);
        Ok(self.owner.verify(file, signature, newest.as_ref(), wall_clock_ms())?)
    }
}

fn newer(recorded: Option<SeenPolicy>, own: Option<SeenPolicy>) -> Option<SeenPolicy> {
    recorded.into_iter().chain(own).max_by_key(|seen| seen.version)
}

#[cfg(test)]
mod tests;
