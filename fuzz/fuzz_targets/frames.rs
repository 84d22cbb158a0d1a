//! A stream of frames cut anywhere gives the same frames, whether the bytes are genuine or not: as
//! many as are genuine, with the content, type and end that were sealed.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use steve_protocol::frame::{
    Frame, FrameError, FrameOpener, FrameSealer, FrameType, MAX_CONTENT_LEN, MAX_SEALED_LEN,
    OVERHEAD,
};
use steve_protocol::schedule::TrafficKey;
use steve_protocol::suite::Suite;

#[derive(Arbitrary, Debug)]
struct Input {
    aes: bool,
    stream_id: u64,
    genuine: Vec<Piece>,
    /// Behind the genuine ones.
    junk: Vec<u8>,
    /// A bit to flip.
    flip: Option<u32>,
    chunk: u16,
    shared: bool,
}

#[derive(Arbitrary, Debug)]
struct Piece {
    frame_type: u8,
    fin: bool,
    content: Content,
    padding: u8,
}

#[derive(Arbitrary, Debug)]
enum Content {
    Bytes(Vec<u8>),
    Zeros(u8),
    Largest(u8),
}

const TYPES: [FrameType; 4] =
    [FrameType::Head, FrameType::Data, FrameType::Trailers, FrameType::Reset];

impl Input {
    fn suite(&self) -> Suite {
        if self.aes { Suite::X25519Aes256Gcm } else { Suite::X25519ChaCha20Poly1305 }
    }

    fn open(&self, wire: &[u8], chunk: usize) -> (Vec<Frame>, Option<FrameError>) {
        let traffic = TrafficKey { key: [1; 32], iv: [2; 12] };
        let mut opener = FrameOpener::dangerous_standalone(self.suite(), &traffic, self.stream_id);
        let (mut frames, mut failure) = (Vec::new(), None);
        let all = Bytes::copy_from_slice(wire);
        for start in (0..wire.len()).step_by(chunk) {
            let chunk = all.slice(start..wire.len().min(start + chunk));
            opener.push(if self.shared { chunk } else { Bytes::copy_from_slice(&chunk) });
            loop {
                match opener.next_frame() {
                    Ok(Some(frame)) => {
                        assert!(failure.is_none(), "after an error there are no more frames");
                        frames.push(frame);
                    }
                    Ok(None) => break,
                    Err(error) => failure = Some(error),
                }
            }
        }
        (frames, failure)
    }
}

fuzz_target!(|input: Input| {
    let traffic = TrafficKey { key: [1; 32], iv: [2; 12] };
    let mut sealer = FrameSealer::dangerous_standalone(input.suite(), &traffic, input.stream_id);
    let (mut wire, mut expected, mut ends) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in input.genuine.iter().take(4) {
        let content = match &piece.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Zeros(length) => vec![0; (*length).into()],
            Content::Largest(below @ 0..2) => vec![7; MAX_CONTENT_LEN - usize::from(*below)],
            Content::Largest(length) => vec![7; usize::from(*length) * 4],
        };
        // Rarely much, for speed.
        let padding = usize::from(piece.padding);
        let padding = if padding == 255 { MAX_CONTENT_LEN } else { padding };
        let padding = padding.min(MAX_CONTENT_LEN - content.len());
        let frame_type = TYPES[usize::from(piece.frame_type % 4)];
        let before = wire.len();
        sealer.seal(frame_type, piece.fin, &content, padding, &mut wire).expect("few frames");
        assert_eq!(wire.len() - before, content.len() + padding + OVERHEAD);
        assert!(wire.len() - before <= MAX_SEALED_LEN);
        expected.push(Frame { frame_type, fin: piece.fin, content: content.into() });
        ends.push(wire.len());
    }
    let mut intact = expected.len();
    if let (Some(bit), false) = (input.flip, wire.is_empty()) {
        let bit = bit as usize % (wire.len() * 8);
        wire[bit / 8] ^= 1 << (bit % 8);
        intact = ends.iter().position(|end| bit / 8 < *end).unwrap_or(intact);
    }
    wire.extend_from_slice(&input.junk);
    let whole = input.open(&wire, wire.len().max(1));
    assert_eq!(whole.0, expected[..intact], "as many as are genuine");
    if intact < expected.len() {
        assert_ne!(whole.1, Some(FrameError::Type), "what is not authentic is not looked into");
    }
    // Not more than 64 pieces, for speed.
    let chunk = usize::from(input.chunk).max(wire.len() / 64).max(1);
    assert_eq!(input.open(&wire, chunk), whole);
});
