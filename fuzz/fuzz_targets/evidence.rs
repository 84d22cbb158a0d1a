//! Evidence from anybody: decoding and appraisal never panic, and never accept. What decodes encodes
//! to the same bytes, and an appraisal whose signatures are verified elsewhere says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steve_fuzz::world::{NOW_MS, appraiser, challenge};
use steve_protocol::evidence::{AttestationDocument, Evidence, TrustAnchor, UnverifiedDocument};

fuzz_target!(|data: &[u8]| {
    let _ = UnverifiedDocument::decode(data);
    let anchor = TrustAnchor::AWS_NITRO_ROOT_G1;
    assert!(AttestationDocument::verify(data, &anchor, NOW_MS).is_err(), "AWS has not signed it");
    if let Ok(evidence) = Evidence::decode(data) {
        let _ = UnverifiedDocument::decode(evidence.document);
        assert_eq!(evidence.encode().as_deref(), Ok(data));
    }
    let (appraiser, challenge) = (appraiser(), challenge(0));
    let (at, origin) = (NOW_MS, "https://app.example");
    let refusal = appraiser.appraise(data, &challenge, at, origin, at);
    let refusal = refusal.expect_err("no document answers this challenge");
    assert!(appraiser.audit(data, origin, at).is_err() || data.len() > 4000, "nothing is signed");
    let pending = appraiser.begin(data.to_vec(), challenge, at, origin.to_owned(), at);
    let none = vec![false; pending.signatures().len()];
    let other = pending.finish(&none).expect_err("no signature is valid");
    if none.is_empty() {
        assert_eq!(other.error(), refusal.error());
    }
});
