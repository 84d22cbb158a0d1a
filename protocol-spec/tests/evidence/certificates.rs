//! The check `certificates`, one rule after the other.

use super::forge::{Cert, Doc, Key, NOW, NOW_MS, extension, name, path, path_of};
use rcgen::{DnType, DnValue, IsCa, KeyUsagePurpose};
use steve_protocol::evidence::CertificateProblem::{self, *};
use steve_protocol::evidence::{AppraisalError, CertificateError, Check};

const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const LEAF: usize = 4;

type Expected = Option<(Option<usize>, CertificateProblem)>;

fn at(position: usize, problem: CertificateProblem) -> Expected {
    Some((Some(position), problem))
}

#[track_caller]
fn check(doc: &Doc, now_ms: u64, expected: Expected) {
    let found = doc.verify_at(now_ms).map(drop);
    let expected = match expected {
        Some((position, problem)) => {
            Err(AppraisalError::Certificates(CertificateError { position, problem }))
        }
        None => Ok(()),
    };
    assert_eq!(found, expected);
}

/// The verdict on the good path after a change.
#[track_caller]
fn changed(change: impl FnOnce(&mut Vec<Cert>), expected: Expected) {
    let mut certs = path();
    change(&mut certs);
    check(&Doc::new(&certs), NOW_MS, expected);
}

/// The verdict on the good path with the DERs rearranged.
#[track_caller]
fn rearranged(change: impl FnOnce(&mut Vec<Vec<u8>>), expected: Expected) {
    let certs = path();
    let mut ders: Vec<_> = certs.iter().map(Cert::der).collect();
    change(&mut ders);
    check(&Doc::from_ders(&ders, certs[LEAF].key.clone()), NOW_MS, expected);
}

#[test]
fn the_good_path_is_good() {
    changed(|_| (), None);
    changed(
        |certs| certs[LEAF].is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        at(LEAF, CaAsLeaf),
    );
}

#[test]
fn row_13_the_order_of_the_path_matters() {
    rearranged(|ders| ders.swap(1, 2), at(1, Issuer));
    rearranged(|ders| ders.swap(2, 3), at(2, Issuer));
    rearranged(|ders| drop(ders.remove(2)), at(2, Issuer));
    rearranged(|ders| drop(ders.remove(3)), at(3, Issuer));
    rearranged(|ders| ders.insert(2, ders[1].clone()), at(1, PathLen));
    rearranged(|ders| ders.insert(3, ders[1].clone()), at(1, PathLen));
    rearranged(|ders| ders.insert(4, ders[3].clone()), at(1, PathLen));
    // The root has issued itself, so this is a path by all rules.
    rearranged(|ders| ders.insert(1, ders[0].clone()), None);
}

#[test]
fn row_13_issuer_and_subject_match_as_bytes() {
    changed(|certs| certs[2].issuer = name("another"), at(2, Issuer));
    changed(|certs| certs[0].issuer = name("another"), at(0, Issuer));
    let printable = |certs: &mut Vec<Cert>| {
        let mut name = rcgen::DistinguishedName::new();
        let string = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
        name.push(DnType::OrganizationName, string("Forge"));
        name.push(DnType::CommonName, string("1"));
        certs[2].issuer = name;
    };
    changed(printable, at(2, Issuer));
}

#[test]
fn row_13_path_len_is_enforced() {
    let with = |path_lens: &[Option<u8>], expected| {
        check(&Doc::new(&path_of(path_lens)), NOW_MS, expected);
    };
    with(&[Some(3), Some(2), Some(1), Some(0)], None);
    with(&[Some(255), None, None, None], None);
    with(&[Some(2), Some(2), Some(1), Some(0)], at(0, PathLen));
    with(&[None, Some(1), Some(1), Some(0)], at(1, PathLen));
    with(&[None, Some(0), Some(1), Some(0)], at(1, PathLen));
    with(&[None, None, Some(0), None], at(2, PathLen));
    with(&[Some(0)], None);
    with(&[Some(0), None], at(0, PathLen));
}

