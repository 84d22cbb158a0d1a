//! Policies that the app's owner signs, and their change while a client runs.

use crate::enclave::now_ms;
use crate::proxy::Proxy;
use crate::support::{bare_builder, exchange, policy};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use steve_protocol::evidence::dev::{self, PolicySigner, policy_file};
use steve_sdk::{
    AppraisalError, Body, Client, NotProven, Pcr, PcrProfile, PcrTrust, Policy, PolicyFileError,
    PolicyLoadError, PolicyLoader, PolicyOwner, RequestBody, SignedPolicy,
};
use tokio::sync::mpsc;

pub(crate) const NAMESPACE: &str = "app.example.com";
pub(crate) const YEAR_3000_MS: u64 = 32_503_680_000_000;

pub(crate) fn signer() -> PolicySigner {
    PolicySigner::new([7; 8], [8; 32])
}

/// Profiles that the enclave does not satisfy, and one that it does.
pub(crate) fn profiles(good: bool) -> Vec<(&'static str, PcrProfile)> {
    let own = PcrProfile::of(&dev::pcrs()).unwrap();
    let other = PcrProfile::new([0, 1, 2].map(|register| (register, Pcr::from([9; 48])))).unwrap();
    let mut profiles = vec![("2026-11 blue", other)];
    profiles.extend(good.then_some(("2026-11 green", own)));
    profiles
}

fn loader() -> PolicyLoader {
    let key = signer().public_key().parse().unwrap();
    PolicyLoader::new(PolicyOwner::new([key], NAMESPACE).unwrap())
}

fn load(
    loader: &PolicyLoader,
    version: u64,
    expires_ms: u64,
    good: bool,
) -> Result<SignedPolicy, PolicyLoadError> {
    let file = policy_file(NAMESPACE, version, expires_ms, &profiles(good));
    loader.load(file.as_bytes(), signer().sign(file.as_bytes()).as_bytes())
}

fn client(proxy: &Proxy, policy: SignedPolicy) -> Client {
    bare_builder(proxy).policy(Policy::signed(policy)).build().unwrap()
}

#[tokio::test]
async fn row_27_what_was_loaded_earlier_does_not_replace_what_is_newer() {
    let proxy = Proxy::start(None).await;
    let loader = loader();
    let older = load(&loader, 2, YEAR_3000_MS, true).unwrap();
    let newer = load(&loader, 3, YEAR_3000_MS, false).unwrap();
    let client = client(&proxy, load(&self::loader(), 1, YEAR_3000_MS, true).unwrap());
    client.update_policy(Policy::signed(newer));
    client.update_policy(Policy::signed(older));
    exchange(&client, "GET", "/", "").await.unwrap_err();
    assert_eq!(*proxy.app.requests.lock().unwrap(), [""; 0]);
}

/// An exchange that stays open, and answers what it is sent.
async fn open(client: &Client) -> (mpsc::Sender<Bytes>, Body) {
    let (send, receive) = mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receive, |mut receive| async {
        Some((Ok::<_, Infallible>(Frame::data(receive.recv().await?)), receive))
    });
    let body = RequestBody::new(StreamBody::new(Box::pin(frames)));
    let response = client.post("/").body(body).send().await.unwrap();
    (send, response.into_body())
}

async fn goes_on((send, mut body): (mpsc::Sender<Bytes>, Body)) {
    send.send(Bytes::from_static(b"more")).await.unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "more");
    drop(send);
    assert!(body.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn rows_27_and_33_a_signed_policy_admits_the_enclave_and_the_report_says_which() {
    let proxy = Proxy::start(None).await;
    let loader = loader();
    let client = client(&proxy, load(&loader, 7, YEAR_3000_MS, true).unwrap());
    let enclave = client.verify().await.unwrap();
    let Some(PcrTrust::Pinned { profile: 1, policy: Some(policy), .. }) = enclave.trust() else {
        panic!("{:?}", enclave.trust())
    };
    assert_eq!((policy.version(), policy.signer()), (7, signer().id()));
    let report = enclave.report().to_string();
    assert!(report.contains("satisfies profile 1 \"2026-11 green\""), "{report}");
    assert!(enclave.report().not_proven().contains(&NotProven::EarlierPolicy));
    exchange(&client, "GET", "/", "").await.unwrap();
}

#[tokio::test]
async fn row_27_a_new_policy_counts_at_once_and_an_old_one_never_again() {
    let proxy = Proxy::start(None).await;
    let loader = loader();
    let client = client(&proxy, load(&loader, 7, YEAR_3000_MS, true).unwrap());
    let begun = open(&client).await;

    client.update_policy(Policy::signed(load(&loader, 8, YEAR_3000_MS, false).unwrap()));
    let error = exchange(&client, "GET", "/", "").await.unwrap_err();
    assert!(error.is_policy_refusal(), "{error}");
    let message = error.to_string();
    assert!(message.contains("policy version 8 of signer 0707070707070707"), "{message}");
    assert!(message.contains("profile 0 \"2026-11 blue\": PCR0 expected 0909"), "{message}");
    goes_on(begun).await;
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);

    let rollback = PolicyFileError::Rollback { version: 7, seen: 8 };
    assert_eq!(load(&loader, 7, YEAR_3000_MS, true), Err(rollback.into()));
    client.update_policy(Policy::signed(load(&loader, 9, YEAR_3000_MS, true).unwrap()));
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 2);
    client.update_policy(policy());
    assert!(matches!(
        client.verify().await.unwrap().trust(),
        Some(PcrTrust::Pinned { policy: None, .. })
    ));
}

#[tokio::test]
async fn row_27_nothing_begins_after_the_policy_has_expired() {
    let proxy = Proxy::start(None).await;
    let expires_ms = (now_ms() / 1000 + 10) * 1000;
    let loader = loader();
    let client = client(&proxy, load(&loader, 7, expires_ms, true).unwrap());
    let begun = open(&client).await;
    tokio::time::sleep(Duration::from_millis(expires_ms.saturating_sub(now_ms()))).await;

    let error = exchange(&client, "GET", "/", "").await.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error}"));
    assert!(matches!(refusal.error(), AppraisalError::PolicyExpired { .. }), "{error}");
    assert!(error.is_policy_refusal() && !error.is_evidence_invalid());
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1, "nothing is sent");
    goes_on(begun).await;

    assert!(load(&loader, 7, expires_ms, true).is_err());
    client.update_policy(Policy::signed(load(&loader, 8, YEAR_3000_MS, true).unwrap()));
    exchange(&client, "GET", "/", "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_27_a_policy_that_comes_while_evidence_is_fetched_decides() {
    for (before, after) in [(false, true), (true, false)] {
        let proxy = Proxy::start(None).await;
        let loader = loader();
        let client = client(&proxy, load(&loader, 7, YEAR_3000_MS, before).unwrap());
        let verifying = client.clone();
        let verifying = {
            // The enclave cannot answer before this is released.
            let _held = proxy.enclave.testimony.lock().unwrap();
            let verifying = tokio::spawn(async move { verifying.verify().await });
            while proxy.enclave.evidence_requests.load(SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            client.update_policy(Policy::signed(load(&loader, 8, YEAR_3000_MS, after).unwrap()));
            verifying
        };
        assert_eq!(verifying.await.unwrap().is_ok(), after);
        assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2);
    }
}
