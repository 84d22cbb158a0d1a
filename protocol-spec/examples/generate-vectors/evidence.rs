use crate::{hex, rng};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use steve_protocol::evidence::dev::{DevAuthority, Request, pcrs};
use steve_protocol::evidence::{
    Appraiser, Challenge, Evidence, MerkleTree, Pcr, PcrProfile, Pcrs, Policy, VerifiedEnclave,
    merkle, user_data,
};
use steve_protocol::handshake::EnclaveKeys;
use steve_protocol::key_config::{KeyConfig, KeyConfigFields};
use steve_protocol::suite::Suite;

/// 2026-11-01T00:00:00Z: the time in all vectors.
pub(crate) const NOW_MS: u64 = 1_793_491_200_000;
pub(crate) const CONFIGURATION: &[u8] = br#"{"suites":["all"]}"#;
pub(crate) const MANIFEST: &[u8] = b"a manifest";
const MAX_AGE_MS: u64 = 300_000;
const ORIGIN: &str = "https://app.example";

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn profile(pcrs: &Pcrs) -> PcrProfile {
    PcrProfile::of(pcrs).expect("PCR0 to PCR2 are measured")
}

/// A verified enclave with these keys.
pub(crate) fn verified(keys: &EnclaveKeys, rng: &mut ChaCha20Rng) -> VerifiedEnclave {
    let authority = DevAuthority::new(rng, NOW_MS).expect("names are valid");
    let case = Case::new(&authority, keys.config(), rng);
    Appraiser::new(Policy::pinned([profile(&pcrs())]).expect("one profile"))
        .dangerous_with_anchor(authority.trust_anchor())
        .appraise(&case.encode(), &case.challenge, NOW_MS, ORIGIN, NOW_MS)
        .expect("genuine")
}

pub(crate) fn key_configs() -> Vec<Value> {
    let mut rng = rng(1);
    let all = EnclaveKeys::generate(&Suite::ALL, 7, NOW_MS, [1; 32], [2; 32], &mut rng)
        .expect("suites are given");
    let one = EnclaveKeys::generate(&Suite::ALL[..1], 1, u64::MAX, [0; 32], [0xff; 32], &mut rng)
        .expect("suites are given");
    let mut vectors: Vec<Value> = [all.config(), one.config()].map(describe).to_vec();
    let good = one.config().encoded();
    let change = |comment: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut encoded = good.to_vec();
        change(&mut encoded);
        assert!(KeyConfig::decode(&encoded).is_err(), "{comment}");
        json!({ "comment": comment, "encoded": hex(encoded), "error": true })
    };
    let entry = good[100..].to_vec();
    vectors.extend([
        change("version 2", &|e| e[1] = 2),
        change("epoch 0", &|e| e[2..10].fill(0)),
        change("no keys", &|e| {
            e.truncate(100);
            e[98..100].fill(0);
        }),
        change("unknown suite", &|e| e[109] = 9),
        change("public key of 31 bytes", &|e| {
            e.pop();
            e[99] -= 1;
            e[111] -= 1;
        }),
        change("a suite twice", &|e| {
            e.extend_from_slice(&entry);
            e[99] *= 2;
        }),
        change("trailing byte", &|e| e.push(0)),
        change("truncated", &|e| {
            e.pop();
        }),
        change("suites in descending order", &|e| {
            e[109] = 3;
            e.extend_from_slice(&entry);
            e[99] *= 2;
        }),
        change("one key id for two keys", &|e| {
            let mut second = entry.clone();
            second[9] = 3;
            second[12] ^= 1;
            e.extend_from_slice(&second);
            e[99] *= 2;
        }),
    ]);
    vectors
}

fn describe(config: &KeyConfig) -> Value {
    let KeyConfigFields { epoch, not_after, instance, manifest_hash, configuration_hash, keys } =
        config.fields();
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "key_id": hex(key.key_id),
                "suite": key.suite.id(),
                "public_key": hex(&key.public_key),
            })
        })
        .collect();
    json!({
        "encoded": hex(config.encoded()),
        "hash": hex(config.hash()),
        "epoch": epoch,
        "not_after": not_after,
        "instance": hex(instance),
        "manifest_hash": hex(manifest_hash),
        "configuration_hash": hex(configuration_hash),
        "keys": keys,
    })
}

