//! Whose policies a client accepts, and every rule that their files keep.

use super::content::{self, Content};
use super::minisign::{SignatureFile, SignerKey};
use super::{MAX_POLICY_FILE_LEN, PolicyFileError, SeenPolicy, SignedPolicy};
use sha2::{Digest, Sha256};

/// The owner of an app, as a client knows him: keys, a namespace, and the lowest version accepted.
///
/// ```
/// use steve_protocol::evidence::{Appraiser, Policy, PolicyOwner};
///
/// # let file = include_bytes!("../../../tests/data/policy/policy.json");
/// # let signature = include_bytes!("../../../tests/data/policy/policy.json.minisig");
/// # let (now_ms, record) = (1_798_761_600_000, None);
/// let key = include_str!("../../../tests/data/policy/minisign.pub").lines().nth(1).unwrap();
/// let owner = PolicyOwner::new([key.parse()?], "app.example.com")?.minimum_version(3);
/// let policy = owner.verify(file, signature, record.as_ref(), now_ms)?;
/// // To be remembered, durably, before the policy is used:
/// let record = policy.seen();
/// let appraiser = Appraiser::new(Policy::signed(policy));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyOwner {
    signers: Vec<SignerKey>,
    namespace: String,
    minimum_version: u64,
}

/// A client cannot pin these keys and this namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyOwnerError {
    /// Without keys every policy would be refused.
    #[error("no signer's key is given")]
    NoSigners,
    /// Two keys have the same id, by which signatures name them.
    #[error("two signers' keys have the id {0}")]
    SameKeyId(super::KeyId),
    /// No policy could have this namespace.
    #[error("a namespace is 1 to 255 visible ASCII characters without spaces")]
    Namespace,
}

impl PolicyOwner {
    /// Policies signed with any of these keys, for this namespace. Each key is trusted alike; several
    /// serve to replace one.
    pub fn new(
        signers: impl Into<Vec<SignerKey>>,
        namespace: impl Into<String>,
    ) -> Result<Self, PolicyOwnerError> {
        let (signers, namespace) = (signers.into(), namespace.into());
        if signers.is_empty() {
            return Err(PolicyOwnerError::NoSigners);
        }
        for (index, key) in signers.iter().enumerate() {
            if signers[..index].iter().any(|other| other.id() == key.id()) {
                return Err(PolicyOwnerError::SameKeyId(key.id()));
            }
        }
        if !content::is_namespace(&namespace) {
            return Err(PolicyOwnerError::Namespace);
        }
        Ok(Self { signers, namespace, minimum_version: 0 })
    }

    /// Refuses versions below this one, whatever is on record.
    #[must_use]
    pub fn minimum_version(self, minimum_version: u64) -> Self {
        Self { minimum_version, ..self }
    }

    /// The namespace, under which a client remembers the newest policy.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Verifies a policy file with its signature file: every rule of SPEC.md, Section 7.2.
    ///
    /// `seen` is what is on record for the namespace, and `now_ms` the time in milliseconds since
    /// 1970. The caller has to put [`SignedPolicy::seen`] on record, durably, before it uses the
    /// policy.
    pub fn verify(
        &self,
        file: &[u8],
        signature: &[u8],
        seen: Option<&SeenPolicy>,
        now_ms: u64,
    ) -> Result<SignedPolicy, PolicyFileError> {
        if file.len() > MAX_POLICY_FILE_LEN {
            return Err(PolicyFileError::TooLong);
        }
        let signature = SignatureFile::decode(signature)?;
        let signer = signature.signer;
        let key = self.signers.iter().find(|key| key.id() == signer).ok_or_else(|| {
            let pinned = self.signers.iter().map(SignerKey::id).collect();
            PolicyFileError::UnknownSigner { found: signer, pinned }
        })?;
        signature.verify(key, file)?;

        let Content { namespace, version, expires_ms, profiles } = Content::decode(file)?;
        if namespace != self.namespace {
            let expected = self.namespace.clone();
            return Err(PolicyFileError::Namespace { expected, found: namespace });
        }
        let own = SeenPolicy { version, sha256: Sha256::digest(file).into() };
        self.check_version(&own, seen)?;
        if now_ms >= expires_ms {
            return Err(PolicyFileError::Expired { version, signer, expires_ms, now_ms });
        }
        Ok(SignedPolicy {
            signer,
            namespace,
            seen: own,
            expires_ms,
            profiles,
            trusted_comment: signature.trusted_comment.to_owned(),
            earlier_on_record: seen.is_some(),
        })
    }

    fn check_version(
        &self,
        own: &SeenPolicy,
        seen: Option<&SeenPolicy>,
    ) -> Result<(), PolicyFileError> {
        let (version, minimum) = (own.version, self.minimum_version);
        if version < minimum {
            return Err(PolicyFileError::BelowMinimum { version, minimum });
        }
        match seen {
            Some(seen) if version < seen.version => {
                Err(PolicyFileError::Rollback { version, seen: seen.version })
            }
            Some(seen) if version == seen.version && own.sha256 != seen.sha256 => {
                Err(PolicyFileError::Reused { version })
            }
            _ => Ok(()),
        }
    }
}
