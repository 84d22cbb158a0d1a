//! Every check of SPEC.md, Section 7, passing and failing, and what an appraisal yields.

use super::forge;
use super::scene::{
    KEY_LIFETIME_MS, MADE_MS, NOW_MS, ORIGIN, SENT_MS, Scene, refusal, validity_ms,
};
use sha2::{Digest, Sha256};
use steve_protocol::evidence::{
    AppraisalError, Check, DebugModeError, EncodingError, MerkleTree, NonceError, NotProven,
    Outcome, PCR_LEN, Pcr, PcrTrust, Pcrs, TimestampError, TrustAnchor,
    dev::{self, Request},
};

#[test]
fn row_02_an_appraisal_yields_what_was_verified() {
    let scene = Scene::new();
    let enclave = scene.appraise().unwrap();
    assert_eq!(enclave.key_config(), &scene.key_config());
    assert_eq!(enclave.pcrs(), &scene.pcrs);
    assert_eq!(enclave.module_id(), scene.authority.module_id());
    assert_eq!(enclave.timestamp_ms(), MADE_MS);
    assert_eq!(enclave.configuration(), scene.configuration);
    assert_eq!(enclave.manifest(), scene.manifest);
    let trust = PcrTrust::Pinned { profile: 0, registers: vec![0, 1, 2], policy: None };
    assert_eq!(enclave.trust(), Some(&trust));
    assert_eq!(enclave.clone().valid_until_ms(), enclave.valid_until_ms());
}

#[test]
fn encoding() {
    let scene = Scene::new();
    let evidence = scene.evidence();
    let error = |bytes: &[u8]| scene.appraise_bytes(bytes).unwrap_err().error().clone();
    let malformed = AppraisalError::Encoding(EncodingError::Evidence);
    for len in [0, 1, 2, 100, evidence.len() - 1] {
        assert_eq!(error(&evidence[..len]), malformed);
    }
    assert_eq!(error(&[&evidence[..], &[0]].concat()), malformed);
    let mut config = evidence.clone();
    config[5] ^= 1; // the version of the key configuration
    assert_eq!(error(&config), AppraisalError::Encoding(EncodingError::KeyConfig));
}

#[test]
fn cose_document_root_and_signature() {
    let scene = Scene::new();
    let check = |document: &[u8]| {
        scene.appraise_bytes(&scene.encode(document)).unwrap_err().error().check()
    };
    assert_eq!(check(b"\x84"), Check::Cose);
    let mut doc = forge::Doc::new(&forge::path());
    assert_eq!(check(&doc.sign()), Check::Root);
    doc.remove("pcrs");
    assert_eq!(check(&doc.sign()), Check::Document);
    let mut document = scene.authority.attest(&scene.pcrs, &Request::default(), MADE_MS).unwrap();
    let last = document.len() - 1;
    document[last] ^= 1;
    assert_eq!(check(&document), Check::Signature);
}

#[test]
fn row_34_development_evidence_is_nothing_to_an_ordinary_client() {
    let mut scene = Scene::new();
    let root = scene.authority.root_sha256();
    let policy = super::scene::own_policy();
    scene.appraiser = steve_protocol::evidence::Appraiser::new(policy);
    let refusal = scene.appraise().unwrap_err();
    let expected = *TrustAnchor::AWS_NITRO_ROOT_G1.sha256();
    assert_eq!(refusal.error(), &AppraisalError::Root { expected, found: root });
}

#[test]
fn certificates() {
    // Four hours later the leaf has expired, however old a document may be.
    let error = refusal(|scene| {
        scene.now_ms += 4 * 3_600_000;
        scene.appraiser = scene.appraiser.clone().max_evidence_age_ms(u64::MAX);
    });
    assert_eq!(error.check(), Check::Certificates);
}

