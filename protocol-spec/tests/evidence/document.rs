//! The check `document`, one rule after the other.

use super::forge::{Doc, NOW_MS, cbor, path};
use steve_protocol::evidence::DocumentField::*;
use steve_protocol::evidence::FieldError::*;
use steve_protocol::evidence::{AppraisalError, DocumentError, DocumentField, FieldError};

#[track_caller]
fn check(change: impl FnOnce(&mut Doc), expected: Result<(), DocumentError>) {
    let mut doc = Doc::new(&path());
    change(&mut doc);
    assert_eq!(doc.verify().map(drop), expected.map_err(AppraisalError::Document));
}

fn set(field: &str, value: Vec<u8>) -> impl FnOnce(&mut Doc) {
    let field = field.to_owned();
    move |doc| doc.set(&field, value)
}

fn error(field: DocumentField, error: FieldError) -> Result<(), DocumentError> {
    Err(DocumentError::Field(field, error))
}

fn pcrs(indexes: impl IntoIterator<Item = u64>) -> Vec<(Vec<u8>, Vec<u8>)> {
    indexes.into_iter().map(|index| (cbor::uint(index), cbor::bytes(&[1; 48]))).collect()
}

#[test]
fn row_14_all_forms_that_the_nsm_may_use_are_read() {
    check(|_| (), Ok(()));
    check(|doc| doc.indefinite = true, Ok(()));
    check(
        |doc| ["public_key", "user_data", "nonce"].into_iter().for_each(|key| doc.remove(key)),
        Ok(()),
    );
    check(|doc| doc.fields.reverse(), Ok(()));
    check(set("pcrs", cbor::indefinite_map(&pcrs(0..16))), Ok(()));
    check(set("pcrs", cbor::map(&pcrs(0..32))), Ok(()));
    check(set("pcrs", cbor::map(&pcrs([31, 2, 1, 0]))), Ok(()));
    check(
        |doc| {
            let ders = path().iter().map(|cert| cbor::bytes(&cert.der())).collect::<Vec<_>>();
            doc.set("cabundle", cbor::indefinite_array(&ders[..4]));
        },
        Ok(()),
    );
    let longer = [vec![0x1b], NOW_MS.to_be_bytes().to_vec()].concat();
    check(set("timestamp", longer), Ok(()));
    check(set("pcrs", cbor::map(&[(vec![0x18, 0], cbor::bytes(&[1; 48]))])), Ok(()));
    for (field, max) in [("public_key", 1024), ("user_data", 512), ("nonce", 512)] {
        for len in [0, 1, max] {
            check(set(field, cbor::bytes(&vec![7; len])), Ok(()));
        }
    }
}

#[test]
fn row_14_the_tag_is_optional() {
    let doc = Doc::new(&path());
    let tagged = [&[0xd2][..], &doc.sign()].concat();
    let verified =
        steve_protocol::evidence::AttestationDocument::verify(&tagged, &doc.anchor(), NOW_MS);
    assert_eq!(verified, doc.verify());
}

#[test]
fn row_14_unknown_fields_are_ignored_within_bounds() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    check(set("future", nested(7)), Ok(()));
    check(set("future", nested(8)), Err(DocumentError::Malformed));
    check(set("future", vec![0xf9, 0, 0]), Ok(()));
    check(set("future", [vec![0x9f], vec![0x00; 500], vec![0xff]].concat()), Ok(()));
    check(set("future", vec![0x5f, 0x41, 0, 0xff]), Err(DocumentError::Malformed));
    check(
        set("future", vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        Err(DocumentError::Malformed),
    );
}

#[test]
fn row_11_required_fields_are_required() {
    for (key, field) in [
        ("module_id", ModuleId),
        ("digest", Digest),
        ("timestamp", Timestamp),
        ("pcrs", Pcrs),
        ("certificate", Certificate),
        ("cabundle", Cabundle),
    ] {
        check(|doc| doc.remove(key), error(field, Missing));
        check(set(key, cbor::NULL.to_vec()), error(field, Type));
        check(set(key, vec![0xf5]), error(field, Type));
        check(set(key, [vec![0xc1], cbor::uint(NOW_MS)].concat()), error(field, Type));
    }
}

#[test]
fn row_13_digest_and_timestamp_have_their_values() {
    for digest in ["SHA256", "SHA512", "sha384", "SHA384 ", ""] {
        check(set("digest", cbor::text(digest)), error(Digest, Value));
    }
    check(set("digest", cbor::bytes(b"SHA384")), error(Digest, Type));
    check(set("timestamp", cbor::uint(0)), error(Timestamp, Value));
    check(set("timestamp", cbor::head(1, NOW_MS)), error(Timestamp, Type));
    check(
        set("timestamp", [vec![0xfb], 1.8e12_f64.to_be_bytes().to_vec()].concat()),
        error(Timestamp, Type),
    );
}

