//! The plain structures: whatever decodes encodes to the same bytes. Frames come off a tunnel's
//! messages one by one, and close codes stand for statuses.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use steve_fuzz::world::{NOW_MS, SUITES, enclave, keys, rng};
use steve_protocol::evidence::VerifiedEnclave;
use steve_protocol::handshake::{ClientHandshake, ClientHello, EarlyHandshake};
use steve_protocol::key_config::KeyConfig;
use steve_protocol::session::{MAX_STREAM_ID, StreamOpen};
use steve_protocol::suite::Suite;
use steve_protocol::tunnel::{close_code, close_status, take_frame};

static ENCLAVE: LazyLock<VerifiedEnclave> = LazyLock::new(|| enclave(&keys(1, 0)));

fuzz_target!(|data: &[u8]| {
    if let Ok(hello) = ClientHello::decode(data) {
        assert_eq!(hello.encode(), data);
        let prefix = data.first_chunk().expect("a whole message has a prefix");
        assert_eq!(ClientHello::len_from_prefix(prefix), Ok(data.len()));
    }
    if let Ok(config) = KeyConfig::decode(data) {
        assert_eq!(config.encoded(), data);
        assert_eq!(KeyConfig::new(config.fields().clone()), Ok(config.clone()));
        let entries = &config.fields().keys;
        assert!(entries.is_sorted_by(|a, b| a.suite < b.suite), "in ascending order");
        assert!(entries.iter().all(|entry| config.key(entry.suite) == Some(entry)));
        assert!(config.fields().epoch > 0);
    }
    if let Ok(encoded) = data.try_into() {
        let id = data.last_chunk().map_or(0, |id| u64::from_be_bytes(*id));
        let valid = data[0] == 2 && (1..=MAX_STREAM_ID).contains(&id);
        let open = StreamOpen::decode(encoded);
        assert_eq!(open.is_ok(), valid);
        assert!(open.is_err() || open.is_ok_and(|open| open.encode() == data));
    }
    tunnel(data);
    // X25519 takes its time: not for what is too short to be a ServerHello.
    if let Some((first, hello)) = data.split_first()
        && hello.len() >= 60
    {
        server_hello(*first, hello);
    }
});

/// Nobody can make a ServerHello without the keys.
fn server_hello(which: u8, hello: &[u8]) {
    let allowed = [if which & 1 == 0 { SUITES[0] } else { SUITES[1] }, Suite::XWingAes256Gcm];
    let accepted = if which & 2 == 0 {
        let (handshake, _) = ClientHandshake::start(&ENCLAVE, &allowed, NOW_MS, &mut rng(5))
            .expect("the enclave has the suite");
        handshake.finish(hello, NOW_MS).is_ok()
    } else {
        let (handshake, _, _) = EarlyHandshake::start(&ENCLAVE, &allowed, NOW_MS, &mut rng(5))
            .expect("the enclave has the suite");
        handshake.finish(hello, NOW_MS).is_ok()
    };
    assert!(!accepted);
}

fn tunnel(data: &[u8]) {
    let mut sealed = Bytes::copy_from_slice(data);
    let mut frames = Vec::new();
    while let Some(frame) = take_frame(&mut sealed) {
        let length = u32::from_be_bytes(*frame.first_chunk().expect("a header")) as usize;
        assert!(frame.len() == 4 + length || (frame.len() < 4 + length && sealed.is_empty()));
        frames.extend_from_slice(&frame);
    }
    assert!(sealed.len() < 4);
    frames.extend_from_slice(&sealed);
    assert_eq!(frames, data, "nothing is lost");
    if let Some(code) = data.first_chunk() {
        let code = u16::from_be_bytes(*code);
        match close_status(code) {
            Some(status) => assert_eq!((close_code(status), status / 600), (code, 0)),
            None => assert!(!(4100..4600).contains(&code)),
        }
    }
}
