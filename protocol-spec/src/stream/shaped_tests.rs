//! What an observer sees of sealers that shape.

use super::tests::{drain, fields, opener, request, response, sealer};
use super::*;
use crate::frame::{HEADER_LEN, MAX_SEALED_LEN, OVERHEAD};
use crate::shaping::{BlockLen, Padding, Shaping};
use bytes::BytesMut;
use proptest::prelude::*;

const POLICIES: [&str; 7] = [
    "none, coalesce=10",
    "padme",
    "block=16",
    "block=21",
    "block=1000",
    "block=1024",
    "block=16384",
];

fn shaped<R: Role>(shaping: &str) -> (MessageSealer<R>, Padding) {
    let shaping: Shaping = shaping.parse().unwrap();
    let mut sealer = sealer();
    sealer.set_shaping(shaping);
    (sealer, shaping.padding)
}

/// Lengths of the frames, all that can be seen of them.
fn seen(wire: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut rest = wire;
    while let Some((header, _)) = rest.split_first_chunk::<HEADER_LEN>() {
        let len = HEADER_LEN + u32::from_be_bytes(*header) as usize;
        assert!((OVERHEAD..=MAX_SEALED_LEN).contains(&len));
        lengths.push(len);
        rest = &rest[len..];
    }
    lengths
}

/// A response whose body is written in pieces, sealed as ticks would have it.
fn body(shaping: &str, pieces: &[&[u8]]) -> BytesMut {
    let (mut sealer, _) = shaped::<Response>(shaping);
    let mut wire = BytesMut::new();
    sealer.head(&response(200, &[]), false, &mut wire).unwrap();
    for piece in pieces {
        sealer.data(piece, false, &mut wire).unwrap();
    }
    sealer.data(b"", true, &mut wire).unwrap();
    sealer.settle(&mut wire).unwrap();
    wire
}

fn received(wire: BytesMut) -> (Vec<u8>, bool) {
    let mut opener = opener::<Response>();
    let mut bytes = Vec::new();
    for event in drain(&mut opener, wire).unwrap() {
        if let Event::Data { data, .. } = event {
            bytes.extend_from_slice(&data);
        }
    }
    (bytes, opener.is_complete())
}

#[test]
fn row_25_every_length_of_a_body_shows_only_its_bucket() {
    for shaping in POLICIES {
        let (_, padding) = shaped::<Response>(shaping);
        let mut by_total: std::collections::BTreeMap<usize, Vec<usize>> = Default::default();
        // Around the edges of frames, and where Padmé needs frames of padding alone.
        let steps = (0..3000).step_by(7).chain((65_300..66_000).step_by(3));
        for len in steps
            .chain((130_000..132_000).step_by(37))
            .chain((4_190_000..4_400_000).step_by(13_001))
        {
            let content = vec![7; len];
            let wire = body(shaping, &[&content]);
            let lengths = seen(&wire);
            let total: usize = lengths.iter().sum();
            assert_eq!(total, wire.len());
            assert_eq!(padding.bucket(total as u64), total as u64, "{shaping}, {len}");
            for len in &lengths[..lengths.len() - 1] {
                assert_eq!(padding.bucket(*len as u64), *len as u64, "{shaping}, {lengths:?}");
            }
            if padding != Padding::None {
                let same = by_total.entry(total).or_insert_with(|| lengths.clone());
                assert_eq!(*same, lengths, "{shaping}, {len}: equal totals, other frames");
            }
            assert_eq!(received(wire), (content, true));
        }
    }
}

#[test]
fn row_25_a_direction_costs_no_more_than_its_policy_says() {
    for len in [0, 1, 300, 5000, 70_000, 1 << 20, 5_000_000] {
        let plain = body("none, coalesce=10", &[&vec![1; len]]).len() as f64;
        let padded = body("padme", &[&vec![1; len]]).len() as f64;
        // Two frames of at least 256 bytes; and the total on top of the frames.
        assert!(padded <= (plain + 512.0) * 1.13, "{len}: {padded}");
    }
}

#[test]
fn row_25_a_reset_is_as_long_as_the_end_it_stands_for() {
    for shaping in POLICIES {
        for len in [0, 1, 200, 999, 5000, 65_000, 65_536, 4_200_000, 4_259_000] {
            let content = vec![7; len];
            let ended = body(shaping, &[&content]);
            let (mut sealer, _) = shaped::<Response>(shaping);
            let mut broken = BytesMut::new();
            sealer.head(&response(200, &[]), false, &mut broken).unwrap();
            sealer.data(&content, false, &mut broken).unwrap();
            sealer.reset(ResetCode::APP_FAILED, &mut broken).unwrap();
            assert!(sealer.is_over());
            sealer.settle(&mut broken).unwrap();
            if shaping != "none, coalesce=10" {
                assert_eq!(seen(&ended), seen(&broken), "{shaping}, {len}");
            }
            let mut opener = opener::<Response>();
            let events = drain(&mut opener, broken).unwrap();
            assert_eq!(events.last(), Some(&Event::Reset(ResetCode::APP_FAILED)));
            assert!(!opener.is_complete());
        }
    }
}

#[test]
fn row_25_tokens_leave_no_trace_within_a_tick() {
    let tokens: [&[&[u8]]; 2] = [&[b"un", b"believ", b"able"], &[b"u", b"nbelievabl", b"e"]];
    for shaping in ["none, coalesce=50", "padme, coalesce=50", "block=64, coalesce=50"] {
        let [a, b] = tokens.map(|tokens| seen(&body(shaping, tokens)));
        assert_eq!(a, b);
    }
}

