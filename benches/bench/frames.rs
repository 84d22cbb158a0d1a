//! The frame path of the protocol core alone: time beside the bare AEAD of the same back end,
//! allocations and copies for each frame.

use crate::Result;
use crate::figures::median;
use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use std::hint::black_box;
use std::time::Instant;
use steve_protocol::aead::{AeadKey, NONCE_LEN, TAG_LEN};
use steve_protocol::frame::{
    FrameBuffer, FrameOpener, FrameSealer, FrameType, HEADER_LEN, OVERHEAD,
};
use steve_protocol::schedule::TrafficKey;
use steve_protocol::suite::{AeadAlgorithm, Suite};

pub(crate) const SUITES: [Suite; 2] = [Suite::X25519Aes256Gcm, Suite::X25519ChaCha20Poly1305];
/// Contents whose overhead counts, and contents whose throughput counts.
pub(crate) const SMALL: usize = 64;
pub(crate) const LARGE: usize = 16 * 1024;
/// Bytes of content in a batch, at most so many frames.
const BATCH: usize = 1 << 20;
const MOST_FRAMES: usize = 1024;
const NONCE: [u8; NONCE_LEN] = [3; NONCE_LEN];

/// Time of a frame beside that of the bare AEAD.
pub(crate) struct Times {
    pub(crate) aead: AeadAlgorithm,
    pub(crate) content: usize,
    pub(crate) seal: Beside,
    pub(crate) open: Beside,
}

/// Nanoseconds: medians of the rounds; the ratio is of speeds, a median too.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) bare: f64,
    pub(crate) frame: f64,
    pub(crate) over: f64,
    pub(crate) speed: f64,
}

fn beside(rounds: &[(f64, f64)]) -> Beside {
    let of = |f: fn(&(f64, f64)) -> f64| median(rounds.iter().map(f)).unwrap_or(f64::NAN);
    Beside {
        bare: of(|round| round.0),
        frame: of(|round| round.1),
        over: of(|round| round.1 - round.0),
        speed: of(|round| round.0 / round.1),
    }
}

fn traffic() -> TrafficKey {
    TrafficKey { key: [1; 32], iv: [2; 12] }
}

fn frames_of(content: usize) -> usize {
    (BATCH / content).min(MOST_FRAMES)
}

/// Nanoseconds for each frame of `work`, which does so many.
fn timed(frames: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / frames as f64
}

/// Sealed frames, each in a buffer of its own, split off as from a read buffer.
fn sealed(suite: Suite, content: &[u8], frames: usize) -> Result<Vec<BytesMut>> {
    let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic(), 1);
    let mut all = Vec::with_capacity(frames);
    for _ in 0..frames {
        let mut read = BytesMut::with_capacity(content.len() + OVERHEAD);
        sealer.seal(FrameType::Data, false, content, 0, &mut read)?;
        all.push(read.split());
    }
    Ok(all)
}

/// One suite and length of content, in interleaved rounds.
pub(crate) fn times(suite: Suite, length: usize, rounds: usize) -> Result<Times> {
    let (content, frames) = (vec![7; length], frames_of(length));
    let key = AeadKey::new(suite.aead(), &traffic().key);
    let mut out = vec![0; length + 1 + TAG_LEN];
    key.seal(&NONCE, &[0; HEADER_LEN], &content, &[2], &mut out);
    let (ciphertext, tag) = out.split_last_chunk::<TAG_LEN>().ok_or("no tag")?;
    let (ciphertext, tag) = (ciphertext.to_vec(), *tag);
    let (mut seal, mut open) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let bare = timed(frames, || {
            for _ in 0..frames {
                key.seal(&NONCE, &[0; HEADER_LEN], black_box(&content), &[2], &mut out);
            }
        });
        let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic(), 1);
        let mut buffer = FrameBuffer::with_capacity(length + OVERHEAD);
        let mut failed = false;
        let frame = timed(frames, || {
            for _ in 0..frames {
                buffer.clear();
                let content = black_box(&content);
                failed |= sealer.seal(FrameType::Data, false, content, 0, &mut buffer).is_err();
            }
        });
        seal.push((bare, frame));

        let mut copies = vec![ciphertext.clone(); frames];
        let bare = timed(frames, || {
            for copy in &mut copies {
                failed |= key.open_in_place(&NONCE, &[0; HEADER_LEN], copy, &tag).is_err();
            }
        });
        let wires: Vec<Bytes> =
            sealed(suite, &content, frames)?.into_iter().map(BytesMut::freeze).collect();
        let mut opener = FrameOpener::dangerous_standalone(suite, &traffic(), 1);
        let frame = timed(frames, || {
            for wire in wires {
                opener.push(wire);
                failed |= !matches!(black_box(opener.next_frame()), Ok(Some(_)));
            }
        });
        open.push((bare, frame));
        if failed {
            return Err("a frame was not sealed or not opened".into());
        }
    }
    let (seal, open) = (beside(&seal), beside(&open));
    Ok(Times { aead: suite.aead(), content: length, seal, open })
}