pub(crate) fn merkle() -> Vec<Value> {
    let mut rng = rng(2);
    let mut vectors = Vec::new();
    for size in [1usize, 2, 3, 4, 5, 7, 8, 13, 33] {
        let challenges: Vec<Challenge> = (0..size).map(|_| Challenge::random(&mut rng)).collect();
        let tree = MerkleTree::new(&challenges).expect("within bounds");
        let paths: Vec<String> =
            (0..size as u32).map(|index| hex(tree.path(index).expect("a leaf"))).collect();
        vectors.push(json!({
            "challenges": challenges.iter().map(|c| hex(c.as_bytes())).collect::<Vec<_>>(),
            "root": hex(tree.root()),
            "paths": paths,
        }));
    }
    let challenges: Vec<Challenge> = (0..5).map(|_| Challenge::random(&mut rng)).collect();
    let tree = MerkleTree::new(&challenges).expect("within bounds");
    let path = tree.path(3).expect("a leaf");
    let mut flipped = path.clone();
    flipped[40] ^= 1;
    let mut swapped = path.clone();
    swapped.rotate_left(32);
    for (comment, challenge, index, size, path) in [
        ("another challenge", 2, 3, 5, path.clone()),
        ("another index", 3, 2, 5, path.clone()),
        ("another size", 3, 3, 4, path.clone()),
        ("index out of range", 3, 5, 5, path.clone()),
        ("empty tree", 3, 0, 0, Vec::new()),
        ("no path", 3, 3, 5, Vec::new()),
        ("one hash too few", 3, 3, 5, path[..path.len() - 32].to_vec()),
        ("one hash too many", 3, 3, 5, [&path[..], &[0; 32]].concat()),
        ("half a hash", 3, 3, 5, path[..path.len() - 16].to_vec()),
        ("one bit flipped", 3, 3, 5, flipped),
        ("hashes in another order", 3, 3, 5, swapped),
    ] {
        let challenge = &challenges[challenge];
        let root = &tree.root();
        assert!(!merkle::verify_inclusion(challenge, index, size, &path, root), "{comment}");
        vectors.push(json!({
            "comment": comment,
            "challenge": hex(challenge.as_bytes()),
            "leaf_index": index,
            "tree_size": size,
            "path": hex(path),
            "root": hex(root),
            "valid": false,
        }));
    }
    vectors
}

/// The parts of one piece of evidence, to be changed at will.
#[derive(Clone)]
struct Case {
    challenge: Challenge,
    key_config: Vec<u8>,
    document: Vec<u8>,
    leaf_index: u32,
    tree_size: u32,
    path: Vec<u8>,
    configuration: Vec<u8>,
    manifest: Vec<u8>,
    sent_ms: u64,
    now_ms: u64,
    anchor: [u8; 32],
    profiles: Vec<Pcrs>,
}

impl Case {
    fn new(authority: &DevAuthority, config: &KeyConfig, rng: &mut ChaCha20Rng) -> Self {
        let challenges: Vec<Challenge> = (0..5).map(|_| Challenge::random(rng)).collect();
        let tree = MerkleTree::new(&challenges).expect("within bounds");
        let document = attest(authority, &pcrs(), config, Some(&tree.root()));
        Self {
            challenge: challenges[3].clone(),
            key_config: config.encoded().to_vec(),
            document,
            leaf_index: 3,
            tree_size: tree.size(),
            path: tree.path(3).expect("a leaf"),
            configuration: CONFIGURATION.to_vec(),
            manifest: MANIFEST.to_vec(),
            sent_ms: NOW_MS,
            now_ms: NOW_MS,
            anchor: authority.root_sha256(),
            profiles: vec![pcrs()],
        }
    }

    fn encode(&self) -> Vec<u8> {
        Evidence {
            key_config: &self.key_config,
            document: &self.document,
            leaf_index: self.leaf_index,
            tree_size: self.tree_size,
            path: &self.path,
            configuration: &self.configuration,
            manifest: &self.manifest,
        }
        .encode()
        .expect("within the limits")
    }

    fn vector(&self, comment: &str, expected: &str) -> Value {
        let anchor = steve_protocol::evidence::TrustAnchor::dangerous_from_sha256(self.anchor);
        let profiles: Vec<PcrProfile> = self.profiles.iter().map(profile).collect();
        let evidence = self.encode();
        let result = Appraiser::new(Policy::pinned(profiles.clone()).expect("not empty"))
            .dangerous_with_anchor(anchor)
            .appraise(&evidence, &self.challenge, self.sent_ms, ORIGIN, self.now_ms);
        let (outcome, valid_until) = match &result {
            Ok(enclave) => ("verified".to_owned(), Some(enclave.valid_until_ms())),
            Err(refusal) => (refusal.error().check().to_string(), None),
        };
        assert_eq!(outcome, expected, "{comment}: {result:?}");
        let profiles: Vec<Value> = profiles
            .iter()
            .map(|profile| {
                profile
                    .values()
                    .map(|(index, pcr)| (format!("pcr{index}"), Value::from(hex(pcr.as_bytes()))))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            })
            .collect();
        json!({
            "comment": comment,
            "evidence": hex(evidence),
            "challenge": hex(self.challenge.as_bytes()),
            "sent": self.sent_ms,
            "now": self.now_ms,
            "root_sha256": hex(self.anchor),
            "profiles": profiles,
            "max_evidence_age": MAX_AGE_MS,
            "max_clock_skew": MAX_AGE_MS,
            "outcome": outcome,
            "valid_until": valid_until,
        })
    }
}

fn attest(
    authority: &DevAuthority,
    pcrs: &Pcrs,
    config: &KeyConfig,
    nonce: Option<&[u8]>,
) -> Vec<u8> {
    let user_data = user_data(config);
    let request = Request { user_data: Some(&user_data), nonce, public_key: None };
    authority.attest(pcrs, &request, NOW_MS).expect("within the limits")
}

