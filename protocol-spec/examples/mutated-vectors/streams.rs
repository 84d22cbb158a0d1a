use crate::{below, emit, hex, pick, unhex, vectors};
use bytes::BytesMut;
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use steve_protocol::frame::{FrameOpener, FrameSealer, FrameType};
use steve_protocol::head::HeadError;
use steve_protocol::schedule::TrafficKey;
use steve_protocol::stream::{MessageOpener, Request, Response, Role, StreamError};
use steve_protocol::suite::Suite;

pub(crate) fn streams(rng: &mut ChaCha20Rng, count: usize) {
    let heads: Vec<_> = vectors("heads")
        .into_iter()
        .filter(|head| head["encoded"].as_str().is_some_and(|encoded| encoded.len() < 400))
        .collect();
    for _ in 0..count {
        if below(rng, 2) == 0 {
            stream::<Request>(rng, &heads, "request");
        } else {
            stream::<Response>(rng, &heads, "response");
        }
    }
}

/// Random frames up to the first that is refused, or to the end of the message.
fn stream<R: Role>(rng: &mut ChaCha20Rng, heads: &[Value], kind: &str) {
    const TYPES: [FrameType; 4] =
        [FrameType::Head, FrameType::Data, FrameType::Trailers, FrameType::Reset];
    let suite = Suite::X25519ChaCha20Poly1305;
    let traffic = TrafficKey { key: [1; 32], iv: [2; 12] };
    let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic, 1);
    let frames = FrameOpener::dangerous_standalone(suite, &traffic, 1);
    let mut opener = MessageOpener::<R>::dangerous_standalone(frames);
    let asked = below(rng, 2) == 0;
    if asked {
        opener.answers_upgrade_request();
    }
    let (mut wire, mut error) = (Vec::new(), false);
    while !opener.is_over() {
        let likely = [if wire.is_empty() { 0 } else { 1 }, below(rng, 4)][below(rng, 2)];
        let wanted = [kind, "trailers"][usize::from(likely == 2)];
        let content = match likely {
            0 | 2 => loop {
                let head = pick(rng, heads);
                if head["kind"] == wanted && (head["error"].is_null() || below(rng, 8) == 0) {
                    break unhex(&head["encoded"]);
                }
            },
            1 => vec![7; below(rng, 5)],
            _ => vec![[1, 2, 9][below(rng, 3)]; 2 + below(rng, 8) / 7],
        };
        let (fin, padding) = (below(rng, 4) == 0, below(rng, 3));
        let mut out = BytesMut::new();
        sealer.seal(TYPES[likely], fin, &content, padding, &mut out).expect("few frames");
        wire.push(hex(&out));
        opener.push(out.freeze());
        let event = opener.next_event();
        if !fin && matches!(event, Err(StreamError::Head(HeadError::BodyLength))) {
            // Whether this is said now or at the end is left open.
            return;
        }
        error = event.is_err();
    }
    if !error && !opener.is_complete() {
        return;
    }
    let mut vector = json!({
        "kind": kind,
        "asked_upgrade": asked,
        "suite": suite.id(),
        "key": hex(traffic.key),
        "iv": hex(traffic.iv),
        "stream_id": 1,
        "frames": wire,
    });
    if error {
        vector["error"] = true.into();
    }
    emit("streams.json", &vector);
}