/// How frames come out of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Each alone in a buffer that nobody else holds.
    Alone,
    /// Several in one buffer, as after one read.
    Together,
    /// The same, while the reader still holds the buffer, as hyper does.
    Held,
    /// Each in two pieces.
    InPieces,
}

/// For each frame, in steady state.
#[derive(Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) what: String,
    pub(crate) allocations: f64,
    /// Of contents that are not where they arrived: copied, or decrypted into another buffer. Of
    /// sealed frames: of buffers that were not the one given.
    pub(crate) moved: f64,
}

/// What sealing and opening 16 KiB takes.
pub(crate) fn counts(suite: Suite) -> Result<Vec<Counts>> {
    let mut counts = vec![seal_counts(suite)?];
    for arrival in [Arrival::Alone, Arrival::Together, Arrival::Held, Arrival::InPieces] {
        counts.push(open_counts(suite, arrival)?);
    }
    Ok(counts)
}

/// Reads before the steady state.
const FIRST: usize = 4;
/// Frames that are sealed, or opened; allocations are counted in the steady state.
const COUNTED: usize = 256;

fn seal_counts(suite: Suite) -> Result<Counts> {
    let content = vec![7; LARGE];
    let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic(), 1);
    let mut buffer = FrameBuffer::with_capacity(LARGE + OVERHEAD);
    let given = buffer.as_ref().as_ptr();
    let (mut failed, mut moved) = (false, 0);
    let allocations = measure(|| {
        for _ in 0..COUNTED {
            buffer.clear();
            failed |= sealer.seal(FrameType::Data, false, &content, 0, &mut buffer).is_err();
            moved += usize::from(buffer.as_ref().as_ptr() != given);
        }
    });
    if failed {
        return Err("a frame was not sealed".into());
    }
    Ok(each("seal".to_owned(), COUNTED, allocations.count_total, moved))
}

fn open_counts(suite: Suite, arrival: Arrival) -> Result<Counts> {
    let (mut reads, mut held): (Vec<Vec<Bytes>>, Vec<BytesMut>) = Default::default();
    let wires = sealed(suite, &vec![7; LARGE], COUNTED)?;
    match arrival {
        Arrival::Alone => reads.extend(wires.into_iter().map(|wire| vec![wire.freeze()])),
        Arrival::Together | Arrival::Held => {
            for group in wires.chunks(4) {
                let mut read = BytesMut::from(group.concat().as_slice());
                reads.push(vec![read.split().freeze()]);
                held.extend((arrival == Arrival::Held).then_some(read));
            }
        }
        Arrival::InPieces => {
            for mut wire in wires {
                let rest = wire.split_off(wire.len() / 2);
                reads.push(vec![wire.freeze(), rest.freeze()]);
            }
        }
    }
    let mut opener = FrameOpener::dangerous_standalone(suite, &traffic(), 1);
    let (mut opened, mut moved) = (0, 0);
    let mut open = |read: Vec<Bytes>| {
        let places: [_; 2] =
            std::array::from_fn(|index| read.get(index).map(|chunk| chunk.as_ptr_range()));
        for chunk in read {
            opener.push(chunk);
            while let Ok(Some(frame)) = opener.next_frame() {
                let start = frame.content.as_ptr();
                opened += 1;
                let stayed = places.iter().flatten().any(|place| place.contains(&start));
                // The cipher itself moves what is in memory that others can see.
                moved += usize::from(!stayed && arrival != Arrival::Held);
            }
        }
    };
    // From here on it has the memory that it needs.
    reads.drain(..FIRST).for_each(&mut open);
    let allocations = measure(|| reads.into_iter().for_each(&mut open));
    if opened != COUNTED {
        return Err(format!("{opened} frames of {COUNTED} were opened").into());
    }
    let what = match arrival {
        Arrival::Alone => "open, a buffer for each",
        Arrival::Together => "open, four in a buffer",
        Arrival::Held => "open, four in a buffer that the reader holds",
        Arrival::InPieces => "open, in two pieces",
    };
    Ok(each(what.to_owned(), COUNTED, allocations.count_total, moved))
}

/// Allocations and moves of [`counts`], in its order, as they are now: they must not grow.
///
/// A frame in two pieces is brought together, once: no AEAD here takes its ciphertext in pieces.
const CEILINGS: [(f64, f64); 5] = [(0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 1.0)];

/// Errors if a count is above what it was.
pub(crate) fn check(counts: &[Counts]) -> Result<()> {
    for (Counts { what, allocations, moved }, (most, most_moved)) in counts.iter().zip(CEILINGS) {
        println!("{what}: {allocations:.2} allocations, {moved:.2} copies for each frame");
        if *allocations > most || *moved > most_moved {
            return Err(
                format!("{what}: more than {most} allocations or {most_moved} copies").into()
            );
        }
    }
    Ok(())
}

fn each(what: String, frames: usize, allocations: u64, moved: usize) -> Counts {
    let frames = frames as f64;
    Counts { what, allocations: allocations as f64 / frames, moved: moved as f64 / frames }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_take_no_more_than_they_did() {
        for suite in SUITES {
            check(&counts(suite).unwrap()).unwrap();
        }
    }
}
