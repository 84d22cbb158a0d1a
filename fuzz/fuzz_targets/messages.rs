//! Requests made of parts, on their way from a client to the app: what encodes is what `bhttp` writes
//! and decodes to the parts; what the proxy makes of it for the app has the framing, the fields and
//! the namespace of SPEC.md, Section 10.2, which are computed a second time here.
#![no_main]

use arbitrary::Arbitrary;
use bhttp::{Message, Mode};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use steve_fuzz::app::{binding, convert};
use steve_fuzz::seldom::Seldom;
use steve_protocol::head::{
    RequestHead, ResponseHead, Trailers, encode_request, encode_response, encode_trailers,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: Text<'a>,
    http: bool,
    authority: Text<'a>,
    path: Text<'a>,
    fields: Vec<Line<'a>>,
    trailers: Vec<Line<'a>>,
    status: u16,
    complete: bool,
    http2: bool,
}

#[derive(Arbitrary, Debug)]
struct Text<'a> {
    known: u8,
    instead: Seldom<&'a str>,
}

#[derive(Arbitrary, Debug)]
struct Line<'a> {
    name: Text<'a>,
    value: Value<'a>,
}

#[derive(Arbitrary, Debug)]
enum Value<'a> {
    Known(u8),
    Name(u8),
    Any(&'a [u8]),
}

const METHODS: &[&str] = &["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "PUT", "get", "!x"];
const AUTHORITIES: &[&str] =
    &["app.example", "app.example:8443", "[::1]:1", "192.0.2.1", "a:65535", "A,b;c"];
const PATHS: &[&str] = &["/", "*", "/a/b?c=d", "//x", "/%2e%2e/", "/\"{}|^`", "/?"];
const NAMES: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "cookie",
    "x-private",
    "steve-session",
    "steve_session",
    "steve.x",
    "expect",
    "x",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "3",
    "18446744073709551615",
    "chunked",
    "close, x-private",
    "TE , Host,content-length",
    "X-Private,steve-session",
    "trailers",
    "trailers, gzip",
    "websocket",
    "h2c",
    "app.example",
    "x-sum",
];
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

fn of<'a>(known: &[&'a str], index: u8) -> &'a str {
    known[usize::from(index) % known.len()]
}

impl<'a> Text<'a> {
    fn or(&self, known: &[&'a str]) -> &'a str {
        self.instead.0.unwrap_or(of(known, self.known))
    }
}

fn pairs<'a>(lines: &[Line<'a>]) -> Vec<(&'a str, &'a [u8])> {
    lines
        .iter()
        .map(|line| {
            let value = match line.value {
                Value::Known(index) => of(VALUES, index).as_bytes(),
                Value::Name(index) => of(NAMES, index).as_bytes(),
                Value::Any(bytes) => bytes,
            };
            (line.name.or(NAMES), value)
        })
        .collect()
}

/// The fields that pass, by SPEC.md, Section 10.2.
fn passes(connection: &[(&str, &[u8])], name: &str, value: &[u8]) -> bool {
    let named = connection.iter().filter(|(name, _)| *name == "connection").any(|(_, value)| {
        let list = String::from_utf8_lossy(value).to_ascii_lowercase();
        list.split(',').any(|item| item.trim_ascii() == name)
    });
    let prefix: String = name
        .chars()
        .take(6)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    prefix != "steve-"
        && !HOP_BY_HOP.contains(&name)
        && (name != "te" || value == b"trailers")
        && (["host", "content-length", "te"].contains(&name) || !named)
}

fn values<'a>(fields: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    fields.get_all(name).iter().map(|value| value.as_bytes()).collect()
}

/// Holds the fields that the app gets to those that pass, except the ones in `ours`.
fn compare(app: &HeaderMap, fields: &[(&str, &[u8])], connection: &[(&str, &[u8])], ours: &[&str]) {
    for name in app.keys().map(|name| name.as_str()).filter(|name| !ours.contains(name)) {
        assert!(fields.iter().any(|(sent, _)| *sent == name), "{name} was not sent");
    }
    for (name, _) in fields.iter().filter(|(name, _)| !ours.contains(name)) {
        let expected: Vec<_> = fields
            .iter()
            .filter(|(other, value)| other == name && passes(connection, other, value))
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(values(app, name), expected, "{name}");
    }
}