#[test]
fn row_03_old_and_future_documents_are_refused() {
    let accepted = |made_ms: u64| {
        let mut scene = Scene::new();
        scene.made_ms = made_ms;
        scene.fields.not_after = made_ms + KEY_LIFETIME_MS;
        scene.appraise().map(drop).map_err(|refusal| refusal.error().clone())
    };
    assert_eq!(accepted(NOW_MS - 300_000), Ok(()));
    assert_eq!(accepted(NOW_MS + 300_000), Ok(()));
    assert_eq!(
        accepted(NOW_MS - 300_001),
        Err(AppraisalError::Timestamp(TimestampError::TooOld {
            age_ms: 300_001,
            max_age_ms: 300_000
        }))
    );
    assert_eq!(
        accepted(NOW_MS + 300_001),
        Err(AppraisalError::Timestamp(TimestampError::InFuture {
            ahead_ms: 300_001,
            max_skew_ms: 300_000
        }))
    );
}

#[test]
fn row_03_the_bounds_on_time_are_the_callers() {
    let error = refusal(|scene| {
        scene.appraiser = scene.appraiser.clone().max_evidence_age_ms(59);
    });
    let expected = TimestampError::TooOld { age_ms: 60, max_age_ms: 59 };
    assert_eq!(error, AppraisalError::Timestamp(expected));
    let error = refusal(|scene| {
        scene.made_ms = NOW_MS + 1;
        scene.appraiser = scene.appraiser.clone().max_clock_skew_ms(0);
    });
    let expected = TimestampError::InFuture { ahead_ms: 1, max_skew_ms: 0 };
    assert_eq!(error, AppraisalError::Timestamp(expected));
}

