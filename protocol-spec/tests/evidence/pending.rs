//! Appraisals whose signatures are verified elsewhere.

use crate::scene::Scene;
use steve_protocol::evidence::{AppraisalError, CertificateProblem, Check, Outcome};

#[test]
fn row_02_true_verdicts_give_what_an_appraisal_gives() {
    let scene = Scene::new();
    let evidence = scene.evidence();
    let pending = scene.begin(&evidence);
    let verdicts = vec![true; pending.signatures().len()];
    let (enclave, usual) = (pending.finish(&verdicts).unwrap(), scene.appraise().unwrap());
    assert_eq!(enclave.report().checks(), usual.report().checks());
    assert_eq!(enclave.valid_until_ms(), usual.valid_until_ms());
}

#[test]
fn row_02_every_verdict_counts() {
    let scene = Scene::new();
    let evidence = scene.evidence();
    let count = scene.begin(&evidence).signatures().len();
    assert!(count >= 3, "root, leaf and document");
    for wrong in 0..count {
        let verdicts: Vec<_> = (0..count).map(|position| position != wrong).collect();
        let refusal = scene.begin(&evidence).finish(&verdicts).unwrap_err();
        match refusal.error() {
            AppraisalError::Certificates(error) => {
                assert_eq!(error.problem, CertificateProblem::Signature);
            }
            error => assert_eq!((error, wrong), (&AppraisalError::Signature, count - 1)),
        }
        let last = refusal.report().checks().last().unwrap();
        assert_eq!((last.check, &last.outcome), (Check::Policy, &Outcome::NotReached));
    }
}

#[test]
fn row_02_without_verdicts_nothing_is_verified() {
    let scene = Scene::new();
    let evidence = scene.evidence();
    let count = scene.begin(&evidence).signatures().len();
    for given in 0..count {
        let refusal = scene.begin(&evidence).finish(&vec![true; given]).unwrap_err();
        assert!(matches!(
            refusal.error(),
            AppraisalError::Certificates(_) | AppraisalError::Signature
        ));
    }
}

#[test]
fn evidence_that_is_refused_before_signatures_matter_has_none() {
    let mut scene = Scene::new();
    scene.now_ms += 1_000_000_000_000;
    let pending = scene.begin(&scene.evidence());
    assert!(pending.signatures().is_empty());
    assert_eq!(pending.finish(&[]).unwrap_err().error(), scene.appraise().unwrap_err().error());
    assert!(scene.begin(b"not evidence").signatures().is_empty());
}
