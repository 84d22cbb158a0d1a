use crate::hex;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use steve_protocol::aead::{AeadKey, TAG_LEN};
use steve_protocol::frame::{FrameOpener, FrameSealer, FrameType, MAX_CONTENT_LEN};
use steve_protocol::schedule::TrafficKey;
use steve_protocol::suite::Suite;

pub(crate) fn aead() -> Vec<Value> {
    let mut vectors = Vec::new();
    for suite in Suite::ALL {
        for len in [0usize, 1, 15, 16, 17, 64, 1000] {
            let key: [u8; 32] = std::array::from_fn(|i| i as u8 ^ len as u8);
            let nonce: [u8; 12] = std::array::from_fn(|i| 0xf0 + i as u8);
            let plaintext: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let aad = &b"associated data"[..len.min(15)];
            let mut ciphertext = vec![0; len + TAG_LEN];
            AeadKey::new(suite.aead(), &key).seal(&nonce, aad, &plaintext, b"", &mut ciphertext);
            vectors.push(json!({
                "suite": suite.id(),
                "key": hex(key),
                "nonce": hex(nonce),
                "aad": hex(aad),
                "plaintext": hex(plaintext),
                "ciphertext": hex(ciphertext),
            }));
        }
    }
    vectors
}

pub(crate) fn traffic(suite: Suite) -> TrafficKey {
    TrafficKey {
        key: std::array::from_fn(|i| i as u8 + suite.id() as u8),
        iv: std::array::from_fn(|i| 0xa0 + i as u8),
    }
}

pub(crate) fn frames() -> Vec<Value> {
    let mut vectors = Vec::new();
    for suite in Suite::ALL {
        for stream_id in [1, 0x0123_4567_89ab_cdef & ((1 << 62) - 1), (1 << 62) - 1] {
            vectors.push(sequence(suite, stream_id));
        }
        vectors.extend(malformed(suite));
    }
    vectors
}

fn sequence(suite: Suite, stream_id: u64) -> Value {
    let traffic = traffic(suite);
    let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic, stream_id);
    let body: Vec<u8> = (0..300).map(|i| i as u8).collect();
    let whole: Vec<u8> = vec![0; if stream_id == 1 { MAX_CONTENT_LEN } else { 0 }];
    let mut frames = Vec::new();
    for (number, (frame_type, fin, content, padding)) in [
        (FrameType::Head, false, &b"a head is opaque at this layer"[..], 0),
        (FrameType::Data, false, &body, 0),
        (FrameType::Data, false, b"", 0),
        (FrameType::Data, false, b"ends in zeros\0\0", 1),
        (FrameType::Data, false, &whole, 0),
        (FrameType::Data, true, b"x", 255),
        (FrameType::Trailers, true, b"t", 0),
        (FrameType::Reset, false, &[2, 1], 3),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sealed = BytesMut::new();
        sealer.seal(frame_type, fin, content, padding, &mut sealed).expect("far below the limit");
        frames.push(json!({
            "frame_number": number,
            "type": frame_type as u8 | if fin { 0x80 } else { 0 },
            "content": hex(content),
            "padding": padding,
            "sealed": hex(&sealed),
        }));
    }
    json!({
        "suite": suite.id(),
        "key": hex(traffic.key),
        "iv": hex(traffic.iv),
        "stream_id": stream_id,
        "frames": frames,
    })
}

/// First frames that a receiver refuses.
fn malformed(suite: Suite) -> Vec<Value> {
    let traffic = traffic(suite);
    let seal = |plaintext: &[u8], header: u32, frame_number: u32| {
        let header = header.to_be_bytes();
        let mut out = vec![0; 4 + plaintext.len() + TAG_LEN];
        out[..4].copy_from_slice(&header);
        let nonce = traffic.nonce(1, frame_number);
        traffic.aead(suite.aead()).seal(&nonce, &header, plaintext, b"", &mut out[4..]);
        out
    };
    let mut bit_flipped = seal(b"x\x02", 18, 0);
    bit_flipped[5] ^= 1;
    [
        ("no type", seal(b"\0\0", 18, 0)),
        ("unknown type", seal(b"x\x05", 18, 0)),
        ("FIN alone", seal(b"x\x80", 18, 0)),
        ("nothing but a tag", seal(b"", 16, 0)),
        ("reserved bit set", seal(b"x\x02", 0x8000_0012, 0)),
        ("content and padding of 65537 bytes", seal(&[2; MAX_CONTENT_LEN + 2], 65_554, 0)),
        ("sealed as frame 1", seal(b"x\x02", 18, 1)),
        ("one bit flipped", bit_flipped),
    ]
    .into_iter()
    .map(|(comment, sealed)| {
        let mut opener = FrameOpener::dangerous_standalone(suite, &traffic, 1);
        opener.push(Bytes::from(sealed.clone()));
        assert!(opener.next_frame().is_err(), "{comment}");
        json!({
            "comment": comment,
            "suite": suite.id(),
            "key": hex(traffic.key),
            "iv": hex(traffic.iv),
            "stream_id": 1,
            "frame_number": 0,
            "sealed": hex(sealed),
            "error": true,
        })
    })
    .collect()
}