fn config(keys: &EnclaveKeys, not_after: u64) -> KeyConfig {
    let fields = KeyConfigFields { not_after, ..keys.config().fields().clone() };
    KeyConfig::new(fields).expect("only the lifetime differs")
}

pub(crate) fn evidence() -> Vec<Value> {
    let mut rng = rng(3);
    let authority = DevAuthority::new(&mut rng, NOW_MS).expect("names are valid");
    let suites = [Suite::X25519ChaCha20Poly1305];
    let hour = NOW_MS + 3_600_000;
    let (configuration, manifest) = (sha256(CONFIGURATION), sha256(MANIFEST));
    let keys = EnclaveKeys::generate(&suites, 1, hour, manifest, configuration, &mut rng)
        .expect("suites are given");
    let good = Case::new(&authority, keys.config(), &mut rng);
    let with = |change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        case
    };
    let attested = |pcrs: &Pcrs, not_after: u64| {
        let config = config(&keys, not_after);
        let root = MerkleTree::new(std::slice::from_ref(&good.challenge)).expect("one").root();
        let document = attest(&authority, pcrs, &config, Some(&root));
        let key_config = config.encoded().to_vec();
        Case { document, key_config, leaf_index: 0, tree_size: 1, path: Vec::new(), ..good.clone() }
    };
    let other = |index: u8| -> Pcrs {
        let replace =
            |(i, pcr): (u8, &Pcr)| (i, if i == index { Pcr::from([7; 48]) } else { *pcr });
        pcrs().iter().map(replace).collect()
    };
    let zero = |index: u8| -> Pcrs {
        let replace =
            |(i, pcr): (u8, &Pcr)| (i, if i == index { Pcr::from([0; 48]) } else { *pcr });
        pcrs().iter().map(replace).collect()
    };
    let last = good.document.len() - 1;
    let unchallenged = attest(&authority, &pcrs(), keys.config(), None);
    let foreign = DevAuthority::new(&mut rng, NOW_MS).expect("names are valid").root_sha256();
    vec![
        good.vector("a batch of five", "verified"),
        attested(&pcrs(), hour).vector("a batch of one", "verified"),
        attested(&pcrs(), NOW_MS + 1000).vector("keys that end soon", "verified"),
        with(&|c| c.now_ms += 299_999).vector("an answer that took long", "verified"),
        with(&|c| c.now_ms += 300_000).vector("an answer that took too long", "key-lifetime"),
        with(&|c| {
            c.sent_ms -= 300_000;
            c.now_ms -= 300_000;
        })
        .vector("a client's clock that is slow", "verified"),
        with(&|c| {
            c.sent_ms -= 300_001;
            c.now_ms -= 300_001;
        })
        .vector("a document from the future", "timestamp"),
        with(&|c| {
            c.sent_ms += 300_001;
            c.now_ms += 300_001;
        })
        .vector("an old document", "timestamp"),
        with(&|c| c.profiles = vec![other(1), pcrs()]).vector("the second profile", "verified"),
        with(&|c| c.profiles = vec![other(0)]).vector("another PCR0", "policy"),
        with(&|c| c.profiles = vec![other(1)]).vector("another PCR1", "policy"),
        with(&|c| c.profiles = vec![other(2)]).vector("another PCR2", "policy"),
        with(&|c| c.profiles = vec![other(0), other(1)]).vector("profiles do not add up", "policy"),
        attested(&zero(0), hour).vector("debug mode", "debug-mode"),
        attested(&zero(2), hour).vector("a zero PCR2", "debug-mode"),
        attested(&pcrs(), NOW_MS).vector("keys that have ended", "key-lifetime"),
        attested(&pcrs(), NOW_MS + 86_400_000).vector("keys for exactly a day", "verified"),
        attested(&pcrs(), NOW_MS + 86_400_001).vector("keys for too long", "key-lifetime"),
        with(&|c| c.challenge = Challenge::from([9; 32])).vector("another challenge", "nonce"),
        with(&|c| c.leaf_index = 2).vector("another place in the batch", "nonce"),
        with(&|c| c.path[0] ^= 1).vector("a changed path", "nonce"),
        with(&|c| {
            c.document = unchallenged.clone();
            (c.tree_size, c.leaf_index, c.path) = (0, 0, Vec::new());
        })
        .vector("unchallenged evidence", "nonce"),
        with(&|c| c.key_config[8] ^= 1).vector("another key configuration", "key-config"),
        with(&|c| c.configuration.push(b' ')).vector("another configuration", "configuration"),
        with(&|c| c.manifest.clear()).vector("another manifest", "manifest"),
        with(&|c| c.anchor = foreign).vector("a foreign root", "root"),
        with(&|c| c.document[last] ^= 1).vector("a changed signature", "signature"),
        with(&|c| c.document.push(0)).vector("bytes after the document", "cose"),
        with(&|c| c.key_config.push(0)).vector("bytes after the key configuration", "encoding"),
        with(&|c| {
            c.sent_ms += 4 * 3_600_000;
            c.now_ms += 4 * 3_600_000;
        })
        .vector("an expired leaf", "certificates"),
    ]
}
