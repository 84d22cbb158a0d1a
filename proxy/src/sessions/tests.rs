use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use steve_protocol::handshake::{ClientHello, EnclaveKeys, ServerHandshake, SessionParameters};
use steve_protocol::kem::{self, KeyPair};
use steve_protocol::schedule::{hello_info, th0};
use steve_protocol::suite::Suite;

const IN_USE: usize = 4;
const WAITING: usize = 3;

/// What handshakes with a client without rules give.
fn handshake(keys: &EnclaveKeys, rng: &mut StdRng) -> Arc<ServerSession> {
    let suite = Suite::X25519Aes256Gcm;
    let key = keys.config().key(suite).unwrap();
    let epk = KeyPair::generate(suite.kem(), rng).public_key().to_vec();
    let info = hello_info(&th0(&keys.config().hash(), suite, &key.key_id, &epk));
    let (enc, _) = kem::send(suite.kem(), &key.public_key, &info, rng).unwrap();
    let hello = ClientHello { suite, early_data: false, key_id: key.key_id, enc, epk };
    let parameters = SessionParameters {
        lifetime: Duration::from_secs(3600),
        idle_timeout: Duration::from_secs(3600),
        max_head_size: 1024,
        max_streams: 2,
    };
    let handshake = ServerHandshake::receive([keys], &hello).unwrap();
    handshake.reply(parameters, rng).unwrap().0.into()
}

/// A session as a client knows it, with the streams it has open.
struct Known {
    session: Arc<Session>,
    streams: Vec<StreamPermit>,
}

#[test]
fn row_19_whatever_happens_a_session_that_is_busy_stays_and_the_newest_wait() {
    for seed in 0..20 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let suites = [Suite::X25519Aes256Gcm];
        let keys = EnclaveKeys::generate(&suites, 1, 1, [0; 32], [0; 32], rng).unwrap();
        let limits = Limits { max_sessions: IN_USE, max_unconfirmed: WAITING, ..Limits::default() };
        let sessions = Sessions::new(&limits);
        let mut known: Vec<Known> = Vec::new();
        for _ in 0..100 {
            let at = rng.random_range(0..known.len().max(1));
            match (rng.random_range(0..5), known.get_mut(at)) {
                (0, _) | (_, None) => {
                    let before = sessions.confirmed_count();
                    let session = sessions.insert(handshake(&keys, rng));
                    assert_eq!(sessions.confirmed_count(), before, "displaces none in use");
                    known.push(Known { session, streams: Vec::new() });
                }
                (1 | 2, Some(_)) => confirm(&sessions, &known, at),
                (3, Some(one)) => {
                    let found = sessions.get(one.session.id());
                    one.streams.extend(found.map(|session| session.open_stream()));
                }
                (_, Some(one)) => drop(one.streams.pop()),
            }
            check(&sessions, &known);
        }
    }
}

fn is_busy(one: &&Known) -> bool {
    one.session.is_confirmed() && !one.streams.is_empty()
}

/// Only a table full of busy sessions refuses, and who is refused is not in it.
fn confirm(sessions: &Sessions, known: &[Known], at: usize) {
    let session = &known[at].session;
    let was_confirmed = session.is_confirmed();
    let busy = known.iter().filter(is_busy).count();
    let result = sessions.confirm(session);
    assert_eq!(result.is_ok(), was_confirmed || busy < IN_USE);
    assert_eq!(session.is_confirmed(), result.is_ok());
}

fn check(sessions: &Sessions, known: &[Known]) {
    let (in_use, waiting) = sessions.counts();
    assert!(in_use <= IN_USE && waiting <= WAITING);
    for one in known {
        match sessions.get(one.session.id()) {
            Some(found) => assert!(Arc::ptr_eq(&found, &one.session)),
            None => assert!(!is_busy(&one), "a busy session stays"),
        }
    }
    let newest = known.iter().rev().filter(|one| !one.session.is_confirmed());
    for one in newest.take(waiting.min(1)) {
        assert!(sessions.get(one.session.id()).is_some(), "the newest waits");
    }
    assert!(sessions.get(&[0; 16]).is_none());
}
