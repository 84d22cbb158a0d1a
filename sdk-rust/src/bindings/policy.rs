use super::error::SteveError;
use crate::pin_store::FilePinStore;
use crate::policy_store::{self, FilePolicyStore};
use crate::profiles::parse_profiles;
use std::sync::Arc;
use steve_protocol::evidence::{self, PolicyOwner, SignerKey};

/// Which enclaves a client accepts. There is no client without one.
#[derive(Debug, uniffi::Object)]
pub struct Policy(pub(super) evidence::Policy);

#[uniffi::export]
impl Policy {
    /// The enclave must satisfy one of these profiles, as a whole. The text is JSON, a profile such as
    /// `{"PCR0": "<96 hexadecimal digits>", "PCR1": …, "PCR2": …}`, what `nitro-cli build-enclave`
    /// prints, or an array of those; or lines such as `PCR0: <96 hexadecimal digits>`.
    #[uniffi::constructor]
    pub fn pinned(profiles: &str) -> Result<Arc<Self>, SteveError> {
        let profiles = parse_profiles(profiles).map_err(invalid)?;
        Ok(Arc::new(Self(evidence::Policy::pinned(profiles).map_err(invalid)?)))
    }

    /// The first enclave met under an origin is believed and recorded in the JSON file at `path`; later
    /// ones must match it. The file is made when that happens; its directory must exist. Processes may
    /// share it. Nothing vouches for the first enclave: pin profiles wherever they are to be had.
    #[uniffi::constructor]
    pub fn trust_on_first_use(path: String) -> Arc<Self> {
        let store = Arc::new(FilePinStore::new(path));
        Arc::new(Self(evidence::Policy::trust_on_first_use(store)))
    }
}

/// Loads the policies that an app's owner has signed with minisign (SPEC.md, Section 7.2), and refuses
/// those that are older than what it has seen.
#[derive(Debug, uniffi::Object)]
pub struct PolicyLoader(policy_store::PolicyLoader);

#[uniffi::export]
impl PolicyLoader {
    /// Policies signed with any of these keys, each the line of 56 characters in minisign's .pub file,
    /// for this namespace. With the path of a JSON file, which processes may share, the newest version
    /// seen is remembered for longer than this object lives. Versions below `minimum_version` are
    /// refused in any case.
    #[uniffi::constructor(default(store = None, minimum_version = 0))]
    pub fn new(
        signers: Vec<String>,
        namespace: String,
        store: Option<String>,
        minimum_version: u64,
    ) -> Result<Arc<Self>, SteveError> {
        let signers: Vec<SignerKey> =
            signers.iter().map(|key| key.parse().map_err(invalid)).collect::<Result<_, _>>()?;
        let owner = PolicyOwner::new(signers, namespace).map_err(invalid)?;
        let loader = policy_store::PolicyLoader::new(owner.minimum_version(minimum_version));
        Ok(Arc::new(Self(match store {
            Some(path) => loader.store(FilePolicyStore::new(path)),
            None => loader,
        })))
    }

    /// Verifies a policy file with its signature file, and puts its version on record. With a store it
    /// waits for a lock and the disk.
    pub fn load(&self, file: &[u8], signature: &[u8]) -> Result<Arc<Policy>, SteveError> {
        let policy = self.0.load(file, signature).map_err(invalid)?;
        Ok(Arc::new(Policy(evidence::Policy::signed(policy))))
    }
}

fn invalid(error: impl ToString) -> SteveError {
    SteveError::invalid("invalid-policy", error)
}