#[test]
fn row_18_long_paths_are_refused_or_valid_but_never_slow() {
    for count in 1..=16 {
        let expected = if count <= 7 { None } else { at(7, TooMany) };
        check(&Doc::new(&path_of(&vec![None; count])), NOW_MS, expected);
    }
    // Those of one name could follow each other in any order, and no order leads to the root.
    let mut certs = path_of(&[None; 16]);
    for position in 7..=15 {
        certs[position].subject = name("same");
        certs[position + 1].issuer = name("same");
    }
    check(&Doc::new(&certs), NOW_MS, at(7, TooMany));
    let error = Doc::new(&path_of(&[None; 17])).verify().unwrap_err();
    assert_eq!(error.check(), Check::Document);
}

#[test]
fn row_13_cas_need_the_ca_flag_and_key_cert_sign() {
    for position in 0..LEAF {
        changed(|certs| certs[position].is_ca = IsCa::ExplicitNoCa, at(position, NotCa));
        changed(|certs| certs[position].is_ca = IsCa::NoCa, at(position, BasicConstraints));
        changed(
            |certs| certs[position].key_usages = vec![KeyUsagePurpose::DigitalSignature],
            at(position, KeyUsage),
        );
        changed(|certs| certs[position].key_usages.clear(), at(position, KeyUsage));
    }
}

#[test]
fn row_13_the_leaf_signs_and_is_no_ca() {
    changed(|certs| certs[LEAF].is_ca = IsCa::NoCa, at(LEAF, BasicConstraints));
    changed(|certs| certs[LEAF].key_usages.clear(), at(LEAF, KeyUsage));
    let others = [KeyUsagePurpose::KeyAgreement, KeyUsagePurpose::KeyCertSign];
    changed(|certs| certs[LEAF].key_usages = others.to_vec(), at(LEAF, KeyUsage));
    let both = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
    changed(|certs| certs[LEAF].key_usages = both.to_vec(), None);
}

#[test]
fn row_13_extensions_occur_once() {
    let twice: [(&[u64], &[u8]); 2] =
        [(BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0xff]), (KEY_USAGE, &[3, 2, 2, 4])];
    for position in 0..=LEAF {
        for (oid, content) in twice {
            let mut certs = path();
            certs[position].extensions.push(extension(oid, content, true));
            let error = Doc::new(&certs).verify().unwrap_err();
            assert_eq!(error.check(), Check::Certificates, "{position}: {error}");
        }
    }
}

#[test]
fn row_13_unknown_critical_extensions_are_refused() {
    for position in 0..=LEAF {
        let add = |oid: &[u64], content: &[u8], critical, expected| {
            changed(
                |certs| certs[position].extensions.push(extension(oid, content, critical)),
                expected,
            );
        };
        add(&[1, 3, 6, 1, 4, 1, 99999, 1], b"\x05\x00", true, at(position, CriticalExtension));
        add(&[1, 3, 6, 1, 4, 1, 99999, 1], b"\x05\x00", false, None);
        // Purposes other than any: critical is unknown, otherwise not for us.
        let purposes = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
        add(EXTENDED_KEY_USAGE, purposes, true, at(position, CriticalExtension));
        if position > 0 {
            add(EXTENDED_KEY_USAGE, purposes, false, Some((None, Refused)));
        }
    }
}

#[test]
fn row_13_only_p384() {
    /// The generator of P-256.
    const P256: &[u8] = b"\x04\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
        \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
        \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
        \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    for position in 0..=LEAF {
        let p256 = |certs: &mut Vec<Cert>| {
            certs[position].key.algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
            certs[position].key.point = P256.to_vec();
        };
        changed(p256, at(position, Algorithm));
        let off_curve = |certs: &mut Vec<Cert>| certs[position].key.point[96] ^= 1;
        changed(off_curve, at(position, PublicKey));
        let infinity = |certs: &mut Vec<Cert>| certs[position].key.point = vec![0];
        changed(infinity, at(position, PublicKey));
        let compressed = |certs: &mut Vec<Cert>| {
            certs[position].key.point = certs[position].key.compressed();
        };
        changed(compressed, at(position, PublicKey));
    }
}

