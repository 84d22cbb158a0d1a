use super::*;
use crate::aead::Backend;

const SUITES: [Suite; 2] = [Suite::X25519ChaCha20Poly1305, Suite::X25519Aes256Gcm];

fn traffic() -> TrafficKey {
    TrafficKey { key: [3; 32], iv: [5; 12] }
}

fn sealer(suite: Suite, stream_id: u64) -> FrameSealer {
    FrameSealer::new(suite, &traffic(), stream_id, Arc::default())
}

fn opener(suite: Suite, stream_id: u64) -> FrameOpener {
    FrameOpener::new(suite, &traffic(), stream_id, Arc::default())
}

fn sealed(suite: Suite, frames: &[(FrameType, bool, &[u8], usize)]) -> BytesMut {
    let mut sealer = sealer(suite, 9);
    let mut out = BytesMut::new();
    for (frame_type, fin, content, padding) in frames {
        sealer.seal(*frame_type, *fin, content, *padding, &mut out).unwrap();
    }
    out
}

fn open_all(opener: &mut FrameOpener) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = opener.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn frames_survive_any_chunking_with_and_without_sharing() {
    let big = vec![0; MAX_CONTENT_LEN];
    let frames: [(FrameType, bool, &[u8], usize); 5] = [
        (FrameType::Head, false, b"head\0\0", 0),
        (FrameType::Data, false, b"", 0),
        (FrameType::Data, false, b"with padding", 100),
        (FrameType::Data, false, &big, 0),
        (FrameType::Trailers, true, b"end", MAX_CONTENT_LEN - 3),
    ];
    for suite in SUITES {
        let wire = sealed(suite, &frames).freeze();
        for chunk in [1, 3, 4, 5, 24, 25, 1000, 65_557, 70_000, wire.len()] {
            for shared in [true, false] {
                let mut opener = opener(suite, 9);
                let mut opened = Vec::new();
                let mut rest = wire.clone();
                while !rest.is_empty() {
                    let part = rest.split_to(chunk.min(rest.len()));
                    opener.push(if shared { part } else { Bytes::copy_from_slice(&part) });
                    opened.extend(open_all(&mut opener).unwrap());
                }
                assert!(opener.input.is_empty() && opener.partial.is_empty());
                assert_eq!(opened.len(), frames.len());
                for (frame, (frame_type, fin, content, _)) in opened.iter().zip(&frames) {
                    assert_eq!((frame.frame_type, frame.fin), (*frame_type, *fin));
                    assert_eq!(frame.content, *content);
                }
            }
        }
    }
}

#[test]
fn pushing_many_chunks_before_taking_frames_keeps_their_order() {
    let wire = sealed(
        SUITES[0],
        &[(FrameType::Head, false, b"one", 0), (FrameType::Data, true, b"two", 0)],
    );
    let mut opener = opener(SUITES[0], 9);
    for byte in &wire {
        opener.push(Bytes::copy_from_slice(&[*byte]));
    }
    let frames = open_all(&mut opener).unwrap();
    assert_eq!(frames[0].content, "one");
    assert_eq!(frames[1].content, "two");
}

#[test]
fn row_05_every_bit_of_a_frame_is_authenticated() {
    for suite in SUITES {
        let wire = sealed(suite, &[(FrameType::Data, true, b"pay 100", 2)]);
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut opener = opener(suite, 9);
            opener.push(bad.freeze());
            assert!(!matches!(opener.next_frame(), Ok(Some(_))), "bit {bit}");
        }
    }
}

#[test]
fn row_05_frames_cannot_be_reordered_repeated_dropped_or_moved() {
    for suite in SUITES {
        let mut sealer = sealer(suite, 9);
        let mut frames = Vec::new();
        for content in [b"a", b"b", b"c"] {
            let mut out = BytesMut::new();
            sealer.seal(FrameType::Data, false, content, 0, &mut out).unwrap();
            frames.push(out.freeze());
        }
        for order in [&[1, 0][..], &[0, 0], &[0, 2], &[2]] {
            let mut opener = opener(suite, 9);
            for index in order {
                opener.push(frames[*index].clone());
            }
            assert_eq!(open_all(&mut opener), Err(FrameError::Unauthenticated), "{order:?}");
        }
        let mut elsewhere = opener(suite, 10);
        elsewhere.push(frames[0].clone());
        assert_eq!(elsewhere.next_frame(), Err(FrameError::Unauthenticated));
        let reflected = TrafficKey { key: [4; 32], ..traffic() };
        let mut elsewhere = FrameOpener::new(suite, &reflected, 9, Arc::default());
        elsewhere.push(frames[0].clone());
        assert_eq!(elsewhere.next_frame(), Err(FrameError::Unauthenticated));
    }
}