#[test]
fn heads_trailers_and_lone_resets_are_padded_too() {
    for shaping in POLICIES {
        let (mut sealer, padding) = shaped::<Response>(shaping);
        let mut wire = BytesMut::new();
        sealer.informational(&response(103, &[("link", "</a>")]), &mut wire).unwrap();
        sealer.head(&response(200, &[("x", "yes")]), false, &mut wire).unwrap();
        sealer.data(&[1; 100_000], false, &mut wire).unwrap();
        sealer.trailers(&fields(&[("x-sum", &"9".repeat(300))]), &mut wire).unwrap();
        sealer.settle(&mut wire).unwrap();
        for len in seen(&wire) {
            assert_eq!(padding.bucket(len as u64), len as u64, "{shaping}");
        }
        assert_eq!(padding.bucket(wire.len() as u64), wire.len() as u64);
        let events = drain(&mut opener::<Response>(), wire).unwrap();
        assert!(matches!(events.last(), Some(Event::Trailers(_))));

        let (mut sealer, _) = shaped::<Request>(shaping);
        let mut wire = BytesMut::new();
        sealer.head(&request("GET", &[]), true, &mut wire).unwrap();
        assert!(!sealer.owes_padding());
        assert_eq!(padding.bucket(wire.len() as u64), wire.len() as u64);
        assert!(matches!(
            drain(&mut opener::<Request>(), wire).unwrap()[..],
            [Event::Head { fin: true, .. }]
        ));

        let (mut sealer, _) = shaped::<Response>(shaping);
        let mut wire = BytesMut::new();
        sealer.reset(ResetCode::REFUSED, &mut wire).unwrap();
        assert!(!sealer.owes_padding());
        assert_eq!(wire.len() as u64, padding.smallest());
        let events = drain(&mut opener::<Response>(), wire).unwrap();
        assert_eq!(events, [Event::Reset(ResetCode::REFUSED)]);
    }
}

#[test]
fn the_largest_heads_and_trailers_fit() {
    let mut large = vec![0x80, 0x00, 0xff, 0xf7, 0x01, b'x', 0x80, 0x00, 0xff, 0xf1];
    large.resize(65_531, b'y');
    for shaping in POLICIES {
        let (mut sealer, _) = shaped::<Response>(shaping);
        let mut wire = BytesMut::new();
        let head = [&[0x40, 0xc8][..], &large].concat();
        sealer.head(&head, false, &mut wire).unwrap();
        sealer.trailers(&large, &mut wire).unwrap();
        sealer.settle(&mut wire).unwrap();
        assert_eq!(drain(&mut opener::<Response>(), wire).unwrap().len(), 2, "{shaping}");

        let (mut sealer, _) = shaped::<Response>(shaping);
        let mut wire = BytesMut::new();
        sealer.informational(&[&[0x40, 0x67][..], &large].concat(), &mut wire).unwrap();
        sealer.head(&head, true, &mut wire).unwrap();
        assert!(!sealer.owes_padding());
        assert_eq!(drain(&mut opener::<Response>(), wire).unwrap().len(), 2);
    }
}

#[test]
fn nothing_is_gathered_or_added_without_shaping() {
    let plain = |configure: fn(&mut MessageSealer<Response>)| {
        let mut sealer = sealer::<Response>();
        configure(&mut sealer);
        let mut wire = BytesMut::new();
        sealer.head(&response(200, &[]), false, &mut wire).unwrap();
        for piece in [&b"a"[..], b"bc"] {
            sealer.data(piece, false, &mut wire).unwrap();
            assert!(!sealer.has_gathered());
        }
        sealer.data(b"d", true, &mut wire).unwrap();
        assert!(!sealer.owes_padding() && sealer.shaped.is_none());
        wire
    };
    let wire = plain(|_| ());
    assert_eq!(seen(&wire)[1..], [OVERHEAD + 1, OVERHEAD + 2, OVERHEAD + 1]);
    assert_eq!(wire, plain(|sealer| sealer.set_shaping(Shaping::default())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn row_25_frames_depend_on_the_bytes_between_flushes_alone(
        block in proptest::option::of(16..=16_384u16),
        ticks in proptest::collection::vec(proptest::collection::vec(0..40_000usize, 0..6), 0..6),
    ) {
        let padding = block.and_then(BlockLen::new).map_or(Padding::Padme, Padding::Block);
        let seal = |whole: bool| {
            let mut sealer = sealer::<Response>();
            sealer.set_shaping(padding.into());
            let mut wire = BytesMut::new();
            sealer.head(&response(200, &[]), false, &mut wire).unwrap();
            for tick in &ticks {
                let lengths = if whole { vec![tick.iter().sum()] } else { tick.clone() };
                for len in lengths {
                    sealer.data(&vec![3; len], false, &mut wire).unwrap();
                }
                sealer.flush(&mut wire).unwrap();
            }
            sealer.data(b"", true, &mut wire).unwrap();
            sealer.settle(&mut wire).unwrap();
            wire
        };
        let wire = seal(false);
        prop_assert_eq!(seen(&wire), seen(&seal(true)));
        prop_assert_eq!(padding.bucket(wire.len() as u64), wire.len() as u64);
        let total: usize = ticks.iter().flatten().sum();
        prop_assert_eq!(received(wire), (vec![3; total], true));
    }
}
