//! Pinned profiles and trust on first use.

use super::scene::{MADE_MS, NOW_MS, ORIGIN, SENT_MS, Scene};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use steve_protocol::evidence::{
    AppraisalError, Appraiser, Check, NotProven, Outcome, PCR_LEN, Pcr, PcrProfile, PcrTrust, Pcrs,
    Pin, PinStore, PinStoreError, Policy, PolicyError, dev,
};

fn profile(values: [u8; 3]) -> PcrProfile {
    let values = values.into_iter().zip(0..).map(|(byte, i)| (i, Pcr::from([byte; PCR_LEN])));
    PcrProfile::new(values).unwrap()
}

fn found(values: &[u8]) -> Pcrs {
    values.iter().zip(0..).map(|(byte, index)| (index, Pcr::from([*byte; PCR_LEN]))).collect()
}

#[test]
fn row_11_a_policy_without_profiles_is_an_error() {
    assert_eq!(Policy::pinned([]).err(), Some(PolicyError));
}

#[test]
fn row_11_profiles_are_satisfied_as_a_whole_and_never_combined() {
    let policy = Policy::pinned([profile([1, 2, 3]), profile([4, 5, 6])]).unwrap();
    let compare = |values: &[u8]| policy.compare(&found(values), ORIGIN, NOW_MS);
    for (values, profile) in [([1, 2, 3], 0), ([4, 5, 6], 1)] {
        let registers = vec![0, 1, 2];
        assert_eq!(
            compare(&values),
            Ok(Some(PcrTrust::Pinned { profile, registers, policy: None }))
        );
    }
    for mixed in [[1, 2, 6], [1, 5, 3], [4, 2, 3], [4, 5, 3], [4, 2, 6], [1, 5, 6]] {
        let Err(AppraisalError::Policy(mismatch)) = compare(&mixed) else {
            panic!("{mixed:?} is a combination");
        };
        assert_eq!(mismatch.profiles.len(), 2);
        assert!(mismatch.profiles.iter().all(|differences| !differences.is_empty()));
    }
    assert!(compare(&[1, 2]).is_err(), "PCR2 is absent");
}

#[test]
fn a_mismatch_says_what_differs_from_each_profile() {
    let policy = Policy::pinned([profile([1, 2, 3]), profile([4, 5, 6])]).unwrap();
    let error = policy.compare(&found(&[1, 9, 6]), ORIGIN, NOW_MS).unwrap_err();
    let hex = |byte: u8| format!("{byte:02x}").repeat(PCR_LEN);
    let expected = format!(
        "the enclave does not satisfy the policy: profile 0: PCR1 expected {}, found {}, PCR2 \
         expected {}, found {}; profile 1: PCR0 expected {}, found {}, PCR1 expected {}, found {}",
        hex(2),
        hex(9),
        hex(3),
        hex(6),
        hex(4),
        hex(1),
        hex(5),
        hex(9)
    );
    assert_eq!(error.to_string(), expected);
}

#[derive(Default)]
struct Memory {
    pins: Mutex<BTreeMap<String, Pin>>,
    broken: bool,
    /// Somebody else records this one between `load` and `record`.
    rival: Option<Pin>,
}

impl PinStore for Memory {
    fn load(&self, origin: &str) -> Result<Option<Pin>, PinStoreError> {
        if self.broken {
            return Err(PinStoreError::new("disk full"));
        }
        Ok(self.pins.lock().unwrap().get(origin).cloned())
    }

    fn record(&self, origin: &str, pin: &Pin) -> Result<Pin, PinStoreError> {
        let pin = self.rival.as_ref().unwrap_or(pin);
        Ok(self.pins.lock().unwrap().entry(origin.into()).or_insert(pin.clone()).clone())
    }
}

fn scene(store: &Arc<Memory>) -> Scene {
    let mut scene = Scene::new();
    let policy = Policy::trust_on_first_use(Arc::<Memory>::clone(store));
    scene.appraiser = Appraiser::new(policy).dangerous_with_anchor(scene.authority.trust_anchor());
    scene
}

fn updated(pcrs: &Pcrs) -> Pcrs {
    pcrs.iter()
        .map(|(index, value)| (index, if index == 1 { Pcr::from([8; PCR_LEN]) } else { *value }))
        .collect()
}

