//! The vectors on disk, opened with every AEAD back end of this build.

#![cfg(feature = "dangerous-dev-attester")]
#![allow(clippy::unwrap_used, reason = "a test")]

use bytes::Bytes;
use serde_json::Value;
use steve_protocol::aead::{AeadKey, Backend};
use steve_protocol::frame::FrameOpener;
use steve_protocol::schedule::TrafficKey;
use steve_protocol::stream::{MessageOpener, Request, Response, Role};
use steve_protocol::suite::Suite;

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = file["vectors"].as_array().unwrap().clone();
    assert!(!vectors.is_empty());
    vectors
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

fn suite(vector: &Value) -> Suite {
    Suite::from_id(vector["suite"].as_u64().unwrap().try_into().unwrap()).unwrap()
}

#[test]
fn every_back_end_seals_and_opens_the_aead_vectors() {
    for vector in vectors("aead") {
        for backend in Backend::ALL {
            let key = hex(&vector["key"]).try_into().unwrap();
            let key = AeadKey::with_backend(*backend, suite(&vector).aead(), &key);
            let nonce = hex(&vector["nonce"]).try_into().unwrap();
            let (aad, plaintext) = (hex(&vector["aad"]), hex(&vector["plaintext"]));
            let mut expected = hex(&vector["ciphertext"]);
            let mut sealed = vec![0; expected.len()];
            key.seal(&nonce, &aad, &plaintext, b"", &mut sealed);
            assert_eq!(sealed, expected, "{backend:?}");
            let (data, tag) = expected.split_last_chunk_mut().unwrap();
            key.open_in_place(&nonce, &aad, data, tag).unwrap();
            assert_eq!(data, plaintext, "{backend:?}");
        }
    }
}

fn traffic(vector: &Value, key: &str, iv: &str) -> TrafficKey {
    TrafficKey {
        key: hex(&vector[key]).try_into().unwrap(),
        iv: hex(&vector[iv]).try_into().unwrap(),
    }
}

#[test]
fn frames_open_as_the_vectors_say() {
    for vector in vectors("frames") {
        let traffic = traffic(&vector, "key", "iv");
        let stream_id = vector["stream_id"].as_u64().unwrap();
        let mut opener = FrameOpener::dangerous_standalone(suite(&vector), &traffic, stream_id);
        if vector["error"] == true {
            opener.push(hex(&vector["sealed"]).into());
            assert!(opener.next_frame().is_err(), "{}", vector["comment"]);
            continue;
        }
        for frame in vector["frames"].as_array().unwrap() {
            opener.push(hex(&frame["sealed"]).into());
            let opened = opener.next_frame().unwrap().unwrap();
            assert_eq!(opened.content, hex(&frame["content"]));
            let fin = if opened.fin { 0x80 } else { 0 };
            assert_eq!(opened.frame_type as u64 | fin, frame["type"].as_u64().unwrap());
        }
    }
}

#[test]
fn messages_are_in_order_or_refused_at_their_last_frame() {
    for vector in vectors("streams") {
        match vector["kind"].as_str().unwrap() {
            "request" => check_order::<Request>(&vector),
            "response" => check_order::<Response>(&vector),
            kind => panic!("{kind}"),
        }
    }
}

fn check_order<R: Role>(vector: &Value) {
    let traffic = traffic(vector, "key", "iv");
    let stream_id = vector["stream_id"].as_u64().unwrap();
    let frames = FrameOpener::dangerous_standalone(suite(vector), &traffic, stream_id);
    let mut opener = MessageOpener::<R>::dangerous_standalone(frames);
    if vector["asked_upgrade"] == true {
        opener.answers_upgrade_request();
    }
    let frames = vector["frames"].as_array().unwrap();
    for (number, frame) in frames.iter().enumerate() {
        opener.push(hex(frame).into());
        let refused = vector["error"] == true && number + 1 == frames.len();
        assert_eq!(opener.next_event().is_err(), refused, "{}, frame {number}", vector["comment"]);
    }
    assert_eq!(opener.is_complete(), vector["error"] != true, "{}", vector["comment"]);
}

#[test]
fn exchanges_open_under_the_keys_of_their_handshake() {
    for vector in vectors("exchange") {
        for stream in vector["streams"].as_array().unwrap() {
            let stream_id = stream["stream_id"].as_u64().unwrap();
            let (c2s, open, reply) = match stream_id {
                0 => ("early", hex(&vector["client_hello"]), hex(&vector["server_hello"])),
                _ => ("c2s", vec![0; 25], Vec::new()),
            };
            for (direction, outer, before) in
                [(c2s, "outer_request", open), ("s2c", "outer_response", reply)]
            {
                let (key, iv) = (format!("{direction}_key"), format!("{direction}_iv"));
                let keys = traffic(&vector, &key, &iv);
                let frames = Bytes::from(hex(&stream[outer])).slice(before.len()..);
                if direction == "s2c" && stream["response"].is_null() {
                    assert_eq!((stream_id, frames.len()), (0, 0), "a rejected early request");
                    continue;
                }
                let mut opener =
                    FrameOpener::dangerous_standalone(suite(&vector), &keys, stream_id);
                opener.push(frames);
                let mut fin = false;
                while let Some(frame) = opener.next_frame().unwrap() {
                    assert!(!fin);
                    fin = frame.fin;
                }
                assert!(fin);
            }
        }
    }
}
