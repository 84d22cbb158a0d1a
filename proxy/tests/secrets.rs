//! Keys of the running program: gone from its memory when their session is over, and never logged.
#![cfg(all(target_os = "linux", feature = "demo"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
#[path = "../../protocol-spec/tests/erasure/memory.rs"]
mod memory;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use common::client::Call;
use common::program::Program;
use common::{EVIDENCE, STREAM, app, now_ms, outer, rng};
use memory::Memory;
use std::time::Duration;
use steve_protocol::evidence::{Appraiser, Challenge, PcrProfile, Policy};
use steve_protocol::handshake::ClientHandshake;
use steve_protocol::session::ClientSession;
use steve_protocol::suite::Suite;
use steve_proxy::attester::DevAttester;
use tokio::time::sleep;

async fn connect(program: &Program, suite: Suite) -> ClientSession {
    let challenge = Challenge::random(&mut rng());
    let (sent_ms, body) = (now_ms(), challenge.as_bytes().to_vec());
    let answer = outer::call(program.address(), "POST", EVIDENCE, body).await;
    let profile = PcrProfile::of(DevAttester::new().unwrap().pcrs()).unwrap();
    let enclave = Appraiser::new(Policy::pinned([profile]).unwrap())
        .dangerous_with_anchor(program.trust_anchor())
        .appraise(&answer.body, &challenge, sent_ms, "test", now_ms())
        .unwrap();
    let (handshake, hello) =
        ClientHandshake::start(&enclave, &[suite], now_ms(), &mut rng()).unwrap();
    let answer = outer::call(program.address(), "POST", STREAM, hello).await;
    handshake.finish(&answer.body, now_ms()).unwrap()
}

fn keys(session: &ClientSession) -> [(&'static str, [u8; 32]); 3] {
    let secrets = session.dangerous_secrets();
    [("c2s", secrets.c2s.key), ("s2c", secrets.s2c.key), ("exporter", *secrets.exporter_secret())]
}

/// The forms in which bytes get into texts.
fn forms(key: &[u8]) -> [String; 4] {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal = format!("{key:?}");
    [hex, decimal, BASE64_STANDARD_NO_PAD.encode(key), BASE64_URL_SAFE_NO_PAD.encode(key)]
}

#[tokio::test(flavor = "multi_thread")]
async fn session_keys_go_with_their_session_and_never_into_the_log() {
    let options = ["--session-idle-timeout=2", "--log-level=debug", "--log-format=json"];
    let program = Program::start(app::echo().await, &options).await;
    let mut all = Vec::new();
    for suite in [Suite::X25519ChaCha20Poly1305, Suite::XWingAes256Gcm] {
        let session = connect(&program, suite).await;
        assert_eq!(Call::get("/").send(program.address(), &session).await.unwrap().status, 200);
        // One that goes wrong, for the log.
        let _ = outer::call(program.address(), "POST", STREAM, vec![2; 100]).await;
        let memory = Memory::of(program.id());
        for (name, key) in keys(&session) {
            assert!(memory.holds(&key), "{name} key of a live session of {suite:?}");
            all.push((name, suite, key));
        }
    }
    let mut left = Vec::new();
    for _ in 0..60 {
        sleep(Duration::from_millis(500)).await;
        let memory = Memory::of(program.id());
        left = all.iter().filter(|(_, _, key)| memory.holds(key)).map(|(n, s, _)| (n, s)).collect();
        if left.is_empty() {
            break;
        }
    }
    assert!(left.is_empty(), "still in memory after half a minute: {left:?}");

    program.terminate();
    let (_, log) = program.end().await;
    assert!(log.contains("stream ended"), "{log}");
    for (name, suite, key) in &all {
        for form in forms(key) {
            assert!(!log.contains(&form), "{name} key of {suite:?} is in the log");
        }
    }
}
