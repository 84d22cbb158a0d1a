//! What happens over time: key rotation, and an attester that fails for a while.
#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::client::Call;
use common::{EVIDENCE, Fixture, HEALTH, STREAM, app, now_ms, outer, rng};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use steve_protocol::evidence::dev::{self, DevAuthority, Request};
use steve_protocol::evidence::{Evidence, UnverifiedDocument};
use steve_protocol::handshake::ClientHandshake;
use steve_protocol::key_config::KeyConfig;
use steve_protocol::suite::Suite;
use steve_proxy::attester::{AttestError, Attester, DevAttester};
use steve_proxy::{Config, StartError, start};
use tokio::time::sleep;

const SUITE: Suite = Suite::X25519Aes256Gcm;

#[tokio::test]
async fn row_15_keys_rotate_overlap_and_are_gone() {
    let proxy = Fixture::with(app::echo().await, |c| {
        c.limits.key_rotation = Duration::from_secs(2);
        c.limits.key_overlap = Duration::from_secs(1);
    })
    .await;
    let enclave = proxy.attest().await;
    let first = enclave.key_config().fields().clone();
    assert_eq!(first.epoch, 1);
    let life = first.not_after - now_ms();
    assert!((1000..=3000).contains(&life), "{life} ms");
    let session = proxy.handshake(&enclave, SUITE).await;
    let (_, early) = ClientHandshake::start(&enclave, &[SUITE], now_ms(), &mut rng()).unwrap();
    let (_, late) = ClientHandshake::start(&enclave, &[SUITE], now_ms(), &mut rng()).unwrap();

    sleep(Duration::from_millis(2400)).await;
    let answer = outer::call(proxy.address, "POST", STREAM, early).await;
    assert_eq!(answer.status, 200, "the previous key is still honoured");
    let second = proxy.attest().await;
    assert_eq!(second.key_config().fields().epoch, 2);
    assert_ne!(second.key_config().key(SUITE).unwrap().key_id, first.keys[2].key_id);
    let answer = outer::call(proxy.address, "GET", EVIDENCE, "").await;
    let evidence = Evidence::decode(&answer.body).unwrap();
    assert_eq!(KeyConfig::decode(evidence.key_config).unwrap().fields().epoch, 2);

    sleep(Duration::from_millis(900)).await;
    let answer = outer::call(proxy.address, "POST", STREAM, late).await;
    assert_eq!(answer.status, 422, "the previous key is gone");
    let answer = Call::get("/").send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.status, 200, "sessions outlive their keys");
}

/// Fails when told to.
struct Moody(DevAttester, Arc<AtomicBool>);

impl Attester for Moody {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(AttestError::Dev("told to".into()));
        }
        self.0.attest(user_data, nonce)
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(AttestError::Dev("told to".into()));
        }
        self.0.random()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

#[tokio::test]
async fn row_16_without_the_attesters_random_numbers_there_is_no_start() {
    let attester = Moody(DevAttester::new().unwrap(), Arc::new(AtomicBool::new(true)));
    let config = Config { upstream: "http://127.0.0.1:1".to_owned(), ..Config::default() };
    let Err(error) = start(config, Box::new(attester)).await else { panic!("it has started") };
    assert!(matches!(error, StartError::Attester(_)), "{error}");
}

#[tokio::test]
async fn a_failing_attester_turns_health_red_and_sessions_go_on() {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = fails.clone();
    let proxy = Fixture::with_attester(
        app::echo().await,
        |c| c.limits.attester_retry = Duration::from_millis(100),
        |attester| Box::new(Moody(attester, switch)),
    )
    .await;
    let session = proxy.connect(SUITE).await;
    fails.store(true, Ordering::Relaxed);
    let answer = outer::call(proxy.address, "POST", EVIDENCE, vec![7; 32]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    let health = outer::call(proxy.address, "GET", HEALTH, "").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.body, r#"{"status":"unavailable"}"#);
    let answer = Call::get("/").send(proxy.address, &session).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(outer::call(proxy.address, "GET", EVIDENCE, "").await.status, 200);

    fails.store(false, Ordering::Relaxed);
    proxy.attest().await;
    assert_eq!(outer::call(proxy.address, "GET", HEALTH, "").await.status, 200);
}

/// Its signing certificates are valid for four seconds, and renewed every two.
struct ShortLived(DevAuthority);

impl Attester for ShortLived {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        let request = Request { user_data: Some(user_data), nonce, public_key: None };
        let document = self.0.attest(&dev::pcrs(), &request, now_ms());
        document.map_err(|error| AttestError::Dev(error.to_string()))
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        Ok(None)
    }

    fn name(&self) -> &'static str {
        "short-lived"
    }
}

#[tokio::test]
async fn unchallenged_evidence_is_made_anew_before_its_certificate_expires() {
    let authority = DevAuthority::new(&mut rng(), now_ms()).unwrap();
    let proxy = Fixture::with_attester(
        app::echo().await,
        |c| c.limits.attester_retry = Duration::from_millis(100),
        |_| Box::new(ShortLived(authority.leaf_lifetime(Duration::from_secs(4)))),
    )
    .await;
    let mut documents = BTreeSet::new();
    for _ in 0..50 {
        sleep(Duration::from_millis(100)).await;
        let answer = outer::call(proxy.address, "GET", EVIDENCE, "").await;
        assert_eq!(answer.status, 200);
        let evidence = Evidence::decode(&answer.body).unwrap();
        let document = UnverifiedDocument::decode(evidence.document).unwrap();
        assert!(document.leaf_not_after_ms().unwrap() > now_ms(), "an expired certificate");
        documents.insert(document.timestamp_ms());
    }
    assert!(documents.len() > 1, "{documents:?}");
}

#[tokio::test]
async fn health_recovers_without_a_client() {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = fails.clone();
    let proxy = Fixture::with_attester(
        app::echo().await,
        |c| {
            c.limits.attester_retry = Duration::from_millis(50);
            c.limits.unchallenged_refresh = Duration::from_millis(50);
        },
        |attester| Box::new(Moody(attester, switch)),
    )
    .await;
    for failing in [true, false, true, false] {
        fails.store(failing, Ordering::Relaxed);
        let mut status = 0;
        for _ in 0..200 {
            status = outer::call(proxy.address, "GET", HEALTH, "").await.status.as_u16();
            if (status == 503) == failing {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status, if failing { 503 } else { 200 });
    }
}
