//! Evidence that proves something, and evidence that does not.

use crate::enclave::{MANIFEST, now_ms};
use crate::proxy::Proxy;
use crate::support::{bare_builder, builder, exchange, pair, policy};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use steve_protocol::evidence::dev;
use steve_sdk::{
    AppraisalError, Check, Client, Error, FilePinStore, HandshakeError, NotProven, Outcome, Pcr,
    PcrProfile, PcrTrust, Pcrs, Policy, Suite,
};

/// Verifies, expecting that it fails at `check`; gives the message.
async fn refused(client: &Client, check: Check) -> String {
    let error = client.verify().await.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(refusal.error().check(), check, "{error}");
    assert_eq!(error.is_policy_refusal(), check == Check::Policy);
    assert_eq!(error.is_evidence_invalid(), check != Check::Policy);
    assert!(!error.is_transport() && !error.is_channel());
    error.to_string()
}

#[tokio::test]
async fn verified_evidence_comes_with_a_report() {
    let (proxy, client) = pair().await;
    let enclave = client.verify().await.unwrap();
    assert_eq!(enclave.module_id(), proxy.enclave.authority.module_id());
    assert_eq!(enclave.manifest(), MANIFEST);
    for line in enclave.report().checks() {
        assert_eq!(line.outcome, Outcome::Passed, "{}", line.check);
    }
    assert!(enclave.report().not_proven().contains(&NotProven::NitroEnclave));
    assert!(enclave.valid_until_ms() > now_ms());
}

#[tokio::test]
async fn a_policy_mismatch_names_the_pcr_and_both_values() {
    let proxy = Proxy::start(None).await;
    let found = dev::pcrs();
    let wrong = Pcr::from([0xab; 48]);
    let expected = [(0, *found.get(0).unwrap()), (1, wrong), (2, *found.get(2).unwrap())];
    let policy = Policy::pinned([PcrProfile::new(expected).unwrap()]).unwrap();
    let client = bare_builder(&proxy).policy(policy).build().unwrap();

    let message = refused(&client, Check::Policy).await;
    let found = found.get(1).unwrap();
    assert!(message.contains(&format!("PCR1 expected {wrong}, found {found}")), "{message}");
    assert!(!message.contains("PCR0 expected"), "{message}");
    exchange(&client, "GET", "/", "").await.unwrap_err();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 0, "nothing is sent to it");
}

#[tokio::test]
async fn row_03_documents_of_the_past_and_the_future_are_refused() {
    let (proxy, client) = pair().await;
    for offset in [-3_600_000, -301_000, 301_000 + 5_000, 3_600_000] {
        proxy.enclave.testimony.lock().unwrap().clock_offset_ms = offset;
        refused(&client, Check::Timestamp).await;
    }
    proxy.enclave.testimony.lock().unwrap().clock_offset_ms = -30_000;
    client.verify().await.unwrap();
    let strict = builder(&proxy).max_evidence_age(Duration::from_secs(20)).build().unwrap();
    refused(&strict, Check::Timestamp).await;
    proxy.enclave.testimony.lock().unwrap().clock_offset_ms = 30_000;
    client.verify().await.unwrap();
    let strict = builder(&proxy).max_clock_skew(Duration::from_secs(20)).build().unwrap();
    refused(&strict, Check::Timestamp).await;
}

#[tokio::test]
async fn a_foreign_root_is_refused() {
    let (proxy, other) = (Proxy::start(None).await, Proxy::start(None).await);
    let origin = format!("http://{}", proxy.address);
    let aws_only = Client::builder(&origin).policy(policy()).build().unwrap();
    refused(&aws_only, Check::Root).await;
    let root = other.enclave.authority.root_der();
    let builder = Client::builder(&origin).policy(policy()).dangerous_attestation_root(root);
    refused(&builder.build().unwrap(), Check::Root).await;
    let root = proxy.enclave.authority.root_der();
    let builder = Client::builder(&origin).policy(policy()).dangerous_attestation_root(root);
    builder.build().unwrap().verify().await.unwrap();
}

