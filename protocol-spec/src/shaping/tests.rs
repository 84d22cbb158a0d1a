use super::*;
use crate::frame::{MAX_CONTENT_LEN, MAX_SEALED_LEN, OVERHEAD};
use proptest::prelude::*;

fn block(len: u16) -> Padding {
    Padding::Block(BlockLen::new(len).unwrap())
}

fn any_padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        Just(Padding::None),
        Just(Padding::Padme),
        (16..=16_384u16).prop_map(block),
        (4..=14u32).prop_map(|exponent| block(1 << exponent)),
    ]
}

#[test]
fn text_and_back() {
    for (text, canonical) in [
        ("none", "none"),
        ("padme", "padme"),
        ("block=16", "block=16"),
        ("block=16384 ,  coalesce=10", "block=16384, coalesce=10"),
        ("padme,coalesce=1000", "padme, coalesce=1000"),
        ("none, coalesce=50", "none, coalesce=50"),
    ] {
        assert_eq!(text.parse::<Shaping>().unwrap().to_string(), canonical);
    }
    for text in [
        "",
        "Padme",
        "padme ",
        " padme",
        "block",
        "block=",
        "block=15",
        "block=16385",
        "block=016",
        "block=+16",
        "block=99999",
        "coalesce=50",
        "padme,",
        "padme, coalesce=",
        "padme, coalesce=9",
        "padme, coalesce=1001",
        "padme, coalesce=50 ",
        "padme, coalesce=50, coalesce=50",
        "padme; coalesce=50",
        "padme, block=16",
    ] {
        assert_eq!(text.parse::<Shaping>(), Err(ShapingError), "{text}");
    }
}

#[test]
fn row_25_a_wish_never_takes_away_from_the_minimum() {
    let shaping = |text: &str| text.parse::<Shaping>().unwrap();
    for (wish, minimum, together) in [
        ("none", "none", "none"),
        ("none", "padme, coalesce=50", "padme, coalesce=50"),
        ("padme", "none, coalesce=50", "padme, coalesce=50"),
        ("none, coalesce=100", "padme, coalesce=50", "padme, coalesce=100"),
        ("none, coalesce=10", "none, coalesce=50", "none, coalesce=50"),
        ("block=2048", "block=1024", "block=2048"),
        ("block=1536", "block=1024", "block=1024"),
        ("block=512", "block=1024", "block=1024"),
        ("padme", "block=1024", "block=1024"),
        ("block=16384", "padme", "padme"),
    ] {
        assert_eq!(shaping(wish).at_least(shaping(minimum)), shaping(together), "{wish}");
    }
}

#[test]
fn padme_as_published() {
    // From the algorithm in Section 4 of the paper, by hand; and the minimum of 256.
    for (len, padded) in [
        (0, 256),
        (256, 256),
        (257, 272),
        (1000, 1024),
        (1025, 1088),
        (4097, 4352),
        (65_536, 65_536),
        (65_537, 67_584),
        (1_000_001, 1_015_808),
    ] {
        assert_eq!(Padding::Padme.bucket(len), padded, "{len}");
    }
}

#[test]
fn ticks_do_not_depend_on_when_they_are_asked_for() {
    let interval = Interval::from_millis(50).unwrap();
    for (elapsed, tick) in [(0, 50), (1, 50), (49, 50), (50, 100), (99, 100), (1234, 1250)] {
        let at = interval.tick_after(Duration::from_millis(elapsed));
        assert_eq!(at, Duration::from_millis(tick), "{elapsed}");
    }
}

proptest! {
    #[test]
    fn buckets_are_fixed_points_in_order(
        padding in any_padding(),
        a in 0..=1u64 << 40,
        b in 0..=1u64 << 40,
    ) {
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(padding.bucket(a) >= a);
        prop_assert!(padding.bucket(a) <= padding.bucket(b));
        prop_assert_eq!(padding.bucket(padding.bucket(a)), padding.bucket(a));
    }

    #[test]
    fn padme_adds_a_sixteenth_at_most(len in 256..=1u64 << 50) {
        prop_assert!(Padding::Padme.bucket(len) - len <= len / 16);
    }

    #[test]
    fn a_policy_that_covers_another_joins_its_buckets(
        padding in any_padding(),
        other in any_padding(),
        a in 0..200_000u64,
        b in 0..200_000u64,
    ) {
        if padding.covers(other) && other.bucket(a) == other.bucket(b) {
            prop_assert_eq!(padding.bucket(a), padding.bucket(b));
        }
    }

    #[test]
    fn frames_fit(padding in any_padding(), content in 0..=MAX_CONTENT_LEN) {
        let frame = padding.frame(content);
        prop_assert!((OVERHEAD + content..=MAX_SEALED_LEN).contains(&frame));
        if content <= padding.capacity() {
            prop_assert_eq!(padding.bucket(frame as u64), frame as u64);
        }
    }
}