#[test]
fn row_18_lengths_out_of_range_are_refused_from_the_header_alone() {
    for length in [0u32, 1, 16, 65_554, 0x0002_0000, 0x8000_0011, u32::MAX] {
        let mut opener = opener(SUITES[0], 9);
        opener.push(Bytes::copy_from_slice(&length.to_be_bytes()));
        assert_eq!(opener.next_frame(), Err(FrameError::Header), "{length}");
        let mut bytewise = self::opener(SUITES[0], 9);
        let results: Vec<_> = length
            .to_be_bytes()
            .iter()
            .map(|byte| {
                bytewise.push(Bytes::copy_from_slice(&[*byte]));
                bytewise.next_frame()
            })
            .collect();
        assert_eq!(results[3], Err(FrameError::Header), "{length}");
    }
}

#[test]
fn a_frame_without_a_type_is_refused() {
    for (plaintext, expected) in [
        (&[0u8, 0, 0][..], FrameError::Type),
        (&[0], FrameError::Type),
        (b"x\x05", FrameError::Type),
        (b"x\x80", FrameError::Type),
        (b"x\x7f", FrameError::Type),
    ] {
        let length = (plaintext.len() + TAG_LEN) as u32;
        let mut wire = BytesMut::from(&length.to_be_bytes()[..]);
        wire.resize(HEADER_LEN + plaintext.len() + TAG_LEN, 0);
        let key = traffic().aead(SUITES[0].aead());
        key.seal(&traffic().nonce(9, 0), &length.to_be_bytes(), plaintext, b"", &mut wire[4..]);
        let mut opener = opener(SUITES[0], 9);
        opener.push(wire.freeze());
        assert_eq!(opener.next_frame(), Err(expected));
        assert_eq!(opener.next_frame(), Ok(None), "there is nothing after an error");
    }
}

#[test]
fn limits_end_the_stream_before_a_nonce_repeats() {
    let mut sealer = sealer(SUITES[0], 9);
    sealer.0.next_frame = u32::MAX - 1;
    let mut out = BytesMut::new();
    sealer.seal(FrameType::Data, false, b"", 0, &mut out).unwrap();
    let before = out.len();
    assert_eq!(sealer.seal(FrameType::Data, false, b"", 0, &mut out), Err(UsageLimitReached));
    assert_eq!(out.len(), before);

    let usage = Arc::new(Usage::default());
    usage.set_bytes(crate::usage::MAX_BYTES - 16);
    let mut sealer = FrameSealer::new(SUITES[0], &traffic(), 9, usage);
    assert_eq!(sealer.seal(FrameType::Data, false, b"", 0, &mut out), Err(UsageLimitReached));
}

#[test]
fn nonces_differ_in_stream_and_frame() {
    assert_eq!(traffic().nonce(0, 0), [5; 12]);
    assert_eq!(traffic().nonce(1, 2), [5, 5, 5, 5, 5, 5, 5, 4, 5, 5, 5, 7]);
}

#[test]
fn the_default_back_end_is_the_first_one() {
    assert_eq!(Backend::default(), Backend::ALL[0]);
}

#[test]
fn memory_is_used_again_only_when_nobody_holds_the_content() {
    let contents: Vec<Vec<u8>> = (1..20).map(|n| vec![n; 5000 + usize::from(n)]).collect();
    let frames: Vec<_> =
        contents.iter().map(|content| (FrameType::Data, false, content.as_slice(), 0)).collect();
    for suite in SUITES {
        let wire = sealed(suite, &frames).freeze();
        for chunk in [100, 5000, 7000, wire.len()] {
            for kept in [0, 1, 2, 3, frames.len()] {
                let mut opener = opener(suite, 9);
                let mut held: Vec<Bytes> = Vec::new();
                let (mut rest, mut number) = (wire.clone(), 0);
                while !rest.is_empty() {
                    opener.push(rest.split_to(chunk.min(rest.len())));
                    while let Some(frame) = opener.next_frame().unwrap() {
                        held.push(frame.content);
                        number += 1;
                        held.drain(..held.len().saturating_sub(kept));
                        for (content, expected) in
                            held.iter().rev().zip(contents[..number].iter().rev())
                        {
                            assert_eq!(content, expected);
                        }
                    }
                }
                assert_eq!(number, frames.len());
            }
        }
    }
}

#[test]
fn a_buffer_that_is_used_again_holds_what_was_sealed_last() {
    for suite in SUITES {
        let (mut one, mut other) = (sealer(suite, 9), sealer(suite, 9));
        let mut buffer = FrameBuffer::with_capacity(100);
        for len in [3000, 10, 0, 70, 5000] {
            let content = vec![7; len];
            let mut fresh = BytesMut::new();
            buffer.clear();
            one.seal(FrameType::Data, false, &content, len / 2, &mut buffer).unwrap();
            other.seal(FrameType::Data, false, &content, len / 2, &mut fresh).unwrap();
            assert_eq!(buffer.as_ref(), fresh);
        }
        let len = buffer.len();
        assert_eq!(Bytes::from(buffer).len(), len);
    }
}
