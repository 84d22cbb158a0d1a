//! A stream of frames cut anywhere gives the same frames, whether the bytes are genuine or not.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use steve_protocol::frame::{Frame, FrameError, FrameOpener, FrameSealer, FrameType};
use steve_protocol::schedule::TrafficKey;
use steve_protocol::suite::Suite;

fn open(wire: &[u8], chunk: usize) -> (Vec<Frame>, Option<FrameError>) {
    let traffic = TrafficKey { key: [1; 32], iv: [2; 12] };
    let suite = Suite::X25519Aes256Gcm;
    let mut opener = FrameOpener::dangerous_standalone(suite, &traffic, 3);
    let mut frames = Vec::new();
    for chunk in wire.chunks(chunk) {
        opener.push(Bytes::copy_from_slice(chunk));
        loop {
            match opener.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|data: &[u8]| {
    let Some(([chunk, genuine], rest)) = data.split_first_chunk() else { return };
    let mut wire = BytesMut::new();
    let traffic = TrafficKey { key: [1; 32], iv: [2; 12] };
    let mut sealer = FrameSealer::dangerous_standalone(Suite::X25519Aes256Gcm, &traffic, 3);
    let cut = usize::from(*genuine).min(rest.len());
    for content in rest[..cut].chunks(7) {
        sealer.seal(FrameType::Data, false, content, content.len(), &mut wire).expect("few frames");
    }
    wire.extend_from_slice(&rest[cut..]);
    let whole = open(&wire, wire.len().max(1));
    assert!(whole.0.len() >= cut.div_ceil(7));
    assert_eq!(open(&wire, usize::from(*chunk).max(1)), whole);
});
