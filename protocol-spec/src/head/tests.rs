use super::*;
use proptest::prelude::*;

type Lines<'a> = &'a [(&'a str, &'a str)];

fn request(parts: [&str; 4], lines: Lines<'_>) -> Result<Bytes, HeadError> {
    let [method, scheme, authority, path] = parts;
    encode_request(method, scheme, authority, path, pairs(lines))
}

fn pairs<'a>(lines: Lines<'a>) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
    lines.iter().map(|(name, value)| (*name, value.as_bytes()))
}

const GET: [&str; 4] = ["GET", "https", "app.example", "/a?b"];

#[test]
fn request_round_trip() {
    let encoded =
        request(GET, &[("accept", "*/*"), ("cookie", "a=1"), ("cookie", "b=2"), ("empty", "")])
            .unwrap();
    let head = RequestHead::decode(encoded).unwrap();
    assert_eq!(
        (head.method(), head.scheme(), head.authority(), head.path()),
        ("GET", "https", "app.example", "/a?b")
    );
    let lines: Vec<_> =
        head.fields().iter().map(|line| (line.name(), line.value().as_ref())).collect();
    assert_eq!(
        lines,
        [("accept", &b"*/*"[..]), ("cookie", b"a=1"), ("cookie", b"b=2"), ("empty", b"")]
    );
    assert_eq!(head.fields().all("cookie").count(), 2);
}

#[test]
fn response_round_trip() {
    let lines = [("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "5")];
    let head = ResponseHead::decode(encode_response(200, pairs(&lines)).unwrap()).unwrap();
    assert_eq!((head.status(), head.content_length(), head.fields().len()), (200, Some(5), 3));
}

#[test]
fn row_21_what_could_split_or_redirect_a_request_is_refused() {
    use HeadError::*;
    let with = |part: usize, value: &'static str| {
        let mut parts = GET;
        parts[part] = value;
        request(parts, &[]).unwrap_err()
    };
    assert_eq!(with(0, ""), Method);
    assert_eq!(with(0, "GET /x HTTP/1.1\r\nx:"), Method);
    assert_eq!(with(1, "ftp"), Scheme);
    assert_eq!(with(2, ""), Authority);
    assert_eq!(with(2, "a\r\nx: y"), Authority);
    assert_eq!(with(2, "user@a"), Authority);
    assert_eq!(with(3, "http://other/"), Path);
    assert_eq!(with(3, "/ HTTP/1.1\r\nx: y"), Path);
    assert_eq!(with(3, "/#f"), Path);
    assert_eq!(with(3, "*"), Path);
    for (lines, error) in [
        (&[("X", "upper case")][..], FieldName),
        (&[("", "x")], FieldName),
        (&[(":path", "/x")], FieldName),
        (&[("a b", "x")], FieldName),
        (&[("a\r\nb", "x")], FieldName),
        (&[("a", "x\r\nb: c")], FieldValue),
        (&[("a", "x\0")], FieldValue),
        (&[("a", " x")], FieldValue),
        (&[("a", "x\t")], FieldValue),
        (&[("host", "other.example")], Host),
        (&[("host", "app.example"), ("host", "app.example")], Host),
        (&[("content-length", "1"), ("content-length", "1")], ContentLength),
        (&[("content-length", "+1")], ContentLength),
        (&[("content-length", "1, 1")], ContentLength),
        (&[("content-length", "")], ContentLength),
    ] {
        assert_eq!(request(GET, lines).unwrap_err(), error, "{lines:?}");
    }
    assert!(request(GET, &[("host", "app.example")]).is_ok());
}

#[test]
fn debug_output_holds_no_secrets() {
    let lines = [("authorization", "hunter2")];
    let encoded = request(["GET", "https", "a", "/?key=hunter3"], &lines).unwrap();
    let text = format!("{:?}", RequestHead::decode(encoded).unwrap());
    assert!(text.contains("authorization") && !text.contains("hunter"), "{text}");
}

#[test]
fn statuses() {
    for good in [100, 101, 103, 200, 404, 599] {
        assert!(encode_response(good, pairs(&[])).is_ok(), "{good}");
    }
    let length = pairs(&[("content-length", "0")]);
    for interim in [100, 101, 103, 199] {
        assert_eq!(encode_response(interim, length.clone()).unwrap_err(), HeadError::ContentLength);
    }
    for bad in [0, 99, 600, 999, u16::MAX] {
        assert_eq!(encode_response(bad, pairs(&[])).unwrap_err(), HeadError::Status, "{bad}");
    }
}

#[test]
fn trailers_hold_nothing_that_steers_the_message() {
    assert!(encode_trailers(pairs(&[("x-checksum", "1")])).is_ok());
    for name in NOT_IN_TRAILERS {
        let result = encode_trailers(pairs(&[(name, "1")]));
        assert_eq!(result.unwrap_err(), HeadError::TrailerField, "{name}");
    }
}

#[test]
fn row_18_size_and_number_of_fields_are_bounded() {
    let lines = vec![("a", "b"); MAX_FIELD_LINES + 1];
    assert!(request(GET, &lines[1..]).is_ok());
    assert_eq!(request(GET, &lines).unwrap_err(), HeadError::TooManyFields);
    let long = "x".repeat(MAX_CONTENT_LEN);
    assert_eq!(request(GET, &[("a", &long)]).unwrap_err(), HeadError::TooLarge);
    let promised = [&[3][..], b"GET", &[0xff; 8]].concat();
    assert_eq!(RequestHead::decode(promised.into()), Err(HeadError::Encoding));
}

#[test]
fn truncations_and_trailing_bytes_are_refused() {
    let encoded = request(GET, &[("accept", "*/*")]).unwrap();
    for len in 0..encoded.len() {
        assert_eq!(RequestHead::decode(encoded.slice(..len)), Err(HeadError::Encoding), "{len}");
    }
    let longer = [&encoded[..], &[0]].concat();
    assert_eq!(RequestHead::decode(longer.into()), Err(HeadError::Encoding));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_decodes_round_trips(
        content in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let content = Bytes::from(content);
        let _ = ResponseHead::decode(content.clone());
        let _ = Trailers::decode(content.clone());
        if let Ok(head) = RequestHead::decode(content) {
            let lines: Vec<_> =
                head.fields().iter().map(|line| (line.name(), line.value().as_ref())).collect();
            let again = encode_request(
                head.method(), head.scheme(), head.authority(), head.path(), lines.iter().copied(),
            );
            prop_assert_eq!(RequestHead::decode(again.unwrap()).unwrap(), head);
        }
    }
}
