//! An enclave that does not exist: keys, a development authority and sessions.

use bytes::Bytes;
use http::StatusCode;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use steve_protocol::evidence::dev::{self, DevAuthority, Request};
use steve_protocol::evidence::{Challenge, Evidence, MerkleTree, Pcrs, user_data};
use steve_protocol::handshake::{
    ClientHello, EarlyProgress, EarlyReply, EnclaveKeys, ServerHandshake, SessionParameters,
};
use steve_protocol::session::{ServerSession, ServerStream, SessionId};
use steve_protocol::suite::Suite;

pub(crate) const CONFIGURATION: &[u8] = br#"{"app":"test"}"#;
pub(crate) const MANIFEST: &[u8] = br#"{"app_sources":["https://example.com/app.git"],"commit":"7696d8b5f2bbf0576419f98d2689ed2e3a38a178"}"#;

/// Parameters that tests do not depend on.
pub(crate) const PARAMETERS: SessionParameters = SessionParameters {
    lifetime: Duration::from_secs(3600),
    idle_timeout: Duration::from_secs(600),
    max_head_size: 65_536,
    max_streams: 100,
};

/// What the enclave says of itself.
#[derive(Clone)]
pub(crate) struct Testimony {
    pub(crate) pcrs: Pcrs,
    /// Added to the time.
    pub(crate) clock_offset_ms: i64,
    /// The answer to the first challenge, again and again.
    pub(crate) replay: bool,
    /// As to a GET request: no challenge answered.
    pub(crate) unchallenged: bool,
    /// Sent instead of evidence.
    pub(crate) garbage: Option<Vec<u8>>,
    /// Changes the encoded evidence.
    pub(crate) tamper: bool,
}

pub(crate) struct Enclave {
    pub(crate) authority: DevAuthority,
    pub(crate) testimony: Mutex<Testimony>,
    pub(crate) parameters: Mutex<SessionParameters>,
    pub(crate) suites: Mutex<Vec<Suite>>,
    keys: Mutex<EnclaveKeys>,
    first_evidence: Mutex<Option<Vec<u8>>>,
    pub(crate) sessions: Mutex<HashMap<SessionId, Arc<ServerSession>>>,
    pub(crate) evidence_requests: AtomicUsize,
    pub(crate) handshakes: AtomicUsize,
}

pub(crate) fn rng() -> rand::rngs::StdRng {
    rand::SeedableRng::try_from_rng(&mut rand::rngs::SysRng).unwrap()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

fn keys(suites: &[Suite]) -> EnclaveKeys {
    use sha2::{Digest, Sha256};
    let hash = |bytes| Sha256::digest(bytes).into();
    let not_after = now_ms() + 3_600_000;
    let (manifest, configuration) = (hash(MANIFEST), hash(CONFIGURATION));
    EnclaveKeys::generate(suites, 1, not_after, manifest, configuration, &mut rng()).unwrap()
}

impl Enclave {
    pub(crate) fn new() -> Self {
        let testimony = Testimony {
            pcrs: dev::pcrs(),
            clock_offset_ms: 0,
            replay: false,
            unchallenged: false,
            garbage: None,
            tamper: false,
        };
        Self {
            authority: DevAuthority::new(&mut rng(), now_ms()).unwrap(),
            testimony: Mutex::new(testimony),
            parameters: Mutex::new(PARAMETERS),
            suites: Mutex::new(Suite::ALL.to_vec()),
            keys: Mutex::new(keys(&Suite::ALL)),
            first_evidence: Mutex::default(),
            sessions: Mutex::default(),
            evidence_requests: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
        }
    }

    /// From now on early requests are accepted, up to so many.
    pub(crate) fn accept_early(&self, capacity: usize) {
        let keys = keys(&self.suites.lock().unwrap()).with_early_requests(capacity);
        *self.keys.lock().unwrap() = keys;
    }

    /// New keys, no sessions: as after a restart.
    pub(crate) fn restart(&self) {
        *self.keys.lock().unwrap() = keys(&self.suites.lock().unwrap());
        self.forget_sessions();
    }

    pub(crate) fn forget_sessions(&self) {
        self.sessions.lock().unwrap().clear();
    }

    pub(crate) fn evidence(&self, challenge: &[u8]) -> Vec<u8> {
        self.evidence_requests.fetch_add(1, SeqCst);
        let testimony = self.testimony.lock().unwrap().clone();
        if let Some(garbage) = testimony.garbage {
            return garbage;
        }
        let mut first = self.first_evidence.lock().unwrap();
        if let (true, Some(first)) = (testimony.replay, &*first) {
            return first.clone();
        }
        let keys = self.keys.lock().unwrap();
        let tree = MerkleTree::new(&[Challenge::try_from(challenge).unwrap()]).unwrap();
        let nonce = (!testimony.unchallenged).then(|| tree.root());
        let user_data = user_data(keys.config());
        let request = Request {
            user_data: Some(&user_data),
            nonce: nonce.as_ref().map(|nonce| &nonce[..]),
            public_key: None,
        };
        let time = now_ms().checked_add_signed(testimony.clock_offset_ms).unwrap();
        let document = self.authority.attest(&testimony.pcrs, &request, time).unwrap();
        let mut evidence = Evidence {
            key_config: keys.config().encoded(),
            document: &document,
            leaf_index: 0,
            tree_size: u32::from(!testimony.unchallenged),
            path: &[],
            configuration: CONFIGURATION,
            manifest: MANIFEST,
        };
        if testimony.tamper {
            evidence.manifest = b"another manifest";
        }
        let evidence = evidence.encode().unwrap();
        first.get_or_insert_with(|| evidence.clone());
        evidence
    }

    /// The answer to a ClientHello, and the early request behind it if it is accepted.
    pub(crate) fn handshake(
        &self,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<Box<ServerStream>>), StatusCode> {
        self.handshakes.fetch_add(1, SeqCst);
        let malformed = |_| StatusCode::BAD_REQUEST;
        let unrecognized = |_| StatusCode::UNPROCESSABLE_ENTITY;
        let prefix = message.first_chunk().ok_or(StatusCode::BAD_REQUEST)?;
        let len = ClientHello::len_from_prefix(prefix).map_err(malformed)?;
        let (hello, frames) = message.split_at_checked(len).ok_or(StatusCode::BAD_REQUEST)?;
        let hello = ClientHello::decode(hello).map_err(malformed)?;
        let keys = self.keys.lock().unwrap();
        let handshake = ServerHandshake::receive([&*keys], &hello).map_err(unrecognized)?;
        let parameters = *self.parameters.lock().unwrap();
        if !handshake.offers_early() {
            assert!(frames.is_empty());
            let (session, server_hello) = handshake.reply(parameters, &mut rng()).unwrap();
            self.sessions.lock().unwrap().insert(session.id(), Arc::new(session));
            return Ok((server_hello, None));
        }
        let early = handshake.early().unwrap().accept(Bytes::copy_from_slice(frames));
        let Ok(EarlyProgress::Open(early)) = early else { panic!("small requests come whole") };
        let EarlyReply { session, server_hello, stream } =
            early.answer(parameters, &mut rng()).map_err(unrecognized)?;
        self.sessions.lock().unwrap().insert(session.id(), session);
        Ok((server_hello, stream))
    }

    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<ServerSession>> {
        self.sessions.lock().unwrap().get(id).cloned()
    }
}