#[tokio::test]
async fn rows_2_and_3_replayed_and_unchallenged_evidence_is_refused() {
    let (proxy, client) = pair().await;
    proxy.enclave.testimony.lock().unwrap().replay = true;
    client.verify().await.unwrap();
    refused(&client, Check::Nonce).await;
    refused(&builder(&proxy).build().unwrap(), Check::Nonce).await;

    let (proxy, client) = pair().await;
    proxy.enclave.testimony.lock().unwrap().unchallenged = true;
    refused(&client, Check::Nonce).await;
}

#[tokio::test]
async fn row_12_debug_mode_is_refused() {
    let (proxy, client) = pair().await;
    let zero: Pcrs = (0..16).map(|register| (register, Pcr::from([0; 48]))).collect();
    proxy.enclave.testimony.lock().unwrap().pcrs = zero;
    refused(&client, Check::DebugMode).await;
}

#[tokio::test]
async fn row_26_a_changed_manifest_is_refused() {
    let (proxy, client) = pair().await;
    proxy.enclave.testimony.lock().unwrap().tamper = true;
    refused(&client, Check::Manifest).await;
}

#[tokio::test]
async fn row_18_answers_that_are_no_evidence() {
    let (proxy, client) = pair().await;
    for (len, too_long) in [(0, false), (196_608, false), (196_609, true), (5_000_000, true)] {
        proxy.enclave.testimony.lock().unwrap().garbage = Some(vec![0; len]);
        match client.verify().await.unwrap_err() {
            Error::NotSteve { .. } => assert!(too_long, "{len}"),
            Error::Evidence(refusal) => {
                assert_eq!(refusal.error().check(), Check::Encoding);
                assert!(!too_long, "{len}");
            }
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn trust_on_first_use_accepts_no_second_image() {
    let proxy = Proxy::start(None).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pins.json");
    let client = || {
        let store = FilePinStore::new(&path);
        bare_builder(&proxy).pin_store(store).build().unwrap()
    };

    let enclave = client().verify().await.unwrap();
    assert_eq!(enclave.trust(), Some(&PcrTrust::FirstUse));
    assert!(enclave.report().not_proven().contains(&NotProven::FirstUse));
    let enclave = client().verify().await.unwrap();
    assert!(matches!(enclave.trust(), Some(PcrTrust::KnownSince { .. })));

    let honest = dev::pcrs();
    let value =
        |register| if register == 0 { Pcr::from([9; 48]) } else { *honest.get(register).unwrap() };
    let pcrs: Pcrs = (0..16).map(|register| (register, value(register))).collect();
    proxy.enclave.testimony.lock().unwrap().pcrs = pcrs;
    refused(&client(), Check::Policy).await;

    std::fs::write(&path, "damaged").unwrap();
    let error = client().verify().await.unwrap_err();
    assert!(matches!(error.refusal().unwrap().error(), AppraisalError::PinStore(_)));
    assert!(error.to_string().contains("pins.json"), "{error}");
}

#[tokio::test]
async fn evidence_is_renewed_when_it_has_aged() {
    let proxy = Proxy::start(None).await;
    let client = builder(&proxy).max_evidence_age(Duration::from_secs(3)).build().unwrap();
    for _ in 0..5 {
        exchange(&client, "GET", "/", "").await.unwrap();
    }
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 1);
    tokio::time::sleep(Duration::from_millis(3100)).await;
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2);
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 2);
}

#[tokio::test]
async fn no_suite_but_those_allowed() {
    let proxy = Proxy::start(None).await;
    *proxy.enclave.suites.lock().unwrap() =
        vec![Suite::X25519ChaCha20Poly1305, Suite::X25519Aes256Gcm];
    proxy.enclave.restart();
    let client = builder(&proxy).build().unwrap();
    let error = exchange(&client, "GET", "/", "").await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::NoCommonSuite)), "{error}");
    assert!(error.is_policy_refusal());

    let client = builder(&proxy).suites([Suite::X25519Aes256Gcm]).build().unwrap();
    exchange(&client, "GET", "/", "").await.unwrap();
}
