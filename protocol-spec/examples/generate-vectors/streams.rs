use crate::frames::traffic;
use crate::hex;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use steve_protocol::frame::{FrameOpener, FrameSealer, FrameType};
use steve_protocol::head::{encode_request, encode_response, encode_trailers};
use steve_protocol::stream::{MessageOpener, Request, Response, Role};
use steve_protocol::suite::Suite;

/// Type, FIN and content of a frame.
type Part = (FrameType, bool, Bytes);

pub(crate) fn streams() -> Vec<Value> {
    [requests(), responses()].concat()
}

fn requests() -> Vec<Value> {
    let (plain, asking) = (request(&[]), request(&[("upgrade", b"echo/1")]));
    [
        ("upgrade", true, vec![head(&asking), data(b"one"), data(b""), fin(data(b"two"))]),
        ("upgrade HEAD with FIN", false, vec![fin(head(&asking))]),
        ("TRAILERS after an upgrade HEAD", false, vec![head(&asking), trailers()]),
        ("TRAILERS after DATA of an upgrade", false, vec![head(&asking), data(b"x"), trailers()]),
        ("a second HEAD after an upgrade HEAD", false, vec![head(&asking), head(&plain)]),
        ("a second HEAD", false, vec![head(&plain), head(&plain)]),
        (
            "TRAILERS without FIN",
            false,
            vec![head(&plain), (FrameType::Trailers, false, section())],
        ),
        ("DATA before HEAD", false, vec![data(b"x")]),
        ("TRAILERS before HEAD", false, vec![trailers()]),
    ]
    .map(|(comment, valid, parts)| vector::<Request>("request", comment, false, valid, &parts))
    .into()
}

fn responses() -> Vec<Value> {
    let [hints, switching, ok] = [103, 101, 200].map(response);
    [
        ("101", true, true, vec![head(&hints), head(&switching), data(b"x"), fin(data(b""))]),
        ("another answer to a request to upgrade", true, true, vec![head(&ok), trailers()]),
        ("101 that nobody asked for", false, false, vec![head(&switching)]),
        ("101 with FIN", true, false, vec![fin(head(&switching))]),
        ("TRAILERS after 101", true, false, vec![head(&switching), trailers()]),
        ("a second HEAD after 101", true, false, vec![head(&switching), head(&ok)]),
        ("101 after 101", true, false, vec![head(&switching), head(&switching)]),
        ("103 after 101", true, false, vec![head(&switching), head(&hints)]),
        ("101 after a final HEAD", true, false, vec![head(&ok), head(&switching)]),
        ("RESET(draining) after 101", true, false, vec![head(&switching), reset(0x0102)]),
        ("103 with FIN", false, false, vec![fin(head(&hints))]),
        ("DATA after 103", false, false, vec![head(&hints), data(b"x")]),
    ]
    .map(|(comment, asked, valid, parts)| {
        vector::<Response>("response", comment, asked, valid, &parts)
    })
    .into()
}

/// Checks that exactly the last frame is refused, or none.
fn vector<R: Role>(kind: &str, comment: &str, asked: bool, valid: bool, parts: &[Part]) -> Value {
    let suite = Suite::X25519ChaCha20Poly1305;
    let traffic = traffic(suite);
    let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic, 1);
    let frames = FrameOpener::dangerous_standalone(suite, &traffic, 1);
    let mut opener = MessageOpener::<R>::dangerous_standalone(frames);
    if asked {
        opener.answers_upgrade_request();
    }
    let mut sealed = Vec::new();
    for (number, (frame_type, fin, content)) in parts.iter().enumerate() {
        let mut out = BytesMut::new();
        sealer.seal(*frame_type, *fin, content, 0, &mut out).expect("far below the limit");
        sealed.push(hex(&out));
        opener.push(out.freeze());
        let is_good = valid || number + 1 < parts.len();
        let event = opener.next_event();
        assert_eq!(event.is_ok_and(|event| event.is_some()), is_good, "{comment}");
    }
    assert_eq!(opener.is_complete(), valid, "{comment}");
    let mut vector = json!({
        "comment": comment,
        "kind": kind,
        "suite": suite.id(),
        "key": hex(traffic.key),
        "iv": hex(traffic.iv),
        "stream_id": 1,
        "asked_upgrade": asked,
        "frames": sealed,
    });
    if !valid {
        vector["error"] = true.into();
    }
    vector
}

fn request(fields: &[(&str, &[u8])]) -> Bytes {
    encode_request("GET", "https", "app.example", "/", fields.iter().copied()).expect("valid")
}

fn response(status: u16) -> Bytes {
    encode_response(status, [].into_iter()).expect("valid")
}

fn section() -> Bytes {
    encode_trailers([("x-sum", &b"1"[..])].into_iter()).expect("valid")
}

fn head(content: &Bytes) -> Part {
    (FrameType::Head, false, content.clone())
}

fn data(content: &'static [u8]) -> Part {
    (FrameType::Data, false, content.into())
}

fn trailers() -> Part {
    (FrameType::Trailers, true, section())
}

fn reset(code: u16) -> Part {
    (FrameType::Reset, false, code.to_be_bytes().to_vec().into())
}

fn fin((frame_type, _, content): Part) -> Part {
    (frame_type, true, content)
}