#[test]
fn row_33_first_use_is_recorded_and_reported_as_proving_nothing() {
    let store = Arc::new(Memory::default());
    let scene = scene(&store);
    let first = scene.appraise().unwrap();
    assert_eq!(first.trust(), Some(&PcrTrust::FirstUse));
    assert!(first.report().not_proven().contains(&NotProven::FirstUse));
    let pin = store.load(ORIGIN).unwrap().unwrap();
    assert_eq!(pin.first_seen_ms, NOW_MS);
    assert_eq!(pin.profile, PcrProfile::of(&dev::pcrs()).unwrap());

    let again = scene.appraise().unwrap();
    let known = PcrTrust::KnownSince { first_seen_ms: NOW_MS, registers: vec![0, 1, 2] };
    assert_eq!(again.trust(), Some(&known));
    assert!(!again.report().not_proven().contains(&NotProven::FirstUse));
}

#[test]
fn row_30_what_was_recorded_is_never_replaced() {
    let store = Arc::new(Memory::default());
    let mut scene = scene(&store);
    scene.appraise().unwrap();
    let pin = store.load(ORIGIN).unwrap();
    scene.pcrs = updated(&scene.pcrs);
    for _ in 0..2 {
        let refusal = scene.appraise().unwrap_err();
        let AppraisalError::Policy(mismatch) = refusal.error() else { panic!("{refusal}") };
        assert_eq!(mismatch.first_seen_ms, Some(NOW_MS));
        assert_eq!(mismatch.profiles[0].len(), 1);
        assert_eq!(store.load(ORIGIN).unwrap(), pin);
    }
    let other = "https://other.example";
    let evidence = scene.evidence();
    let enclave =
        scene.appraiser.appraise(&evidence, &scene.challenge, SENT_MS, other, NOW_MS).unwrap();
    assert_eq!(enclave.trust(), Some(&PcrTrust::FirstUse), "every origin has its own pin");
}

#[test]
fn nothing_is_recorded_unless_everything_else_has_passed() {
    let changes: [fn(&mut Scene); 3] = [
        |scene| scene.manifest.clear(),
        |scene| scene.challenge = [0; 32].into(),
        |scene| scene.pcrs = scene.pcrs.iter().map(|(i, _)| (i, Pcr::from([0; PCR_LEN]))).collect(),
    ];
    for change in changes {
        let store = Arc::new(Memory::default());
        let mut scene = scene(&store);
        change(&mut scene);
        scene.appraise().unwrap_err();
        assert_eq!(store.load(ORIGIN).unwrap(), None);
    }
}

#[test]
fn a_store_that_fails_is_no_trust() {
    let store = Arc::new(Memory { broken: true, ..Memory::default() });
    let refusal = scene(&store).appraise().unwrap_err();
    assert_eq!(refusal.error(), &AppraisalError::PinStore(PinStoreError::new("disk full")));
    assert_eq!(refusal.error().check(), Check::Policy);
}

#[test]
fn of_two_first_uses_at_once_the_first_recorded_counts() {
    let own = PcrProfile::of(&dev::pcrs()).unwrap();
    let rival = |profile| {
        Arc::new(Memory {
            rival: Some(Pin { profile, first_seen_ms: MADE_MS }),
            ..Memory::default()
        })
    };
    let same = scene(&rival(own)).appraise().unwrap();
    let known = PcrTrust::KnownSince { first_seen_ms: MADE_MS, registers: vec![0, 1, 2] };
    assert_eq!(same.trust(), Some(&known));
    let other = scene(&rival(profile([1, 2, 3]))).appraise().unwrap_err();
    assert!(matches!(other.error(), AppraisalError::Policy(_)), "{other}");
}

#[test]
fn audits_record_nothing() {
    let store = Arc::new(Memory::default());
    let scene = scene(&store).unchallenged();
    let audit = |scene: &Scene| scene.appraiser.audit(&scene.evidence(), ORIGIN, NOW_MS);
    let audited = audit(&scene).unwrap();
    assert_eq!(audited.trust(), None);
    assert_eq!(audited.report().check(Check::Policy).outcome, Outcome::NotPerformed);
    assert!(audited.report().not_proven().contains(&NotProven::Measurements));
    assert_eq!(store.load(ORIGIN).unwrap(), None);

    let pin = Pin { profile: profile([1, 2, 3]), first_seen_ms: 1 };
    store.record(ORIGIN, &pin).unwrap();
    let refusal = audit(&scene).unwrap_err();
    assert!(matches!(refusal.error(), AppraisalError::Policy(_)), "compared if there is a record");
}
