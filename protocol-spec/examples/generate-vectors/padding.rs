use crate::frames::traffic;
use bytes::BytesMut;
use serde_json::{Value, json};
use steve_protocol::frame::{FrameSealer, HEADER_LEN};
use steve_protocol::shaping::Shaping;
use steve_protocol::stream::{MessageSealer, ResetCode, Response};
use steve_protocol::suite::Suite;

const SUITE: Suite = Suite::X25519Aes256Gcm;

const POLICIES: [&str; 8] = [
    "none",
    "padme",
    "block=16",
    "block=21",
    "block=256",
    "block=1000",
    "block=4096",
    "block=16384",
];

const LENGTHS: [u64; 24] = [
    21,
    22,
    23,
    255,
    256,
    257,
    271,
    272,
    273,
    511,
    512,
    513,
    1000,
    1024,
    1025,
    4097,
    16_384,
    65_535,
    65_536,
    65_557,
    65_558,
    1_000_001,
    50_000_000,
    1_099_511_627_777,
];

/// Length of the head; of what is gathered before each tick, the end coming with the last.
const BODIES: [(usize, &[usize]); 14] = [
    (100, &[]),
    (2, &[0]),
    (100, &[1]),
    (100, &[2, 3, 0]),
    (400, &[1000]),
    (400, &[1000, 0]),
    (65_536, &[10]),
    (150, &[65_515]),
    (150, &[65_536]),
    (150, &[65_537]),
    (150, &[131_000, 100]),
    (235, &[3_276_544]),
    (235, &[4_194_000, 65_000]),
    (235, &[4_194_000, 65_000, 5]),
];

pub(crate) fn padding() -> Vec<Value> {
    POLICIES.into_iter().flat_map(vectors).collect()
}

fn vectors(policy: &str) -> Vec<Value> {
    let shaping: Shaping = policy.parse().expect("policies are valid");
    let buckets = LENGTHS.map(|len| shaping.padding.bucket(len));
    let mut vectors = vec![json!({ "policy": policy, "lengths": LENGTHS, "buckets": buckets })];
    // Without padding nothing is gathered, unless it is coalesced: that is not what this is about.
    if shaping.is_none() {
        return vectors;
    }
    for (head, ticks) in BODIES {
        let trailers: &[_] = if ticks.is_empty() { &[] } else { &[60, 40_000] };
        vectors.push(vector(policy, shaping, head, ticks, "fin", None));
        vectors.push(vector(policy, shaping, head, ticks, "reset", None));
        for len in trailers {
            vectors.push(vector(policy, shaping, head, ticks, "trailers", Some(*len)));
        }
    }
    vectors.push(vector(policy, shaping, 0, &[], "reset", None));
    vectors
}

/// A head of no bytes is none.
fn vector(
    policy: &str,
    shaping: Shaping,
    head: usize,
    ticks: &[usize],
    end: &str,
    trailers: Option<usize>,
) -> Value {
    let frames = FrameSealer::dangerous_standalone(SUITE, &traffic(SUITE), 1);
    let mut sealer = MessageSealer::<Response>::dangerous_standalone(frames);
    sealer.set_shaping(shaping);
    let mut out = BytesMut::new();
    let fin = end == "fin";
    if head > 0 {
        let alone = fin && ticks.is_empty();
        sealer.head(&vec![1; head], alone, &mut out).expect("a head may come");
    }
    for (index, len) in ticks.iter().enumerate() {
        let last = index + 1 == ticks.len();
        sealer.data(&vec![1; *len], fin && last, &mut out).expect("a body may come");
        if !last {
            sealer.flush(&mut out).expect("the key is fresh");
        }
    }
    if let Some(len) = trailers {
        sealer.trailers(&vec![1; len], &mut out).expect("trailers may come");
    }
    if end == "reset" {
        sealer.reset(ResetCode::APP_FAILED, &mut out).expect("the key is fresh");
    }
    sealer.settle(&mut out).expect("the key is fresh");
    json!({
        "policy": policy,
        "head": head,
        "ticks": ticks,
        "end": end,
        "trailers": trailers,
        "frames": lengths(&out),
    })
}

fn lengths(mut wire: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some((header, _)) = wire.split_first_chunk() {
        let len = HEADER_LEN + u32::from_be_bytes(*header) as usize;
        lengths.push(len);
        wire = &wire[len..];
    }
    lengths
}
