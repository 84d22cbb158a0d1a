//! Evidence from anybody: decoding and appraisal never panic, and never accept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steve_protocol::evidence::{
    Appraiser, Challenge, Evidence, Pcr, PcrProfile, Policy, UnverifiedDocument,
};

fuzz_target!(|data: &[u8]| {
    let _ = UnverifiedDocument::decode(data);
    if let Ok(evidence) = Evidence::decode(data) {
        let _ = UnverifiedDocument::decode(evidence.document);
        assert_eq!(evidence.encode().as_deref(), Ok(data));
    }
    let profile = PcrProfile::new([0, 1, 2].map(|index| (index, Pcr::from([7; 48]))));
    let policy = Policy::pinned([profile.expect("complete")]).expect("one profile");
    let challenge = Challenge::from([1; 32]);
    let now_ms = 1_793_491_200_000;
    let result = Appraiser::new(policy).appraise(data, &challenge, now_ms, "https://a", now_ms);
    assert!(result.is_err(), "nobody but AWS can sign");
});
