//! Whatever bytes come in: refused or accepted, never a panic.

use super::forge::{Doc, NOW_MS, path};
use super::scene::Scene;
use proptest::prelude::*;
use std::sync::LazyLock;
use steve_protocol::evidence::{AttestationDocument, Evidence, TrustAnchor, UnverifiedDocument};

static EVIDENCE: LazyLock<(Scene, Vec<u8>)> = LazyLock::new(|| {
    let scene = Scene::new();
    let evidence = scene.evidence();
    (scene, evidence)
});

static DOCUMENT: LazyLock<(Doc, Vec<u8>)> = LazyLock::new(|| {
    let doc = Doc::new(&path());
    let payload = doc.payload();
    (doc, payload)
});

/// Edits: where, and what to put there in place of how much.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, Vec<u8>, usize)>> {
    let edit = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..5), 0..5_usize);
    prop::collection::vec(edit, 1..4)
}

fn edited(mut bytes: Vec<u8>, edits: &[(prop::sample::Index, Vec<u8>, usize)]) -> Vec<u8> {
    for (index, insert, remove) in edits {
        let start = index.index(bytes.len());
        let end = (start + remove).min(bytes.len());
        bytes.splice(start..end, insert.iter().copied());
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn row_18_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = Evidence::decode(&bytes);
        let _ = UnverifiedDocument::decode(&bytes);
        let _ = EVIDENCE.0.appraise_bytes(&bytes);
        let signed = DOCUMENT.0.signer.cose(&bytes);
        let _ = UnverifiedDocument::decode(&signed);
    }

    #[test]
    fn row_18_edited_evidence(edits in edits()) {
        let (scene, evidence) = &*EVIDENCE;
        let _ = scene.appraise_bytes(&edited(evidence.clone(), &edits));
    }

    /// Signed after the edit, and under the root that it then has, so that every check is reached.
    #[test]
    fn row_18_edited_documents_that_are_signed(edits in edits()) {
        let (doc, payload) = &*DOCUMENT;
        let signed = doc.signer.cose(&edited(payload.clone(), &edits));
        if let Ok(decoded) = UnverifiedDocument::decode(&signed) {
            let anchor = TrustAnchor::dangerous_from_sha256(decoded.root_sha256());
            let _ = AttestationDocument::verify(&signed, &anchor, NOW_MS);
        }
    }

    /// What the owner signs may be anything, too.
    #[cfg(feature = "signed-policy")]
    #[test]
    fn row_18_policy_files_and_signatures_never_panic(edits in edits()) {
        use super::policy_file::{owner, policy, signer};
        let file = policy().to_string().into_bytes();
        let signature = edited(signer().sign(&file).into_bytes(), &edits);
        let _ = owner().verify(&file, &signature, None, NOW_MS);
        let file = edited(file, &edits);
        let _ = owner().verify(&file, signer().sign(&file).as_bytes(), None, NOW_MS);
    }
}
