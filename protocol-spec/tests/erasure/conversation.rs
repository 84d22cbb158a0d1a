//! One handshake with an early request, as a client and a proxy in one process.

use bytes::{Bytes, BytesMut};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use std::time::Duration;
use steve_protocol::evidence::dev::{self, DevAuthority, Request};
use steve_protocol::evidence::{
    Appraiser, Challenge, Evidence, MerkleTree, PcrProfile, Policy, VerifiedEnclave, user_data,
};
use steve_protocol::handshake::{
    ClientHello, EarlyHandshake, EarlyProgress, EnclaveKeys, ServerHandshake, SessionParameters,
};
use steve_protocol::kem::KeyPair;
use steve_protocol::schedule::{self, SessionSecrets};
use steve_protocol::session::Pending;
use steve_protocol::suite::Suite;

const NOW_MS: u64 = 1_800_000_000_000;
/// The proxy's configuration and the manifest.
const STATEMENT: &[u8] = b"{}";
const PARAMETERS: SessionParameters = SessionParameters {
    lifetime: Duration::from_secs(3600),
    idle_timeout: Duration::from_secs(600),
    max_head_size: 32_768,
    max_streams: 256,
};

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// The ClientHello is made, and its early request is being read.
    Hello,
    /// Both ends have the session.
    Open,
    /// The enclave's keys were rotated away.
    Rotated,
    /// The session is closed.
    Closed,
}

impl Point {
    pub(crate) const ALL: [Self; 4] = [Self::Hello, Self::Open, Self::Rotated, Self::Closed];
}

/// Where the expanded key is: one back end keeps it, for X-Wing.
pub(crate) const EXPANDED: &[Point] =
    if cfg!(feature = "aws-lc-rs") { &[Point::Hello, Point::Open] } else { &[] };

/// Where each other key is in memory.
pub(crate) const EXPECTED: [(&str, &[Point]); 6] = [
    ("client's private key", &[Point::Hello]),
    ("early key", &[Point::Hello]),
    ("enclave's private key", &[Point::Hello, Point::Open]),
    ("c2s key", &[Point::Open, Point::Rotated]),
    ("exporter secret", &[Point::Open, Point::Rotated]),
    ("s2c key", &[Point::Open, Point::Rotated]),
];

/// The keys that are known at a point. To compute them leaves copies of them in memory.
pub(crate) type Keys<'a> = &'a dyn Fn() -> Vec<(&'static str, Vec<u8>)>;

/// Goes through the conversation, and calls `at` at every point.
pub(crate) fn hold(suite: Suite, mut at: impl FnMut(Point, Keys<'_>)) {
    let keys = enclave_keys();
    let enclave = verified(&keys);
    let (client, hello, mut request) =
        EarlyHandshake::start(&enclave, &[suite], NOW_MS, &mut seeded(4)).unwrap();
    let mut frames = BytesMut::new();
    request.head(b"", false, &mut frames).unwrap();
    let decoded = ClientHello::decode(&hello).unwrap();
    let server = ServerHandshake::receive([&keys], &decoded).unwrap();
    let EarlyProgress::Open(server) = server.early().unwrap().accept(frames.freeze()).unwrap()
    else {
        panic!("the frame is whole");
    };
    at(Point::Hello, &|| {
        let pair = keys.dangerous_key_pair(suite.kem()).unwrap();
        let own = KeyPair::generate(suite.kem(), &mut seeded(4));
        let th0 = schedule::th0(&keys.config().hash(), suite, &decoded.key_id, &decoded.epk);
        let e = pair.receive(&decoded.enc, &schedule::hello_info(&th0)).unwrap();
        let early = schedule::early_traffic_key(&e, &schedule::thc(&th0, &hello));
        vec![
            ("enclave's private key", pair.dangerous_private_key().to_vec()),
            ("enclave's expanded key", expanded(&pair.dangerous_private_key())),
            ("client's private key", own.dangerous_private_key().to_vec()),
            ("early key", early.key.to_vec()),
        ]
    });

    let reply = server.answer(PARAMETERS, &mut seeded(5)).unwrap();
    drop((request, reply.stream.unwrap()));
    let outcome = client.finish(&reply.server_hello, NOW_MS).unwrap();
    let (client, server) = (outcome.session, reply.session);
    let stream = client.open_stream().unwrap();
    let mut request = stream.request;
    let mut frames = BytesMut::new();
    request.head(b"", false, &mut frames).unwrap();
    let pending = server.pending_stream(stream.open.stream_id);
    let Ok(Pending::Open(opened)) = pending.accept(Bytes::from(frames)) else {
        panic!("it is authentic");
    };
    let secrets = || {
        let SessionSecrets { c2s, s2c, .. } = client.dangerous_secrets();
        vec![
            ("c2s key", c2s.key.to_vec()),
            ("s2c key", s2c.key.to_vec()),
            ("exporter secret", client.dangerous_secrets().exporter_secret().to_vec()),
        ]
    };
    at(Point::Open, &secrets);
    drop(keys);
    at(Point::Rotated, &secrets);
    drop((request, stream.response, opened, outcome.response));
    drop((client, server));
    at(Point::Closed, &Vec::new);
}

/// A generator for one operation, as the proxy has them: it keeps numbers it has given out.
fn seeded(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn enclave_keys() -> EnclaveKeys {
    let hash = Sha256::digest(STATEMENT).into();
    let not_after = NOW_MS + 3_600_000;
    EnclaveKeys::generate(&Suite::ALL, 1, not_after, hash, hash, &mut seeded(1))
        .unwrap()
        .with_early_requests(1)
}

fn verified(keys: &EnclaveKeys) -> VerifiedEnclave {
    let authority = DevAuthority::new(&mut seeded(2), NOW_MS).unwrap();
    let challenge = Challenge::random(&mut seeded(3));
    let tree = MerkleTree::new(std::slice::from_ref(&challenge)).unwrap();
    let statement = user_data(keys.config());
    let request =
        Request { user_data: Some(&statement), nonce: Some(&tree.root()), public_key: None };
    let document = authority.attest(&dev::pcrs(), &request, NOW_MS).unwrap();
    let evidence = Evidence {
        key_config: keys.config().encoded(),
        document: &document,
        leaf_index: 0,
        tree_size: 1,
        path: &[],
        configuration: STATEMENT,
        manifest: STATEMENT,
    };
    let profile = PcrProfile::of(&dev::pcrs()).unwrap();
    Appraiser::new(Policy::pinned([profile]).unwrap())
        .dangerous_with_anchor(authority.trust_anchor())
        .appraise(&evidence.encode().unwrap(), &challenge, NOW_MS, "test", NOW_MS)
        .unwrap()
}

/// `z`, the second half of the seed of ML-KEM (draft-connolly-cfrg-xwing-kem, Section 5.2).
fn expanded(private: &[u8]) -> Vec<u8> {
    let mut shake = Shake256::default();
    shake.update(private);
    let mut seed = [0; 64];
    shake.finalize_xof().read(&mut seed);
    seed[32..].to_vec()
}
