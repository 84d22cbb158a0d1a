use crate::hex;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use steve_protocol::head::{
    Fields, HeadError, RequestHead, ResponseHead, Trailers, encode_request, encode_response,
    encode_trailers,
};

type Lines<'a> = &'a [(&'a str, &'a [u8])];

pub(crate) fn heads() -> Vec<Value> {
    let many: Vec<(&str, &[u8])> = vec![("x-repeated", b"1"); 256];
    let long = vec![b'v'; 20_000];
    let requests: [(_, _, _, _, Lines<'_>); 9] = [
        ("GET", "https", "app.example", "/", &[]),
        (
            "POST",
            "https",
            "app.example:8443",
            "/v1/chat?stream=true",
            &[("content-type", b"application/json"), ("content-length", b"42")],
        ),
        ("OPTIONS", "http", "127.0.0.1:8080", "*", &[("host", b"127.0.0.1:8080")]),
        (
            "PURGE",
            "https",
            "[::1]:443",
            "/%00/../x",
            &[
                ("cookie", b"a=1"),
                ("cookie", b"b=2"),
                ("x-empty", b""),
                ("x-latin1", b"caf\xe9"),
                ("x-tab", b"a\tb"),
            ],
        ),
        ("GET", "https", "app.example", "/long", &[("x-long", &long)]),
        ("GET", "https", "app.example", "/many", &many),
        ("CONNECT", "https", "app.example", "/reserved", &[]),
        ("GET", "https", "app.example", "/chat", &[("upgrade", b"websocket")]),
        ("GET", "https", "app.example", "/exec", &[("upgrade", b"SPDY/3.1")]),
    ];
    let mut vectors = Vec::new();
    for (method, scheme, authority, path, lines) in requests {
        let encoded = encode_request(method, scheme, authority, path, lines.iter().copied());
        vectors.push(request(encoded.expect("a valid head")));
    }
    for (status, lines) in [
        (
            200,
            &[("content-type", &b"text/plain"[..]), ("set-cookie", b"a"), ("set-cookie", b"b")][..],
        ),
        (101, &[("sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]),
        (103, &[("link", b"</style.css>; rel=preload")]),
        (204, &[]),
        (304, &[("content-length", b"1234")]),
        (599, &[]),
    ] {
        let encoded = encode_response(status, lines.iter().copied()).expect("a valid head");
        vectors.push(response(encoded));
    }
    for lines in [&[][..], &[("x-checksum", &b"00ff"[..]), ("grpc-status", b"0")]] {
        let encoded = encode_trailers(lines.iter().copied()).expect("a valid section");
        let parsed = Trailers::decode(encoded.clone()).expect("a valid section");
        vectors.push(json!({
            "kind": "trailers", "encoded": hex(encoded), "fields": fields(parsed.fields()),
        }));
    }
    vectors.extend(longer_varints());
    vectors.extend(refused());
    vectors
}

fn request(encoded: Bytes) -> Value {
    let head = RequestHead::decode(encoded.clone()).expect("a valid head");
    let mut value = request_fields(&head);
    value.insert("kind".into(), "request".into());
    value.insert("encoded".into(), hex(encoded).into());
    value.into()
}

fn response(encoded: Bytes) -> Value {
    let head = ResponseHead::decode(encoded.clone()).expect("a valid head");
    let mut value = response_fields(&head);
    value.insert("kind".into(), "response".into());
    value.insert("encoded".into(), hex(encoded).into());
    value.into()
}

pub(crate) fn request_fields(head: &RequestHead) -> Map<String, Value> {
    let Value::Object(map) = json!({
        "method": head.method(),
        "scheme": head.scheme(),
        "authority": head.authority(),
        "path": head.path(),
        "fields": fields(head.fields()),
    }) else {
        unreachable!("json! of an object literal")
    };
    map
}

pub(crate) fn response_fields(head: &ResponseHead) -> Map<String, Value> {
    let Value::Object(map) = json!({ "status": head.status(), "fields": fields(head.fields()) })
    else {
        unreachable!("json! of an object literal")
    };
    map
}

pub(crate) fn fields(fields: &Fields) -> Value {
    fields.iter().map(|line| json!([line.name(), hex(line.value())])).collect()
}

/// Varints need not be in their shortest form (RFC 9000, Section 16).
fn longer_varints() -> Vec<Value> {
    vec![
        request(Bytes::from_static(
            b"\x40\x03GET\x80\0\0\x05https\x01a\xc0\0\0\0\0\0\0\x01/\x40\0",
        )),
        response(Bytes::from_static(b"\x80\0\0\xc8\0")),
    ]
}

fn raw(method: &str, scheme: &str, authority: &str, path: &str, lines: Lines<'_>) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in lines {
        for part in [name.as_bytes(), value] {
            section.push(u8::try_from(part.len()).ok().filter(|len| *len < 64).expect("short"));
            section.extend_from_slice(part);
        }
    }
    let mut out = Vec::new();
    for part in [method, scheme, authority, path] {
        out.push(u8::try_from(part.len()).ok().filter(|len| *len < 64).expect("short"));
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&(section.len() as u16 | 0x4000).to_be_bytes());
    out.extend_from_slice(&section);
    out
}

fn refused() -> Vec<Value> {
    let with = |lines: Lines<'_>| raw("GET", "https", "a", "/", lines);
    let good = with(&[("a", b"b")]);
    let too_many: Vec<(&str, &[u8])> = vec![("a", b"b"); 257];
    let mut too_large = b"\x03GET\x05https\x01a\x01/".to_vec();
    too_large.extend_from_slice(&(65_536u32 | 0x8000_0000).to_be_bytes());
    too_large.resize(too_large.len() + 65_536, 0);
    let mut vectors = Vec::new();
    for (comment, encoded) in [
        ("truncated", good[..good.len() - 1].to_vec()),
        ("trailing byte", [&good[..], &[0]].concat()),
        ("empty", Vec::new()),
        ("length beyond the end", vec![0xff; 9]),
        ("empty method", raw("", "https", "a", "/", &[])),
        ("method with a space", raw("GE T", "https", "a", "/", &[])),
        ("unknown scheme", raw("GET", "ftp", "a", "/", &[])),
        ("scheme in upper case", raw("GET", "HTTPS", "a", "/", &[])),
        ("empty authority", raw("GET", "https", "", "/", &[])),
        ("userinfo", raw("GET", "https", "u@a", "/", &[])),
        ("percent-encoding in the authority", raw("GET", "https", "a%41", "/", &[])),
        ("IPv6 address with too many colons", raw("GET", "https", "[::::]", "/", &[])),
        ("IPv4 address in brackets", raw("GET", "https", "[1.2.3.4]", "/", &[])),
        ("IPvFuture", raw("GET", "https", "[v1.a]", "/", &[])),
        ("empty port", raw("GET", "https", "a:", "/", &[])),
        ("port too large", raw("GET", "https", "a:65536", "/", &[])),
        ("absolute form", raw("GET", "https", "a", "https://b/", &[])),
        ("asterisk without OPTIONS", raw("GET", "https", "a", "*", &[])),
        ("fragment", raw("GET", "https", "a", "/#f", &[])),
        ("CR LF in the path", raw("GET", "https", "a", "/\r\nb", &[])),
        ("space in the path", raw("GET", "https", "a", "/ b", &[])),
        ("name in upper case", with(&[("A", b"b")])),
        ("empty name", with(&[("", b"b")])),
        ("pseudo field", with(&[(":path", b"/b")])),
        ("CR LF in a value", with(&[("a", b"b\r\nc: d")])),
        ("NUL in a value", with(&[("a", b"\0")])),
        ("leading space", with(&[("a", b" b")])),
        ("trailing tab", with(&[("a", b"b\t")])),
        ("host is not the authority", with(&[("host", b"b")])),
        ("two hosts", with(&[("host", b"a"), ("host", b"a")])),
        ("two lengths", with(&[("content-length", b"1"), ("content-length", b"1")])),
        ("signed length", with(&[("content-length", b"+1")])),
        ("upgrade to nothing", with(&[("upgrade", b"")])),
        ("upgrade to one of two protocols", with(&[("upgrade", b"a, b")])),
        ("two upgrades", with(&[("upgrade", b"websocket"), ("upgrade", b"websocket")])),
        ("upgrade to h2c", with(&[("upgrade", b"H2C")])),
        ("upgrade to HTTP", with(&[("upgrade", b"HTTP/2.0")])),
        ("upgrade to h2c in a version", with(&[("upgrade", b"h2c/1")])),
        ("upgrade with two versions", with(&[("upgrade", b"a/1/2")])),
        ("upgrade by HEAD", raw("HEAD", "https", "a", "/", &[("upgrade", b"websocket")])),
        ("upgrade with a length", with(&[("upgrade", b"a"), ("content-length", b"0")])),
        ("upgrade by POST", raw("POST", "https", "a", "/", &[("upgrade", b"websocket")])),
        ("257 lines", with(&too_many)),
        ("65536 bytes of fields", too_large),
    ] {
        assert!(RequestHead::decode(encoded.clone().into()).is_err(), "{comment}");
        vectors.push(negative("request", comment, encoded));
    }
    for (comment, encoded) in [
        ("status 99", vec![0x40, 99, 0]),
        ("status 600", vec![0x42, 0x58, 0]),
        ("status 101 with a length", b"\x40\x65\x11\x0econtent-length\x010".to_vec()),
        ("status 103 with a length", b"\x40\x67\x11\x0econtent-length\x010".to_vec()),
        ("no field section", vec![0x40, 0xc8]),
    ] {
        assert!(ResponseHead::decode(encoded.clone().into()).is_err(), "{comment}");
        vectors.push(negative("response", comment, encoded));
    }
    let in_trailers = b"\x09\x04host\x01a\x01b\0";
    for (comment, encoded) in [
        ("host in trailers", b"\x07\x04host\x01a".to_vec()),
        ("transfer-encoding in trailers", b"\x1a\x11transfer-encoding\x07chunked".to_vec()),
        ("trailing bytes", in_trailers.to_vec()),
    ] {
        let result: Result<_, HeadError> = Trailers::decode(encoded.clone().into());
        assert!(result.is_err(), "{comment}");
        vectors.push(negative("trailers", comment, encoded));
    }
    vectors
}

fn negative(kind: &str, comment: &str, encoded: Vec<u8>) -> Value {
    json!({ "kind": kind, "comment": comment, "encoded": hex(encoded), "error": true })
}