#[test]
fn row_13_pcrs_are_of_number_index_and_length() {
    check(set("pcrs", cbor::map(&[])), error(Pcrs, Length));
    check(set("pcrs", cbor::indefinite_map(&[])), error(Pcrs, Length));
    check(set("pcrs", cbor::map(&pcrs([0, 1, 2, 32]))), error(Pcrs, Value));
    check(set("pcrs", cbor::map(&pcrs([256]))), error(Pcrs, Value));
    check(set("pcrs", cbor::map(&pcrs([0, 1, 2, 1]))), error(Pcrs, DuplicateKey));
    check(set("pcrs", cbor::map(&pcrs((0..32).chain([0])))), error(Pcrs, DuplicateKey));
    check(set("pcrs", cbor::array(&[])), error(Pcrs, Type));
    for len in [0, 32, 47, 49, 64] {
        let value = cbor::bytes(&vec![1; len]);
        check(set("pcrs", cbor::map(&[(cbor::uint(0), value)])), error(Pcrs, Length));
    }
    let text = cbor::text(&"1".repeat(48));
    check(set("pcrs", cbor::map(&[(cbor::uint(0), text)])), error(Pcrs, Type));
    let negative = (cbor::head(1, 0), cbor::bytes(&[1; 48]));
    check(set("pcrs", cbor::map(&[negative])), error(Pcrs, Type));
    let textual = (cbor::text("0"), cbor::bytes(&[1; 48]));
    check(set("pcrs", cbor::map(&[textual])), error(Pcrs, Type));
}

#[test]
fn row_18_caps_hold() {
    check(set("module_id", cbor::text(&"i".repeat(256))), Ok(()));
    check(set("module_id", cbor::text(&"i".repeat(257))), error(ModuleId, Length));
    check(set("module_id", cbor::text("")), error(ModuleId, Length));
    check(set("module_id", [cbor::head(3, 2), vec![0xff, 0xfe]].concat()), error(ModuleId, Type));
    check(set("certificate", cbor::bytes(&[])), error(Certificate, Length));
    check(set("certificate", cbor::bytes(&[0x30; 1025])), error(Certificate, Length));
    check(set("cabundle", cbor::array(&[])), error(Cabundle, Length));
    let bundle = |count, len| cbor::array(&vec![cbor::bytes(&vec![0x30; len]); count]);
    check(set("cabundle", bundle(17, 10)), error(Cabundle, Length));
    check(set("cabundle", bundle(1, 1025)), error(Cabundle, Length));
    check(set("cabundle", bundle(2, 0)), error(Cabundle, Length));
    check(set("public_key", cbor::bytes(&[7; 1025])), error(PublicKey, Length));
    check(set("user_data", cbor::bytes(&[7; 513])), error(UserData, Length));
    check(set("nonce", cbor::bytes(&[7; 513])), error(Nonce, Length));
    check(set("nonce", cbor::text("nonce")), error(Nonce, Type));
    check(set("nonce", vec![0xf7]), error(Nonce, Type));
    check(set("nonce", vec![0x5f, 0x41, 7, 0xff]), error(Nonce, Type));
    // Lengths that are only claimed.
    for claim in [0x3b, 0x5b, 0x7b, 0x9b, 0xbb] {
        let huge = [vec![claim], vec![0xff; 8]].concat();
        for (key, field) in [("nonce", Nonce), ("pcrs", Pcrs), ("cabundle", Cabundle)] {
            let mut doc = Doc::new(&path());
            doc.set(key, huge.clone());
            let Err(AppraisalError::Document(DocumentError::Field(found, _))) = doc.verify() else {
                panic!("{claim:02x} as {key}");
            };
            assert_eq!(found, field);
        }
    }
}

#[test]
fn row_13_keys_are_text_and_occur_once() {
    for (key, value) in Doc::new(&path()).fields {
        check(|doc| doc.fields.push((key, value)), Err(DocumentError::DuplicateKey));
    }
    let other_device = (cbor::text("nitrotpm_pcrs"), cbor::NULL.to_vec());
    check(|doc| doc.fields.push(other_device), error(NitrotpmPcrs, Value));
    let unknown = (cbor::text("future"), cbor::uint(1));
    check(|doc| doc.fields.extend([unknown.clone(), unknown]), Err(DocumentError::DuplicateKey));
    for key in [cbor::uint(1), cbor::bytes(b"digest"), cbor::NULL.to_vec()] {
        check(|doc| doc.fields.push((key, cbor::uint(1))), Err(DocumentError::Malformed));
    }
    let split = vec![0x7f, 0x62, b'a', b'b', 0xff];
    check(|doc| doc.fields.push((split, cbor::uint(1))), Err(DocumentError::Malformed));
}

#[test]
fn row_13_the_map_is_the_whole_payload() {
    let doc = Doc::new(&path());
    let payload = doc.payload();
    let verify = |payload: &[u8]| {
        let signed = doc.signer.cose(payload);
        steve_protocol::evidence::AttestationDocument::verify(&signed, &doc.anchor(), NOW_MS)
            .map(drop)
    };
    assert_eq!(verify(&payload), Ok(()));
    let trailing = [&payload[..], &[0]].concat();
    assert_eq!(verify(&trailing), Err(AppraisalError::Document(DocumentError::TrailingBytes)));
    for len in (1..payload.len()).step_by(7) {
        assert!(matches!(verify(&payload[..len]), Err(AppraisalError::Document(_))), "{len}");
    }
    let array = cbor::array(&[payload]);
    assert_eq!(verify(&array), Err(AppraisalError::Document(DocumentError::Malformed)));
}
