//! Every rule of SPEC.md, Section 10.1, from both sides: what the decoder refuses, the encoder does
//! not make. The rows are those of the list of attacks that the project tests against.

use bytes::Bytes;
use proptest::prelude::*;
use steve_protocol::head::{
    BodyLength, Fields, HeadError, MAX_FIELD_LINES, RequestHead, ResponseHead, Trailers,
    encode_request, encode_response, encode_trailers,
};

/// Longest content of a HEAD or TRAILERS frame (SPEC.md, Section 14).
const MAX_LEN: usize = 65536;

type Line<'a> = (&'a [u8], &'a [u8]);

fn varint(out: &mut Vec<u8>, value: usize) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        _ => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A field section, well-formed or not.
fn section(lines: &[Line<'_>]) -> Vec<u8> {
    let mut inner = Vec::new();
    for (name, value) in lines {
        string(&mut inner, name);
        string(&mut inner, value);
    }
    let mut out = Vec::new();
    string(&mut out, &inner);
    out
}

/// A request head, well-formed or not.
fn request(control: [&[u8]; 4], lines: &[Line<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in control {
        string(&mut out, part);
    }
    out.extend(section(lines));
    out
}

/// A response head, well-formed or not.
fn response(status: usize, lines: &[Line<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, status);
    out.extend(section(lines));
    out
}

const GET: [&[u8]; 4] = [b"GET", b"https", b"a", b"/"];

/// The error of decoder and encoder, which has to be one and the same, if there is one.
fn request_error(control: [&[u8]; 4], lines: &[Line<'_>]) -> Option<HeadError> {
    let decoded = RequestHead::decode(request(control, lines).into()).err();
    let text: Vec<&str> = control.iter().filter_map(|part| str::from_utf8(part).ok()).collect();
    let lines: Option<Vec<(&str, &[u8])>> =
        lines.iter().map(|(name, value)| Some((str::from_utf8(name).ok()?, *value))).collect();
    if let (&[method, scheme, authority, path], Some(lines)) = (&text[..], lines) {
        let encoded = encode_request(method, scheme, authority, path, lines.iter().copied());
        assert_eq!(encoded.err(), decoded, "encoder and decoder differ");
    }
    decoded
}

fn response_error(status: usize, lines: &[Line<'_>]) -> Option<HeadError> {
    ResponseHead::decode(response(status, lines).into()).err()
}

fn trailer_error(lines: &[Line<'_>]) -> Option<HeadError> {
    Trailers::decode(section(lines).into()).err()
}

#[test]
fn row_21_each_byte_in_each_place() {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for byte in 0..=u8::MAX {
        let refused = |good: bool, error: HeadError| (!good).then_some(error);
        let around = [b'a', byte, b'z'];
        let [method, name, value] = [&around[..]; 3];
        let path = [b'/', byte];

        let expected = refused(token(byte), HeadError::Method);
        assert_eq!(request_error([method, b"https", b"a", b"/"], &[]), expected, "{byte:#04x}");

        let graphic = (0x21..=0x7e).contains(&byte) && byte != b'#';
        let expected = refused(graphic, HeadError::Path);
        assert_eq!(request_error([b"GET", b"https", b"a", &path], &[]), expected, "{byte:#04x}");

        let lower = token(byte) && !byte.is_ascii_uppercase();
        let expected = refused(lower, HeadError::FieldName);
        assert_eq!(request_error(GET, &[(name, b"v")]), expected, "{byte:#04x}");
        assert_eq!(response_error(200, &[(name, b"v")]), expected, "{byte:#04x}");
        assert_eq!(trailer_error(&[(name, b"v")]), expected, "{byte:#04x}");

        let text = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
        let expected = refused(text, HeadError::FieldValue);
        assert_eq!(request_error(GET, &[(b"n", value)]), expected, "{byte:#04x}");
        assert_eq!(response_error(200, &[(b"n", value)]), expected, "{byte:#04x}");
        assert_eq!(trailer_error(&[(b"n", value)]), expected, "{byte:#04x}");

        let end = text && byte != b' ' && byte != b'\t';
        let expected = refused(end, HeadError::FieldValue);
        for value in [&around[1..], &around[..2], &around[1..2]] {
            assert_eq!(request_error(GET, &[(b"n", value)]), expected, "{byte:#04x}");
        }

        // Wherever in the authority, these would end it or name somebody else.
        if byte <= 0x20 || byte >= 0x7f || b"/?#@\\\"<>^`{|}".contains(&byte) {
            let expected = Some(HeadError::Authority);
            let error = request_error([b"GET", b"https", &around, b"/"], &[]);
            assert_eq!(error, expected, "{byte:#04x}");
        }
    }
}

#[test]
fn row_21_targets_other_than_origin_form() {
    for path in ["", "*", "a", "?q", "http://b/", "b:443", "\\", "%2f"] {
        let error = request_error([b"GET", b"https", b"a", path.as_bytes()], &[]);
        assert_eq!(error, Some(HeadError::Path), "{path}");
    }
    assert_eq!(request_error([b"OPTIONS", b"https", b"a", b"*"], &[]), None);
    for path in [&b"**"[..], b"*/", b""] {
        let error = request_error([b"OPTIONS", b"https", b"a", path], &[]);
        assert_eq!(error, Some(HeadError::Path));
    }
    assert_eq!(request_error([b"options", b"https", b"a", b"*"], &[]), Some(HeadError::Path));
    for scheme in ["", "HTTP", "ftp", "https:", "http "] {
        let error = request_error([b"GET", scheme.as_bytes(), b"a", b"/"], &[]);
        assert_eq!(error, Some(HeadError::Scheme), "{scheme}");
    }
}

#[test]
fn row_21_host_is_the_authority_or_absent() {
    let control: [&[u8]; 4] = [b"GET", b"https", b"App.example:443", b"/"];
    assert_eq!(request_error(control, &[(b"host", b"App.example:443")]), None);
    for host in ["", "app.example:443", "App.example", "b", "App.example:443, b"] {
        let error = request_error(control, &[(b"host", host.as_bytes())]);
        assert_eq!(error, Some(HeadError::Host), "{host}");
    }
    let twice: [Line<'_>; 2] = [(b"host", b"App.example:443"); 2];
    assert_eq!(request_error(control, &twice), Some(HeadError::Host));
    let apart: [Line<'_>; 3] = [twice[0], (b"x", b""), (b"host", b"b")];
    assert_eq!(request_error(control, &apart), Some(HeadError::Host));
}

#[test]
fn row_21_content_length_is_one_number() {
    let with = |value: &str| {
        let lines: [Line<'_>; 1] = [(b"content-length", value.as_bytes())];
        let error = request_error(GET, &lines);
        assert_eq!(response_error(200, &lines), error, "{value}");
        error
    };
    for value in ["0", "5", "007", "9999999999999999999"] {
        assert_eq!(with(value), None, "{value}");
    }
    for value in ["", "+5", "-5", "5, 5", "5;5", "0x5", "5.0", "1e3", "99999999999999999999"] {
        assert_eq!(with(value), Some(HeadError::ContentLength), "{value}");
    }
    let twice: [Line<'_>; 2] = [(b"content-length", b"5"); 2];
    assert_eq!(request_error(GET, &twice), Some(HeadError::ContentLength));
    assert_eq!(response_error(200, &twice), Some(HeadError::ContentLength));
}

#[test]
fn row_21_what_steers_a_message_is_not_in_its_trailers() {
    for name in
        ["host", "content-length", "transfer-encoding", "trailer", "connection", "te", "upgrade"]
    {
        let error = trailer_error(&[(b"x", b""), (name.as_bytes(), b"1")]);
        assert_eq!(error, Some(HeadError::TrailerField), "{name}");
    }
    for name in ["hosts", "x-content-length", "t", "grpc-status"] {
        assert_eq!(trailer_error(&[(name.as_bytes(), b"1")]), None, "{name}");
    }
}

/// Row 21: what asks for another protocol can only be a plain GET that asks for one, and never for
/// another framing of HTTP itself.
#[test]
fn row_21_requests_to_upgrade() {
    for good in [&b"websocket"[..], b"WebSocket", b"a/1", b"spdy/3.1", b"h2", b"http2/1"] {
        assert_eq!(request_error(GET, &[(b"upgrade", good)]), None, "{good:?}");
    }
    for bad in [
        &b""[..],
        b"/",
        b"a/",
        b"/1",
        b"a/1/2",
        b"a, b",
        b"a b",
        b"websocket,",
        b"h2c",
        b"H2C",
        b"HTTP/2.0",
        b"tls/1.0",
        b"TLS",
        b"h2c/1",
    ] {
        assert_eq!(request_error(GET, &[(b"upgrade", bad)]), Some(HeadError::Upgrade), "{bad:?}");
    }
    let one: Line<'_> = (b"upgrade", b"websocket");
    assert_eq!(request_error(GET, &[one, one]), Some(HeadError::Upgrade));
    assert_eq!(request_error(GET, &[one, (b"content-length", b"0")]), Some(HeadError::Upgrade));
    for method in ["POST", "HEAD", "get", "CONNECT"] {
        let control = [method.as_bytes(), b"https", b"a", b"/"];
        assert_eq!(request_error(control, &[one]), Some(HeadError::Upgrade), "{method}");
    }
}

#[test]
fn statuses_in_any_form() {
    for status in 0..2000 {
        let good = (100..600).contains(&status);
        assert_eq!(response_error(status, &[]).is_none(), good, "{status}");
        let encoded = encode_response(status as u16, std::iter::empty());
        assert_eq!(encoded.is_ok(), good, "{status}");
    }
    // 200 in the low 16 bits.
    let wide = [&(0x1_00c8u32 | 0x8000_0000).to_be_bytes()[..], &[0]].concat();
    assert_eq!(ResponseHead::decode(wide.into()), Err(HeadError::Status));
}

#[test]
fn row_18_65536_bytes_and_no_more() {
    for (extra, error) in [(0, None), (1, Some(HeadError::TooLarge))] {
        // 1 + "a", and two lengths of 4 bytes each, before the value.
        let value = vec![b'v'; MAX_LEN - 10 + extra];
        let trailers = section(&[(b"a", &value)]);
        assert_eq!(trailers.len(), MAX_LEN + extra);
        assert_eq!(Trailers::decode(trailers.into()).err(), error);
        assert_eq!(encode_trailers([("a", &value[..])].into_iter()).err(), error);

        let value = &value[2..];
        assert_eq!(response(200, &[(b"a", value)]).len(), MAX_LEN + extra);
        assert_eq!(response_error(200, &[(b"a", value)]), error);
        assert_eq!(encode_response(200, [("a", value)].into_iter()).err(), error);

        // The control data take 4 + 6 + 2 + 2 bytes; the status took 2.
        let value = &value[12..];
        assert_eq!(request(GET, &[(b"a", value)]).len(), MAX_LEN + extra);
        assert_eq!(request_error(GET, &[(b"a", value)]), error);
    }
}

#[test]
fn row_18_256_lines_and_no_more() {
    for (count, error) in
        [(MAX_FIELD_LINES, None), (MAX_FIELD_LINES + 1, Some(HeadError::TooManyFields))]
    {
        let lines: Vec<Line<'_>> = vec![(b"a", b""); count];
        assert_eq!(request_error(GET, &lines), error);
        assert_eq!(response_error(200, &lines), error);
        assert_eq!(trailer_error(&lines), error);
    }
    // As many lines as the bytes can hold.
    let lines: Vec<Line<'_>> = vec![(b"a", b""); MAX_LEN / 3 - 4];
    assert_eq!(trailer_error(&lines), Some(HeadError::TooManyFields));
}

#[test]
fn row_18_lengths_beyond_the_end() {
    let lines: [Line<'_>; 1] = [(b"name", b"value")];
    let good = request(GET, &lines);
    // Where each length is: method, scheme, authority, path, section, name, value.
    for at in [0, 4, 10, 12, 14, 15, 20] {
        for length in [&[0x3f][..], &[0x7f, 0xff], &[0xbf, 0xff, 0xff, 0xff], &[0xff; 8]] {
            let bomb = [&good[..at], length, &good[at + 1..]].concat();
            assert_eq!(RequestHead::decode(bomb.into()), Err(HeadError::Encoding), "{at}");
        }
    }
}

#[test]
fn row_21_nothing_hides_after_the_section() {
    for rest in [&[0][..], b"\0\0", b"\r\n"] {
        let longer = |head: Vec<u8>| Bytes::from([&head[..], rest].concat());
        assert_eq!(RequestHead::decode(longer(request(GET, &[]))), Err(HeadError::Encoding));
        assert_eq!(ResponseHead::decode(longer(response(200, &[]))), Err(HeadError::Encoding));
        assert_eq!(Trailers::decode(longer(section(&[]))), Err(HeadError::Encoding));
    }
    // A name without a value.
    assert_eq!(Trailers::decode(Bytes::from_static(b"\x02\x01a")), Err(HeadError::Encoding));
}

/// What becomes of a body of `parts` after a head of this kind.
fn body(mut length: BodyLength, parts: &[usize]) -> Result<(), HeadError> {
    for part in parts {
        length.add(*part)?;
    }
    length.finish()
}

#[test]
fn row_21_the_body_is_as_long_as_content_length_says() {
    let wrong = Err(HeadError::BodyLength);
    let five: &[Line<'_>] = &[(b"content-length", b"5")];
    let head = RequestHead::decode(request(GET, five).into()).unwrap();
    let length = BodyLength::of_request(&head);
    for parts in [&[][..], &[4], &[6], &[5, 1]] {
        assert_eq!(body(length, parts), wrong, "{parts:?}");
    }
    for parts in [&[5][..], &[2, 0, 3]] {
        assert_eq!(body(length, parts), Ok(()), "{parts:?}");
    }
    let mut early = length;
    assert_eq!(early.add(6), wrong, "as soon as it is too long, not at the end");
    let free = RequestHead::decode(request(GET, &[]).into()).unwrap();
    assert_eq!(body(BodyLength::of_request(&free), &[]), Ok(()));
    assert_eq!(body(BodyLength::of_request(&free), &[65536; 3]), Ok(()));
}

#[test]
fn row_21_responses_that_have_no_body() {
    for (status, to_head, lines) in [
        (200, true, &[(&b"content-length"[..], &b"5"[..])][..]),
        (404, true, &[]),
        (204, false, &[]),
        (204, false, &[(b"content-length", b"0")]),
        (304, false, &[]),
        (304, false, &[(b"content-length", b"5")]),
    ] {
        let head = ResponseHead::decode(response(status, lines).into()).unwrap();
        let length = BodyLength::of_response(&head, to_head);
        assert_eq!(body(length, &[]), Ok(()), "{status} {lines:?}");
        assert_eq!(body(length, &[0]), Ok(()), "{status} {lines:?}");
        assert_eq!(body(length, &[1]), Err(HeadError::BodyLength), "{status} {lines:?}");
        assert_eq!(body(length, &[5]), Err(HeadError::BodyLength), "{status} {lines:?}");
    }
    let five: &[Line<'_>] = &[(b"content-length", b"5")];
    for status in [200, 205, 404, 500] {
        let head = ResponseHead::decode(response(status, five).into()).unwrap();
        let length = BodyLength::of_response(&head, false);
        assert_eq!(body(length, &[]), Err(HeadError::BodyLength), "{status}");
        assert_eq!(body(length, &[5]), Ok(()), "{status}");
    }
}

/// Well-formed and nearly well-formed lines.
fn lines() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![
        4 => "[a-z0-9!#$%&'*+.^_`|~-]{1,12}",
        1 => prop::sample::select(vec!["host", "content-length", "te", "cookie"])
            .prop_map(str::to_owned),
    ];
    let value = prop_oneof![
        "[!-~]([ \t-~]{0,80}[!-~])?".prop_map(String::into_bytes),
        prop::collection::vec(0x80u8.., 0..100),
        Just(b"5".to_vec()),
        Just(b"a".to_vec()),
    ];
    prop::collection::vec((name, value), 0..8)
}

fn pairs(fields: &Fields) -> Vec<(&str, &[u8])> {
    fields.iter().map(|line| (line.name(), line.value().as_ref())).collect()
}

proptest! {
    #[test]
    fn encoding_what_was_decoded_gives_the_same_bytes(
        lines in lines(), status in 100u16..600, flip in prop::option::of(any::<(u16, u8)>()),
    ) {
        let raw: Vec<Line<'_>> =
            lines.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        let mut heads = [request(GET, &raw), response(status.into(), &raw), section(&raw)];
        if let Some((at, byte)) = flip {
            for head in &mut heads {
                let at = usize::from(at) % head.len();
                head[at] = byte;
            }
        }
        let [request, response, section] = heads.map(Bytes::from);
        // A changed byte can also be a length in longer form, which is encoded shorter.
        let same = |again: &Bytes, head: &Bytes| again == head || again.len() < head.len();

        if let Ok(head) = RequestHead::decode(request.clone()) {
            let lines = pairs(head.fields());
            let again = encode_request(
                head.method(), head.scheme(), head.authority(), head.path(), lines.iter().copied(),
            ).unwrap();
            prop_assert!(same(&again, &request));
            prop_assert_eq!(RequestHead::decode(again).unwrap(), head);
        }
        if let Ok(head) = ResponseHead::decode(response.clone()) {
            let lines = pairs(head.fields());
            let again = encode_response(head.status(), lines.iter().copied()).unwrap();
            prop_assert!(same(&again, &response));
            prop_assert_eq!(ResponseHead::decode(again).unwrap(), head);
        }
        if let Ok(trailers) = Trailers::decode(section.clone()) {
            let lines = pairs(trailers.fields());
            let again = encode_trailers(lines.iter().copied()).unwrap();
            prop_assert!(same(&again, &section));
            prop_assert_eq!(Trailers::decode(again).unwrap(), trailers);
        }
    }

    #[test]
    fn the_encoder_makes_nothing_the_decoder_refuses(
        method in ".{0,6}", scheme in "https?|.{0,5}", authority in "[a-z.:0-9\\[\\]@%]{0,12}",
        path in "[/*]?.{0,12}", lines in lines(),
    ) {
        let parts = [&method, &scheme, &authority, &path];
        let raw: Vec<Line<'_>> =
            lines.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        let decoded = RequestHead::decode(request(parts.map(|part| part.as_bytes()), &raw).into());
        let fields = lines.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let encoded = encode_request(&method, &scheme, &authority, &path, fields);
        prop_assert_eq!(encoded.err(), decoded.err());
    }

    #[test]
    fn row_18_arbitrary_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..2000)) {
        let content = Bytes::from(content);
        let _ = RequestHead::decode(content.clone());
        let _ = ResponseHead::decode(content.clone());
        let _ = Trailers::decode(content);
    }
}