#[test]
fn row_03_evidence_answers_this_challenge() {
    let nonce = |change: fn(&mut Scene)| match refusal(change) {
        AppraisalError::Nonce(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(nonce(|scene| scene.challenge = [1; 32].into()), NonceError::NotIncluded);
    assert_eq!(nonce(|scene| scene.leaf_index = 2), NonceError::NotIncluded);
    assert_eq!(nonce(|scene| scene.path.truncate(32)), NonceError::NotIncluded);
    assert_eq!(nonce(|scene| scene.path.clear()), NonceError::NotIncluded);
    assert_eq!(nonce(|scene| scene.path[0] ^= 1), NonceError::NotIncluded);
    assert_eq!(nonce(|scene| scene.nonce = Some(vec![0; 32])), NonceError::NotIncluded);
    assert_eq!(nonce(|scene| scene.nonce = Some(vec![0; 31])), NonceError::NotAHash);
    assert_eq!(nonce(|scene| scene.nonce = Some(vec![])), NonceError::NotAHash);
    assert_eq!(nonce(|scene| scene.leaf_index = 5), NonceError::OutOfBounds);
    assert_eq!(nonce(|scene| scene.tree_size = 65_537), NonceError::OutOfBounds);
    assert_eq!(nonce(|scene| scene.tree_size = 0), NonceError::Unchallenged);
    assert_eq!(
        nonce(|scene| {
            let challenge = scene.challenge.as_bytes().to_vec();
            (scene.leaf_index, scene.tree_size, scene.path) = (0, 1, vec![]);
            scene.nonce = Some(challenge);
        }),
        NonceError::NotIncluded,
        "a leaf is hashed, so that a challenge cannot be taken for a root"
    );
}

#[test]
fn row_03_one_challenge_is_a_tree_too() {
    let mut scene = Scene::new();
    scene.tree = MerkleTree::new(std::slice::from_ref(&scene.challenge)).unwrap();
    (scene.leaf_index, scene.tree_size, scene.path) = (0, 1, vec![]);
    scene.appraise().unwrap();
}

#[test]
fn row_02_the_document_vouches_for_these_keys_and_no_others() {
    let changes: [fn(&mut Scene); 6] = [
        |scene| scene.user_data = Some(vec![]),
        |scene| scene.user_data = Some(scene.key_config().hash().to_vec()),
        |scene| {
            let other = [b"steve/4 key config", &scene.key_config().hash()[..]].concat();
            scene.user_data = Some(other);
        },
        |scene| {
            let longer = [b"steve/3 key config", &scene.key_config().hash()[..], &[0]].concat();
            scene.user_data = Some(longer);
        },
        |scene| {
            let attested = steve_protocol::evidence::user_data(&scene.key_config());
            scene.user_data = Some(attested.to_vec());
            scene.fields.keys[1].public_key[0] ^= 1;
        },
        |scene| {
            let attested = steve_protocol::evidence::user_data(&scene.key_config());
            scene.user_data = Some(attested.to_vec());
            scene.fields.not_after += 1;
        },
    ];
    for change in changes {
        assert_eq!(refusal(change), AppraisalError::KeyConfig);
    }
    let scene = Scene::new();
    let nonce = scene.tree.root();
    let request = Request { nonce: Some(&nonce), ..Request::default() };
    let document = scene.authority.attest(&scene.pcrs, &request, MADE_MS).unwrap();
    let refusal = scene.appraise_bytes(&scene.encode(&document)).unwrap_err();
    assert_eq!(refusal.error(), &AppraisalError::KeyConfig);
}

#[test]
fn row_03_keys_outlive_the_document_by_a_day_at_most() {
    let day_ms = 86_400_000;
    let with = |not_after: u64| {
        let mut scene = Scene::new();
        scene.fields.not_after = not_after;
        scene.appraise().map(drop).map_err(|refusal| refusal.error().clone())
    };
    assert_eq!(with(MADE_MS + 101), Ok(()));
    assert_eq!(with(MADE_MS + day_ms), Ok(()));
    for not_after_ms in [0, MADE_MS - 1, MADE_MS, MADE_MS + day_ms + 1, u64::MAX] {
        let timestamp_ms = MADE_MS;
        assert_eq!(
            with(not_after_ms),
            Err(AppraisalError::KeyLifetime { not_after_ms, timestamp_ms })
        );
    }
}

#[test]
fn row_26_configuration_and_manifest_are_those_attested() {
    let change = |scene: &mut Scene| scene.configuration = b"{\"allow_plaintext\":true}".to_vec();
    assert_eq!(refusal(change), AppraisalError::Configuration);
    assert_eq!(refusal(|scene| scene.manifest.clear()), AppraisalError::Manifest);
    let mut scene = Scene::new();
    scene.manifest.clear();
    scene.fields.manifest_hash = Sha256::digest(b"").into();
    assert_eq!(scene.appraise().unwrap().manifest(), b"", "may be empty");
}

#[test]
fn row_12_debug_mode_is_refused_whatever_the_policy() {
    for register in 0..=2 {
        let zero = Pcr::from([0; PCR_LEN]);
        let error = refusal(|scene| {
            scene.pcrs = replaced(&scene.pcrs, register, zero);
        });
        assert_eq!(error, AppraisalError::DebugMode(DebugModeError::Zero(register)));
        let error = refusal(|scene| {
            scene.pcrs = scene
                .pcrs
                .iter()
                .filter(|(index, _)| *index != register)
                .map(|(index, value)| (index, *value))
                .collect();
        });
        assert_eq!(error, AppraisalError::DebugMode(DebugModeError::Missing(register)));
    }
}

fn replaced(pcrs: &Pcrs, register: u8, value: Pcr) -> Pcrs {
    pcrs.iter().map(|(index, old)| (index, if index == register { value } else { *old })).collect()
}

#[test]
fn row_10_each_of_the_three_registers_matters() {
    for register in 0..=2 {
        let found = Pcr::from([7; PCR_LEN]);
        let error = refusal(|scene| scene.pcrs = replaced(&scene.pcrs, register, found));
        let expected = dev::pcrs().get(register).copied().unwrap();
        let AppraisalError::Policy(mismatch) = &error else { panic!("{error}") };
        assert_eq!(mismatch.first_seen_ms, None);
        assert_eq!(
            mismatch.to_string(),
            format!("profile 0: PCR{register} expected {expected}, found {found}")
        );
    }
}

#[test]
fn row_03_a_verified_enclave_is_valid_for_the_shortest_of_three_durations() {
    assert_eq!(validity_ms(|_| ()), 300_000, "the age");
    assert_eq!(validity_ms(|scene| scene.fields.not_after = MADE_MS + 101), 101, "the keys");
    let long = |scene: &mut Scene| {
        scene.fields.not_after = MADE_MS + 86_400_000;
        scene.appraiser = scene.appraiser.clone().max_evidence_age_ms(u64::MAX);
    };
    // The leaf was issued at the full hour and a half before, for three hours.
    let slot_ms = 5_400_000;
    assert_eq!(validity_ms(long), 2 * slot_ms - MADE_MS % slot_ms, "the leaf");
}

#[test]
fn row_15_neither_delay_nor_a_clock_that_is_off_prolongs_validity() {
    for (sent_ms, now_ms) in [
        (SENT_MS, NOW_MS),
        (SENT_MS, SENT_MS + 299_999),
        (SENT_MS - 200_000, NOW_MS - 200_000),
        (SENT_MS + 200_000, NOW_MS + 200_000),
    ] {
        let validity = validity_ms(|scene| (scene.sent_ms, scene.now_ms) = (sent_ms, now_ms));
        assert_eq!(validity, 300_000);
    }
    let valid_until_ms = SENT_MS + 300_000;
    for now_ms in [valid_until_ms, valid_until_ms + 40] {
        let error = refusal(|scene| scene.now_ms = now_ms);
        assert_eq!(error, AppraisalError::Stale { valid_until_ms, now_ms });
        assert_eq!(error.check(), Check::KeyLifetime);
    }
    // A clock that was set back meanwhile gives no more than from now.
    let mut scene = Scene::new();
    scene.sent_ms = NOW_MS + 1000;
    assert_eq!(scene.appraise().unwrap().valid_until_ms(), NOW_MS + 300_000);
}

#[test]
fn row_03_unchallenged_evidence_is_for_auditors() {
    let scene = Scene::new().unchallenged();
    let nonce = scene.appraise().unwrap_err().error().clone();
    assert_eq!(nonce, AppraisalError::Nonce(NonceError::Unchallenged));

    let audited = scene.appraiser.audit(&scene.evidence(), ORIGIN, NOW_MS).unwrap();
    assert_eq!(audited.report().check(Check::Nonce).outcome, Outcome::NotPerformed);
    assert_eq!(audited.report().check(Check::Policy).outcome, Outcome::Passed);
    assert!(audited.report().not_proven().contains(&NotProven::Freshness));
    assert_eq!(audited.key_config(), &scene.key_config());

    let challenged = Scene::new();
    let refusal = challenged.appraiser.audit(&challenged.evidence(), ORIGIN, NOW_MS).unwrap_err();
    assert_eq!(refusal.error(), &AppraisalError::Nonce(NonceError::Challenged));
}

#[test]
fn row_13_no_bit_of_evidence_can_be_changed() {
    let scene = Scene::new();
    let mut evidence = scene.evidence();
    scene.appraise_bytes(&evidence).unwrap();
    for position in 0..evidence.len() {
        // A byte in 97 of keys and document, and all others or, without optimisation, some of them.
        let bulk = (200..evidence.len() - 200).contains(&position);
        let step = if bulk { 97 } else { 1 };
        if !position.is_multiple_of(step) {
            continue;
        }
        let bit = 1 << (position % 8);
        evidence[position] ^= bit;
        // The size only says how to read the path: some other sizes read it the same way.
        let accepted = scene.appraise_bytes(&evidence).is_ok();
        assert!(!accepted || size_field(&evidence).contains(&position), "byte {position}");
        evidence[position] ^= bit;
    }
}

/// Where `tree_size` is.
fn size_field(evidence: &[u8]) -> core::ops::Range<usize> {
    let len = |at: usize| usize::from(u16::from_be_bytes([evidence[at], evidence[at + 1]]));
    let document = 2 + 2 + len(2);
    let leaf_index = document + 2 + len(document);
    leaf_index + 4..leaf_index + 8
}
