//! A development authority, a proxy's answer, and a client: everything good until a test changes it.

use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{Signature, VerifyingKey};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use steve_protocol::evidence::dev::{self, DevAuthority, Request};
use steve_protocol::evidence::{
    AppraisalError, Appraiser, Challenge, Evidence, MerkleTree, PcrProfile, Pcrs, PendingAppraisal,
    Policy, Refusal, Signed, VerifiedEnclave, user_data,
};
use steve_protocol::key_config::{KeyConfig, KeyConfigFields, KeyEntry};
use steve_protocol::suite::Suite;

/// The time of the document, on the NSM's clock.
pub(crate) const MADE_MS: u64 = 1_800_000_000_000;
/// When the client sent its challenge, on its own clock.
pub(crate) const SENT_MS: u64 = MADE_MS - 40;
/// When the client appraises the answer.
pub(crate) const NOW_MS: u64 = MADE_MS + 60;
pub(crate) const KEY_LIFETIME_MS: u64 = 3_600_000;
pub(crate) const ORIGIN: &str = "https://app.example";

pub(crate) struct Scene {
    pub(crate) authority: DevAuthority,
    pub(crate) pcrs: Pcrs,
    pub(crate) fields: KeyConfigFields,
    pub(crate) configuration: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) challenge: Challenge,
    pub(crate) tree: MerkleTree,
    pub(crate) leaf_index: u32,
    pub(crate) tree_size: u32,
    pub(crate) path: Vec<u8>,
    /// Instead of what belongs there.
    pub(crate) user_data: Option<Vec<u8>>,
    /// Instead of what belongs there.
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) made_ms: u64,
    pub(crate) sent_ms: u64,
    pub(crate) now_ms: u64,
    pub(crate) appraiser: Appraiser,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let authority = DevAuthority::new(&mut rng, MADE_MS).unwrap();
        let challenges: Vec<_> = (0..5).map(|_| Challenge::random(&mut rng)).collect();
        let tree = MerkleTree::new(&challenges).unwrap();
        let (configuration, manifest) = (b"{\"proxy\":1}".to_vec(), b"manifest".to_vec());
        let key = |suite: Suite| KeyEntry {
            key_id: [suite.id() as u8; 8],
            suite,
            public_key: vec![9; suite.kem().public_key_len()],
        };
        Self {
            pcrs: dev::pcrs(),
            fields: KeyConfigFields {
                epoch: 1,
                not_after: MADE_MS + KEY_LIFETIME_MS,
                instance: [3; 16],
                manifest_hash: Sha256::digest(&manifest).into(),
                configuration_hash: Sha256::digest(&configuration).into(),
                keys: Suite::ALL.map(key).to_vec(),
            },
            configuration,
            manifest,
            challenge: challenges[3].clone(),
            leaf_index: 3,
            tree_size: 5,
            path: tree.path(3).unwrap(),
            tree,
            user_data: None,
            nonce: None,
            made_ms: MADE_MS,
            sent_ms: SENT_MS,
            now_ms: NOW_MS,
            appraiser: Appraiser::new(own_policy()).dangerous_with_anchor(authority.trust_anchor()),
            authority,
        }
    }

    pub(crate) fn key_config(&self) -> KeyConfig {
        KeyConfig::new(self.fields.clone()).unwrap()
    }

    /// What the proxy sends.
    pub(crate) fn evidence(&self) -> Vec<u8> {
        let own = user_data(&self.key_config()).to_vec();
        let user_data = self.user_data.as_ref().unwrap_or(&own);
        let own = self.tree.root().to_vec();
        let nonce = self.nonce.as_ref().unwrap_or(&own);
        let request = Request { user_data: Some(user_data), nonce: Some(nonce), public_key: None };
        self.encode(&self.authority.attest(&self.pcrs, &request, self.made_ms).unwrap())
    }

    /// What the proxy sends with this document.
    pub(crate) fn encode(&self, document: &[u8]) -> Vec<u8> {
        Evidence {
            key_config: self.key_config().encoded(),
            document,
            leaf_index: self.leaf_index,
            tree_size: self.tree_size,
            path: &self.path,
            configuration: &self.configuration,
            manifest: &self.manifest,
        }
        .encode()
        .unwrap()
    }

    pub(crate) fn appraise(&self) -> Result<VerifiedEnclave, Refusal> {
        self.appraise_bytes(&self.evidence())
    }

    pub(crate) fn appraise_bytes(&self, evidence: &[u8]) -> Result<VerifiedEnclave, Refusal> {
        self.appraiser.appraise(evidence, &self.challenge, self.sent_ms, ORIGIN, self.now_ms)
    }

    /// Begins what `appraise_bytes` does.
    pub(crate) fn begin(&self, evidence: &[u8]) -> PendingAppraisal {
        let (challenge, origin) = (self.challenge.clone(), ORIGIN.to_owned());
        self.appraiser.begin(evidence.to_vec(), challenge, self.sent_ms, origin, self.now_ms)
    }

    /// The same with the signatures verified here.
    fn appraise_pending(&self, evidence: &[u8]) -> Result<VerifiedEnclave, Refusal> {
        let pending = self.begin(evidence);
        let verify = |signed: &Signed| {
            let key = VerifyingKey::from_sec1_bytes(&signed.public_key)?;
            key.verify(&signed.message, &Signature::from_slice(&signed.signature)?)
        };
        let verdicts: Vec<_> =
            pending.signatures().iter().map(|signed| verify(signed).is_ok()).collect();
        pending.finish(&verdicts)
    }

    /// As `GET` answers.
    pub(crate) fn unchallenged(mut self) -> Self {
        (self.leaf_index, self.tree_size, self.path) = (0, 0, Vec::new());
        self
    }
}

pub(crate) fn own_policy() -> Policy {
    Policy::pinned([PcrProfile::of(&dev::pcrs()).unwrap()]).unwrap()
}

/// Why the scene is refused after a change.
#[track_caller]
pub(crate) fn refusal(change: impl FnOnce(&mut Scene)) -> AppraisalError {
    let mut scene = Scene::new();
    change(&mut scene);
    let evidence = scene.evidence();
    let refusal = scene.appraise_bytes(&evidence).expect_err("accepted");
    let pending = scene.appraise_pending(&evidence).expect_err("accepted with verdicts");
    assert_eq!(pending.report().checks(), refusal.report().checks());
    refusal.error().clone()
}

/// The validity of the scene after a change, counted from when the challenge was sent.
#[track_caller]
pub(crate) fn validity_ms(change: impl FnOnce(&mut Scene)) -> u64 {
    let mut scene = Scene::new();
    change(&mut scene);
    scene.appraise().unwrap().valid_until_ms() - scene.sent_ms
}