#[test]
fn row_13_only_sha384() {
    for position in 0..=LEAF {
        let sha256 = |certs: &mut Vec<Cert>| certs[position].issuer_key.sha256 = true;
        changed(sha256, at(position, Algorithm));
    }
}

#[test]
fn row_13_every_signature_counts() {
    changed(|certs| certs[0].issuer_key = Key::new(99), at(0, Signature));
    for position in 1..=LEAF {
        changed(|certs| certs[position].issuer_key = Key::new(99), Some((None, Signature)));
    }
    // The root is the right one, all below it hangs on another key of the same name.
    let foreign = |certs: &mut Vec<Cert>| certs[1].issuer_key = certs[2].key.clone();
    changed(foreign, Some((None, Signature)));
    let mut doc = Doc::new(&path());
    doc.signer = Key::new(99);
    assert_eq!(doc.verify(), Err(AppraisalError::Signature));
}

#[test]
fn row_13_another_root_is_refused_whatever_its_name() {
    let mut certs = path();
    certs[0].key = Key::new(99);
    certs[0].issuer_key = Key::new(99);
    certs[1].issuer_key = Key::new(99);
    let foreign = Doc::new(&certs);
    foreign.verify().expect("good under its own anchor");
    let ours = Doc::new(&path());
    let error = steve_protocol::evidence::AttestationDocument::verify(
        &foreign.sign(),
        &ours.anchor(),
        NOW_MS,
    );
    let (expected, found) = (ours.root_sha256, foreign.root_sha256);
    assert_eq!(error, Err(AppraisalError::Root { expected, found }));
}

#[test]
fn row_13_validity_is_inclusive_at_both_ends_for_every_certificate() {
    for position in 0..=LEAF {
        let mut certs = path();
        certs[position].not_after = NOW + 10;
        let doc = Doc::new(&certs);
        let end_ms = (NOW + 10) * 1000;
        check(&doc, end_ms, None);
        check(&doc, end_ms + 1, at(position, Expired));
        check(&doc, end_ms + 1000, at(position, Expired));

        let mut certs = path();
        certs[position].not_before = NOW + 10;
        let doc = Doc::new(&certs);
        check(&doc, end_ms, None);
        check(&doc, end_ms - 1, at(position, NotYetValid));
        check(&doc, NOW_MS, at(position, NotYetValid));
    }
}

#[test]
fn row_15_the_later_of_clock_and_timestamp_counts() {
    let mut certs = path();
    certs[LEAF].not_after = NOW + 10;
    let mut doc = Doc::new(&certs);
    check(&doc, 0, None);
    let after = super::forge::cbor::uint((NOW + 11) * 1000);
    doc.set("timestamp", after);
    check(&doc, NOW_MS, at(LEAF, Expired));
    check(&doc, 0, at(LEAF, Expired));
}

#[test]
fn row_13_only_version_3() {
    for position in 0..=LEAF {
        for version in [0, 1, 3] {
            let mut certs = path();
            certs[position].patch = match version {
                0 => |tbs| set_version(tbs, 0),
                1 => |tbs| set_version(tbs, 1),
                _ => |tbs| set_version(tbs, 3),
            };
            let error = Doc::new(&certs).verify().unwrap_err();
            let AppraisalError::Certificates(error) = error else { panic!("{error}") };
            assert_eq!(error.position, Some(position), "version {version}: {error}");
            assert!(matches!(error.problem, Version | Malformed), "version {version}: {error}");
        }
    }
}

fn set_version(tbs: &mut [u8], version: u8) {
    let header = if tbs[1] == 0x82 { 4 } else { 3 };
    assert_eq!(tbs[header..header + 5], [0xa0, 3, 2, 1, 2]);
    tbs[header + 4] = version;
}

#[test]
fn row_13_certificates_are_whole() {
    for position in 1..=LEAF {
        rearranged(|ders| ders[position].push(0), at(position, Malformed));
        rearranged(|ders| ders[position].truncate(99), at(position, Malformed));
        rearranged(|ders| ders[position] = vec![0x30, 0x80], at(position, Malformed));
    }
}
