//! Appraisal under a policy that its owner has signed.

use super::policy_file::{EXPIRES_MS, NAMESPACE, measurements, owner, policy, signer};
use super::scene::{KEY_LIFETIME_MS, NOW_MS, SENT_MS, Scene};
use serde_json::{Value, json};
use steve_protocol::evidence::{
    AppraisalError, Appraiser, Check, NotProven, Outcome, PcrTrust, Policy, SignedPolicy, dev,
};

/// The measurements of the scene's enclave.
fn own() -> Value {
    let registers = dev::pcrs();
    let own = registers.iter().take(3).map(|(i, pcr)| (format!("PCR{i}"), pcr.to_string().into()));
    Value::Object(own.collect())
}

fn signed(expires: &str, profiles: Value) -> SignedPolicy {
    let mut policy = policy();
    (policy["expires"], policy["profiles"]) = (expires.into(), profiles);
    let file = policy.to_string();
    let signature = signer().sign(file.as_bytes());
    owner().verify(file.as_bytes(), signature.as_bytes(), None, 0).unwrap()
}

fn scene(policy: SignedPolicy) -> Scene {
    let mut scene = Scene::new();
    scene.appraiser = Appraiser::new(Policy::signed(policy))
        .dangerous_with_anchor(scene.authority.trust_anchor());
    scene
}

#[test]
fn rows_27_and_33_the_report_says_whose_policy_it_was_and_what_that_does_not_prove() {
    let profiles =
        json!([{ "label": "blue", "pcrs": measurements(1) }, { "label": "green", "pcrs": own() }]);
    let policy = signed("2027-02-01T00:00:00Z", profiles.clone());
    let enclave = scene(policy.clone()).appraise().unwrap();
    let Some(PcrTrust::Pinned { profile: 1, policy: Some(found), .. }) = enclave.trust() else {
        panic!("{:?}", enclave.trust())
    };
    assert_eq!(**found, policy);
    let expected = format!(
        "policy version 7 of signer {}, which expires at 2027-02-01T00:00:00Z; satisfies profile 1 \
         \"green\": PCR0, PCR1, PCR2",
        signer().id()
    );
    assert_eq!(enclave.report().check(Check::Policy).detail, expected);
    let open = enclave.report().not_proven();
    assert!(open.contains(&NotProven::NewerPolicy) && open.contains(&NotProven::EarlierPolicy));

    let mut file = super::policy_file::policy();
    file["profiles"] = profiles;
    let (file, seen) = (file.to_string(), policy.seen());
    let signature = signer().sign(file.as_bytes());
    let again = owner().verify(file.as_bytes(), signature.as_bytes(), Some(&seen), 0).unwrap();
    let enclave = scene(again).appraise().unwrap();
    let open = enclave.report().not_proven();
    assert!(open.contains(&NotProven::NewerPolicy) && !open.contains(&NotProven::EarlierPolicy));
}

#[test]
fn row_27_a_verified_enclave_ends_with_the_policy() {
    assert_eq!(EXPIRES_MS % 1000, 0);
    let profiles = json!([{ "pcrs": own() }]);
    let long = scene(signed("2030-01-01T00:00:00Z", profiles.clone())).appraise().unwrap();
    assert_eq!(long.valid_until_ms(), SENT_MS + KEY_LIFETIME_MS.min(300_000));
    // 1.8e12 is 2027-01-15T08:00:00Z.
    let short = scene(signed("2027-01-15T08:01:00Z", profiles.clone())).appraise().unwrap();
    assert_eq!(short.valid_until_ms(), 1_800_000_060_000);

    let mut late = scene(signed("2027-01-15T08:00:01Z", profiles));
    late.now_ms = 1_800_000_000_999;
    late.appraise().unwrap();
    late.now_ms += 1;
    let refusal = late.appraise().unwrap_err();
    let AppraisalError::PolicyExpired { policy, now_ms } = refusal.error() else {
        panic!("{refusal}")
    };
    assert_eq!((policy.version(), *now_ms), (7, late.now_ms));
    assert_eq!(refusal.error().check(), Check::Policy);
    assert!(refusal.to_string().contains("expires at 2027-01-15T08:00:01Z, and now it is"));

    let unchallenged = late.unchallenged();
    let audited = unchallenged.appraiser.audit(&unchallenged.evidence(), "", NOW_MS + 900);
    assert_eq!(audited.unwrap().report().check(Check::Policy).outcome, Outcome::Passed);
    let audited = unchallenged.appraiser.audit(&unchallenged.evidence(), "", NOW_MS + 940);
    let error = audited.unwrap_err();
    assert!(matches!(error.error(), AppraisalError::PolicyExpired { .. }), "{error}");
}

#[test]
fn row_27_profiles_of_a_signed_policy_are_never_combined() {
    let mut near = own();
    near["PCR1"] = "01".repeat(48).into();
    let mut other = measurements(1);
    other["pcr1"] = own()["PCR1"].clone();
    let profiles = json!([{ "label": "near", "pcrs": near }, { "pcrs": other }]);
    let refusal = scene(signed("2027-02-01T00:00:00Z", profiles)).appraise().unwrap_err();
    let AppraisalError::Policy(mismatch) = refusal.error() else { panic!("{refusal}") };
    assert_eq!(mismatch.policy.as_ref().unwrap().namespace(), NAMESPACE);
    let ones = "01".repeat(48);
    let found = |index| dev::pcrs().get(index).unwrap().to_string();
    let expected = format!(
        "policy version 7 of signer {}, which expires at 2027-02-01T00:00:00Z, allows none of these \
         measurements: profile 0 \"near\": PCR1 expected {ones}, found {}; profile 1: PCR0 expected \
         {ones}, found {}, PCR2 expected {ones}, found {}",
        signer().id(),
        found(1),
        found(0),
        found(2)
    );
    assert_eq!(mismatch.to_string(), expected);
}

#[test]
fn a_mismatch_with_many_profiles_stays_readable() {
    let profiles = vec![json!({ "pcrs": measurements(1) }); 64];
    let refusal = scene(signed("2027-02-01T00:00:00Z", profiles.into())).appraise().unwrap_err();
    let AppraisalError::Policy(mismatch) = refusal.error() else { panic!("{refusal}") };
    assert_eq!(mismatch.profiles.len(), 64);
    let message = mismatch.to_string();
    assert!(message.ends_with("; and 60 more profiles that differ"), "{message}");
    assert_eq!(message.matches("PCR0 expected").count(), 4);
}
