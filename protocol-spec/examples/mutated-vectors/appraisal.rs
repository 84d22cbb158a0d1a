use crate::{below, emit, hex, mutate, pick, unhex, vectors};
use rand_chacha::ChaCha20Rng;
use serde_json::{Map, Value, json};
use steve_protocol::evidence::dev::PolicySigner;
use steve_protocol::evidence::{
    Appraiser, Challenge, Pcr, PcrProfile, Policy, PolicyFileError, PolicyOwner, SeenPolicy,
    TrustAnchor,
};

pub(crate) fn evidence(rng: &mut ChaCha20Rng, count: usize) {
    let all = vectors("evidence");
    for _ in 0..count {
        let vector = pick(rng, &all);
        let mut encoded = unhex(&vector["evidence"]);
        mutate(rng, &mut encoded, true);
        appraise(vector, &encoded);
    }
}

/// As the vector, with other evidence.
pub(crate) fn appraise(vector: &Value, encoded: &[u8]) {
    let profiles = vector["profiles"].as_array().expect("profiles").iter().map(|profile| {
        let profile = profile.as_object().expect("registers");
        let values = profile.iter().map(|(name, value)| {
            let index = name.trim_start_matches("pcr").parse().expect("a number");
            let value: [u8; 48] = unhex(value).try_into().expect("48 bytes");
            (index, Pcr::from(value))
        });
        PcrProfile::new(values).expect("complete")
    });
    let number = |name: &str| vector[name].as_u64().expect("a number");
    let anchor = unhex(&vector["root_sha256"]).try_into().expect("32 bytes");
    let appraiser = Appraiser::new(Policy::pinned(profiles.collect::<Vec<_>>()).expect("profiles"))
        .dangerous_with_anchor(TrustAnchor::dangerous_from_sha256(anchor))
        .max_evidence_age_ms(number("max_evidence_age"))
        .max_clock_skew_ms(number("max_clock_skew"));
    let origin = "https://app.example";
    let (outcome, valid_until) = if vector["challenge"].is_null() {
        match appraiser.audit(encoded, origin, number("now")) {
            Ok(_) => ("verified".to_owned(), None),
            Err(refusal) => (refusal.error().check().to_string(), None),
        }
    } else {
        let challenge = Challenge::try_from(&unhex(&vector["challenge"])[..]).expect("32 bytes");
        match appraiser.appraise(encoded, &challenge, number("sent"), origin, number("now")) {
            Ok(enclave) => ("verified".to_owned(), Some(enclave.valid_until_ms())),
            Err(refusal) => (refusal.error().check().to_string(), None),
        }
    };
    let mut vector = vector.clone();
    vector["evidence"] = hex(encoded).into();
    vector["outcome"] = outcome.into();
    vector["valid_until"] = valid_until.into();
    emit("evidence.json", &vector);
}

pub(crate) fn policies(rng: &mut ChaCha20Rng, count: usize) {
    let signer = PolicySigner::new(*b"signer 1", [1; 32]);
    let all = vectors("policy");
    for _ in 0..count {
        let mut vector = pick(rng, &all).clone();
        let mut file = unhex(&vector["file"]);
        mutate(rng, &mut file, false);
        let mut signature = signer.sign(&file).into_bytes();
        if below(rng, 4) == 0 {
            mutate(rng, &mut signature, false);
        }
        let keys = [signer.public_key().parse().expect("a key")];
        let owner = PolicyOwner::new(keys, vector["namespace"].as_str().expect("text"))
            .expect("valid")
            .minimum_version(vector["minimum_version"].as_u64().expect("a number"));
        let seen = vector["seen"].as_object().map(|seen| SeenPolicy {
            version: seen["version"].as_u64().expect("a number"),
            sha256: unhex(&seen["sha256"]).try_into().expect("32 bytes"),
        });
        let now = vector["now"].as_u64().expect("a number");
        let result = owner.verify(&file, &signature, seen.as_ref(), now);
        vector["signers"] = json!([signer.public_key()]);
        vector["outcome"] = result.as_ref().map_or_else(rule, |_| "accepted").into();
        vector["policy"] = result
            .ok()
            .map(|policy| {
                let profiles = policy.profiles().iter().map(|labelled| {
                    let pcrs: Map<String, Value> = labelled
                        .profile
                        .values()
                        .map(|(index, pcr)| (format!("pcr{index}"), hex(pcr.as_bytes()).into()))
                        .collect();
                    json!({ "label": labelled.label, "pcrs": pcrs })
                });
                json!({
                    "signer": policy.signer().to_string(),
                    "version": policy.version(),
                    "sha256": hex(policy.seen().sha256),
                    "expires": policy.expires_ms(),
                    "trusted_comment": policy.trusted_comment(),
                    "profiles": profiles.collect::<Vec<_>>(),
                })
            })
            .into();
        vector["file"] = hex(&file).into();
        vector["signature"] = hex(&signature).into();
        emit("policy.json", &vector);
    }
}

/// Which rule of Section 7.2 a file breaks first.
fn rule(error: &PolicyFileError) -> &'static str {
    match error {
        PolicyFileError::TooLong | PolicyFileError::SignatureFormat(_) => "form",
        PolicyFileError::UnknownSigner { .. }
        | PolicyFileError::Signature { .. }
        | PolicyFileError::TrustedComment { .. } => "signature",
        PolicyFileError::BelowMinimum { .. } => "minimum",
        PolicyFileError::Rollback { .. } | PolicyFileError::Reused { .. } => "record",
        PolicyFileError::Expired { .. } => "expired",
        _ => "content",
    }
}
