//! What a person gets to see: every check, and what is not proven.

use super::forge::{Doc, cbor, path};
use super::scene::Scene;
use steve_protocol::evidence::{
    AppraisalError, Appraiser, Check, NotProven, Outcome, PCR_LEN, Pcr, PcrProfile, Policy, dev,
};

#[test]
fn row_33_the_report_lists_every_check_in_order_and_what_is_not_proven() {
    let enclave = Scene::new().appraise().unwrap();
    let report = enclave.report();
    let checks: Vec<_> = report.checks().iter().map(|line| line.check).collect();
    assert_eq!(checks, Check::ALL);
    for line in report.checks() {
        assert_eq!(line.outcome, Outcome::Passed);
        assert!(!line.detail.is_empty() && !line.detail.contains('\n'));
        assert_eq!(report.check(line.check), line);
    }
    let expected = [
        NotProven::NitroEnclave,
        NotProven::ImageIsGood,
        NotProven::ManifestIsTrue,
        NotProven::Signer,
        NotProven::Role,
        NotProven::Instance,
        NotProven::Revocation,
    ];
    assert_eq!(report.not_proven(), expected);
    let text = report.to_string();
    assert_eq!(text.lines().count(), 14 + 2 + expected.len());
    assert!(text.starts_with("encoding       passed"));
}

#[test]
fn row_33_pinning_more_proves_more() {
    let mut scene = Scene::new();
    let value = Pcr::from([6; PCR_LEN]);
    scene.pcrs = dev::pcrs().iter().map(|(i, v)| (i, if i < 3 { *v } else { value })).collect();
    let values = scene.pcrs.iter().filter(|(i, _)| matches!(i, 0..=4 | 8)).map(|(i, v)| (i, *v));
    let profile = PcrProfile::new(values).unwrap();
    scene.appraiser = Appraiser::new(Policy::pinned([profile]).unwrap())
        .dangerous_with_anchor(scene.authority.trust_anchor());
    let enclave = scene.appraise().unwrap();
    let open = enclave.report().not_proven();
    for pinned in [NotProven::Signer, NotProven::Role, NotProven::Instance] {
        assert!(!open.contains(&pinned), "{pinned}");
    }
}

#[test]
fn row_33_a_refusal_reports_how_far_it_came() {
    let mut scene = Scene::new();
    scene.manifest.push(b'!');
    let refusal = scene.appraise().unwrap_err();
    let report = refusal.report();
    assert_eq!(report.checks().len(), Check::ALL.len());
    let failed = Check::Manifest as usize;
    for (position, line) in report.checks().iter().enumerate() {
        let expected = match position {
            _ if position < failed => Outcome::Passed,
            _ if position == failed => Outcome::Failed(AppraisalError::Manifest),
            _ => Outcome::NotReached,
        };
        assert_eq!(line.outcome, expected, "{}", line.check);
    }
    assert_eq!(report.not_proven(), [NotProven::Anything]);
    let text = refusal.to_string();
    assert!(text.starts_with("evidence refused by check `manifest`: "), "{text}");
    assert!(text.ends_with(AppraisalError::Manifest.advice()), "{text}");
}

#[test]
fn row_33_evidence_cannot_write_lines_of_its_own() {
    let scene = Scene::new();
    let mut doc = Doc::new(&path());
    doc.set("module_id", cbor::text("i-0\n\u{1b}[2Jpolicy passed"));
    let refusal = scene.appraise_bytes(&scene.encode(&doc.sign())).unwrap_err();
    assert_eq!(refusal.error().check(), Check::Root);
    let detail = &refusal.report().check(Check::Document).detail;
    assert_eq!(detail, "i-0\\n\\u{1b}[2Jpolicy passed");
    assert_eq!(refusal.report().to_string().lines().count(), 14 + 3);
}

#[test]
fn every_error_names_its_check_and_what_to_do() {
    let errors = [
        AppraisalError::Signature,
        AppraisalError::KeyConfig,
        AppraisalError::Configuration,
        AppraisalError::Manifest,
        AppraisalError::Root { expected: [0x11; 32], found: [0x22; 32] },
        AppraisalError::KeyLifetime { not_after_ms: 0, timestamp_ms: 1_766_650_846_577 },
        AppraisalError::Stale { valid_until_ms: 1, now_ms: u64::MAX },
    ];
    for error in errors {
        assert!(Check::ALL.contains(&error.check()));
        assert!(error.advice().ends_with('.'), "{error}");
        assert!(!error.to_string().contains(['{', '\n']), "{error}");
    }
    let lifetime = AppraisalError::KeyLifetime { not_after_ms: 0, timestamp_ms: 1_766_650_846_577 };
    assert_eq!(
        lifetime.to_string(),
        "the keys end at 1970-01-01T00:00:00Z, which is not within 24 hours from \
         2025-12-25T08:20:46Z, when the document was made"
    );
    for check in Check::ALL {
        assert!(!check.requirement().is_empty());
        assert_eq!(check.to_string(), check.id());
    }
}