fn request(input: &Input<'_>) {
    let (method, authority) = (input.method.or(METHODS), input.authority.or(AUTHORITIES));
    let (path, scheme) = (input.path.or(PATHS), if input.http { "http" } else { "https" });
    let (fields, trailers) = (pairs(&input.fields), pairs(&input.trailers));
    let encoded = encode_request(method, scheme, authority, path, fields.iter().copied());
    let Ok(encoded) = encoded else { return };
    let head = RequestHead::decode(encoded.clone()).expect("what encodes decodes");
    let parts = (head.method(), head.scheme(), head.authority(), head.path());
    assert_eq!(parts, (method, scheme, authority, path));
    let lines: Vec<_> =
        head.fields().iter().map(|line| (line.name(), line.value().as_ref())).collect();
    assert_eq!(lines, fields);

    let [m, s, a, p] = [method, scheme, authority, path].map(Vec::from);
    assert_eq!(written(Message::request(m, s, a, p), &fields), encoded, "as bhttp writes it");

    let Ok(section) = encode_trailers(trailers.iter().copied()) else { return };
    let section = Trailers::decode(section).expect("what encodes decodes");
    let Some(app) = convert(&head, input.complete, input.http2, &section) else { return };
    assert_eq!(app.line, [method, authority, path]);
    let added =
        ["host", "steve-session", "content-length", "transfer-encoding", "connection", "upgrade"];
    compare(&app.fields, &fields, &fields, &added);
    compare(&app.trailers.expect("valid"), &trailers, &fields, &[]);
    assert_eq!(values(&app.fields, "steve-session"), [binding().1.as_bytes()]);

    let upgrade = head.upgrade().filter(|_| !input.http2);
    let upgrades: Vec<_> = upgrade.into_iter().map(str::as_bytes).collect();
    assert_eq!(values(&app.fields, "upgrade"), upgrades);
    let connection: &[&[u8]] = if upgrade.is_some() { &[b"upgrade"] } else { &[] };
    assert_eq!(values(&app.fields, "connection"), connection);
    let hosts: &[&[u8]] = if input.http2 { &[] } else { &[authority.as_bytes()] };
    assert_eq!(values(&app.fields, "host"), hosts);
    let coding = values(&app.fields, "transfer-encoding");
    let length = values(&app.fields, "content-length");
    if input.http2 {
        assert!(coding.is_empty() && length.len() <= 1);
        return;
    }
    let declared: Vec<_> = app.declared.iter().map(u64::to_string).collect();
    assert_eq!(length.len(), declared.len());
    if let ([text], Some(declared)) = (&length[..], app.declared) {
        let text = str::from_utf8(text).expect("digits");
        assert_eq!(text.parse(), Ok(declared));
        assert_eq!(head.content_length(), app.declared);
        assert!(input.complete || declared > 0, "the end has not authenticated");
    }
    let chunked = !input.complete && length.is_empty() && upgrade.is_none();
    assert_eq!(coding, if chunked { vec![&b"chunked"[..]] } else { vec![] }, "never two framings");
}

/// The head as `bhttp` writes it.
fn written(mut message: Message, fields: &[(&str, &[u8])]) -> Vec<u8> {
    for (name, value) in fields {
        message.put_header(*name, *value);
    }
    let mut out = Vec::new();
    message.write_bhttp(Mode::KnownLength, &mut out).expect("memory takes everything");
    assert_eq!(out[out.len() - 2..], [0, 0], "no body, no trailers");
    out[1..out.len() - 2].to_vec()
}

fn response(input: &Input<'_>) {
    let fields = pairs(&input.fields);
    let Ok(encoded) = encode_response(input.status, fields.iter().copied()) else { return };
    let head = ResponseHead::decode(encoded.clone()).expect("what encodes decodes");
    assert_eq!(head.status(), input.status);
    let status = input.status.try_into().expect("100 to 599");
    if input.status >= 200 {
        assert_eq!(written(Message::response(status), &fields), encoded, "as bhttp writes it");
    }
}

fuzz_target!(|input: Input<'_>| {
    request(&input);
    response(&input);
});
