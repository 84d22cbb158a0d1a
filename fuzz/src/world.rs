//! An enclave with its development authority, made once: signatures on P-384 take milliseconds.

use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::time::Duration;
use steve_protocol::evidence::dev::{DevAuthority, Request, pcrs};
use steve_protocol::evidence::{
    Appraiser, Challenge, Evidence, MerkleTree, PcrProfile, Policy, VerifiedEnclave, user_data,
};
use steve_protocol::handshake::{EnclaveKeys, SessionParameters};
use steve_protocol::suite::Suite;

/// When everything happens: milliseconds since 1970.
pub const NOW_MS: u64 = 1_793_491_200_000;
/// The suites of the enclave, the cheap ones.
pub const SUITES: [Suite; 2] = [Suite::X25519ChaCha20Poly1305, Suite::X25519Aes256Gcm];
/// What evidence says beside its document.
pub const CONFIGURATION: &[u8] = br#"{"early_data":true}"#;
/// The same.
pub const MANIFEST: &[u8] = br#"{"commit":"0123"}"#;
/// What the server sets.
pub const PARAMETERS: SessionParameters = SessionParameters {
    lifetime: Duration::from_secs(3600),
    idle_timeout: Duration::from_secs(300),
    max_head_size: 1024,
    max_streams: 16,
};

/// The authority that signs all documents.
pub static AUTHORITY: LazyLock<DevAuthority> =
    LazyLock::new(|| DevAuthority::new(&mut rng(0), NOW_MS).expect("the inputs are constant"));

/// Random numbers that are the same every time.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// The keys of a generation: the same every time, without memory of early requests.
pub fn keys(epoch: u64, early_requests: usize) -> EnclaveKeys {
    let hash = |bytes| Sha256::digest(bytes).into();
    let (manifest, configuration) = (hash(MANIFEST), hash(CONFIGURATION));
    let until = NOW_MS + 3_600_000;
    EnclaveKeys::generate(&SUITES, epoch, until, manifest, configuration, &mut rng(epoch))
        .expect("there are suites")
        .with_early_requests(early_requests)
}

/// The challenge that the evidence of this generation answers.
pub fn challenge(epoch: u64) -> Challenge {
    Challenge::random(&mut rng(1000 + epoch))
}

/// Trusts the authority, and the measurements that its documents have.
pub fn appraiser() -> Appraiser {
    let profile = PcrProfile::of(&pcrs()).expect("three are measured");
    Appraiser::new(Policy::pinned([profile]).expect("one profile"))
        .dangerous_with_anchor(AUTHORITY.trust_anchor())
}

/// Evidence of this generation's keys.
pub fn evidence(keys: &EnclaveKeys) -> Vec<u8> {
    let tree = MerkleTree::new(&[challenge(keys.config().fields().epoch)]).expect("one leaf");
    let user_data = user_data(keys.config());
    let root = tree.root();
    let request = Request { user_data: Some(&user_data), nonce: Some(&root), public_key: None };
    let document = AUTHORITY.attest(&pcrs(), &request, NOW_MS).expect("all is short");
    Evidence {
        key_config: keys.config().encoded(),
        document: &document,
        leaf_index: 0,
        tree_size: 1,
        path: &[],
        configuration: CONFIGURATION,
        manifest: MANIFEST,
    }
    .encode()
    .expect("all is short")
}

/// The enclave that holds this generation's keys.
pub fn enclave(keys: &EnclaveKeys) -> VerifiedEnclave {
    let challenge = challenge(keys.config().fields().epoch);
    appraiser()
        .appraise(&evidence(keys), &challenge, NOW_MS, "https://app.example", NOW_MS)
        .expect("the evidence is genuine")
}
