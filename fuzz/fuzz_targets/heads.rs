//! Heads from anybody, also held against the crate `bhttp`: what decodes encodes and decodes to the
//! same, `bhttp` reads it alike, and what only this code refuses breaks a rule on what heads may say.
#![no_main]

use bhttp::{ControlData, FieldSection, Mode};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use steve_protocol::head::{
    Fields, HeadError, RequestHead, ResponseHead, Trailers, encode_request, encode_response,
    encode_trailers,
};

fn lines(fields: &Fields) -> Vec<(&str, &[u8])> {
    fields.iter().map(|line| (line.name(), line.value().as_ref())).collect()
}

/// Control data, if there is to be any, and a field section that ends with the content, as `bhttp`
/// reads them.
fn theirs(request: Option<bool>, content: &[u8]) -> Option<(Option<ControlData>, FieldSection)> {
    let mut cursor = Cursor::new(content);
    let control = match request {
        Some(request) => {
            Some(ControlData::read_bhttp::<_, Cursor<&[u8]>>(request, &mut cursor).ok()?)
        }
        None => None,
    };
    // It takes nothing for a section without lines.
    let there = cursor.position() < content.len() as u64;
    let mode = Mode::KnownLength;
    let fields = FieldSection::read_bhttp::<_, Cursor<&[u8]>>(mode, &mut cursor).ok()?;
    (there && cursor.position() == content.len() as u64).then_some((control, fields))
}

/// `bhttp` joins the lines of a cookie.
fn same(ours: &Fields, theirs: &FieldSection) {
    let mut joined: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, value) in lines(ours) {
        match joined.iter_mut().find(|(known, _)| *known == name && name == "cookie") {
            Some((_, cookie)) => cookie.extend([b"; ", value].concat()),
            None => joined.push((name, value.to_vec())),
        }
    }
    let theirs: Vec<_> = theirs.iter().map(|field| (field.name(), field.value())).collect();
    let ours: Vec<_> = joined.iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect();
    assert_eq!(ours, theirs);
}

/// Only what is said may be refused where `bhttp` can read it.
fn only_rules<T>(ours: Result<T, HeadError>) {
    assert!(!matches!(ours, Err(HeadError::Encoding)), "bhttp reads it");
}

fn request(content: &Bytes) {
    let theirs = theirs(Some(true), content);
    let head = match RequestHead::decode(content.clone()) {
        Ok(head) => head,
        refused if theirs.is_some() => return only_rules(refused),
        Err(_) => return,
    };
    let Some((Some(control), section)) = theirs else { panic!("bhttp refuses what is valid") };
    assert_eq!(control.method(), Some(head.method().as_bytes()));
    assert_eq!(control.scheme(), Some(head.scheme().as_bytes()));
    assert_eq!(control.authority(), Some(head.authority().as_bytes()));
    assert_eq!(control.path(), Some(head.path().as_bytes()));
    same(head.fields(), &section);
    let fields = lines(head.fields());
    let (method, scheme) = (head.method(), head.scheme());
    let (authority, path) = (head.authority(), head.path());
    let again = encode_request(method, scheme, authority, path, fields.into_iter());
    let again = again.expect("what decodes encodes");
    assert!(again.len() <= content.len(), "the shortest form");
    assert_eq!(RequestHead::decode(again), Ok(head));
}

fn response(content: &Bytes) {
    let theirs = theirs(Some(false), content);
    let head = match ResponseHead::decode(content.clone()) {
        Ok(head) => head,
        refused if theirs.is_some() => return only_rules(refused),
        Err(_) => return,
    };
    let Some((Some(control), section)) = theirs else { panic!("bhttp refuses what is valid") };
    assert_eq!(control.status().map(|status| status.code()), Some(head.status()));
    same(head.fields(), &section);
    let again = encode_response(head.status(), lines(head.fields()).into_iter());
    assert_eq!(again.and_then(ResponseHead::decode), Ok(head));
}

fn trailers(content: &Bytes) {
    let theirs = theirs(None, content);
    let trailers = match Trailers::decode(content.clone()) {
        Ok(trailers) => trailers,
        refused if theirs.is_some() => return only_rules(refused),
        Err(_) => return,
    };
    let Some((None, section)) = theirs else { panic!("bhttp refuses what is valid") };
    same(trailers.fields(), &section);
    let again = encode_trailers(lines(trailers.fields()).into_iter());
    assert_eq!(again.and_then(Trailers::decode), Ok(trailers));
}

fuzz_target!(|data: &[u8]| {
    let content = Bytes::copy_from_slice(data);
    request(&content);
    response(&content);
    trailers(&content);
});
