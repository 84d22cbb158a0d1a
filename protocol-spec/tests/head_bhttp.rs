//! The head codec against the `bhttp` crate, in both directions.

use bhttp::{Message, Mode};
use bytes::Bytes;
use proptest::prelude::*;
use std::io::Cursor;
use steve_protocol::head::{
    RequestHead, ResponseHead, Trailers, encode_request, encode_response, encode_trailers,
};

type Line = (String, Vec<u8>);

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let value = prop_oneof![
        "[!-~]([ -~]{0,60}[!-~])?".prop_map(String::into_bytes),
        Just(Vec::new()),
        prop::collection::vec(0x80u8.., 1..200),
    ];
    prop::collection::vec(("x-[a-z0-9-]{1,20}", value), 0..20)
}

fn pairs(lines: &[Line]) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    lines.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
}

fn known_length(framing: u8, head: &[u8], body: &[u8], trailers: &[u8]) -> Vec<u8> {
    assert!(body.len() < 64, "one-byte varint");
    [&[framing][..], head, &[body.len() as u8], body, trailers].concat()
}

fn same(theirs: &bhttp::FieldSection, ours: &[Line]) -> bool {
    let theirs: Vec<_> = theirs.fields().iter().map(|f| (f.name(), f.value())).collect();
    let ours: Vec<_> = ours.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())).collect();
    theirs == ours
}

proptest! {
    #[test]
    fn bhttp_reads_our_requests(
        method in "[A-Z]{1,10}", path in "/[a-z0-9/?=%&]{0,80}", lines in lines(),
        trailers in lines(), body in prop::collection::vec(any::<u8>(), 0..63),
    ) {
        let head =
            encode_request(&method, "https", "app.example:8443", &path, pairs(&lines)).unwrap();
        let trailer_section = encode_trailers(pairs(&trailers)).unwrap();
        let message = known_length(0, &head, &body, &trailer_section);
        let theirs = Message::read_bhttp(&mut Cursor::new(message)).unwrap();
        prop_assert_eq!(theirs.control().method(), Some(method.as_bytes()));
        prop_assert_eq!(theirs.control().scheme(), Some(&b"https"[..]));
        prop_assert_eq!(theirs.control().authority(), Some(&b"app.example:8443"[..]));
        prop_assert_eq!(theirs.control().path(), Some(path.as_bytes()));
        prop_assert_eq!(theirs.content(), &body);
        prop_assert!(same(theirs.header(), &lines));
        prop_assert!(same(theirs.trailer(), &trailers));
    }

    #[test]
    fn bhttp_reads_our_responses(status in 200u16..600, lines in lines()) {
        let head = encode_response(status, pairs(&lines)).unwrap();
        let theirs = Message::read_bhttp(&mut Cursor::new(known_length(1, &head, b"", &[0]))).unwrap();
        prop_assert_eq!(theirs.control().status().map(|s| s.code()), Some(status));
        prop_assert!(same(theirs.header(), &lines));
    }

    #[test]
    fn we_read_what_bhttp_writes(
        method in "[A-Z]{1,10}", path in "/[a-z0-9/?=%&]{0,80}", status in 200u16..600,
        lines in lines(),
    ) {
        let mut request = Message::request(
            method.clone().into(), "https".into(), "app.example".into(), path.clone().into(),
        );
        let mut response = Message::response(status.try_into().unwrap());
        for (name, value) in &lines {
            request.put_header(name.as_bytes(), value.clone());
            response.put_header(name.as_bytes(), value.clone());
        }
        let content = |message: &Message| {
            let mut out = Vec::new();
            message.write_bhttp(Mode::KnownLength, &mut out).unwrap();
            assert_eq!(&out[out.len() - 2..], [0, 0], "no body, no trailers");
            Bytes::copy_from_slice(&out[1..out.len() - 2])
        };
        let head = RequestHead::decode(content(&request)).unwrap();
        prop_assert_eq!(head.method(), method);
        prop_assert_eq!(head.path(), path);
        let ours: Vec<Line> =
            head.fields().iter().map(|l| (l.name().to_owned(), l.value().to_vec())).collect();
        prop_assert_eq!(&ours, &lines);
        let head = ResponseHead::decode(content(&response)).unwrap();
        prop_assert_eq!(head.status(), status);
        prop_assert_eq!(head.fields().len(), lines.len());
        let trailers = Trailers::decode(encode_trailers(pairs(&lines)).unwrap()).unwrap();
        prop_assert_eq!(trailers.fields().len(), lines.len());
    }
}
