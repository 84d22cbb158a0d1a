//! The core of STEVE for browsers and Node: `steve-protocol` behind JavaScript classes.
//!
//! As there, nothing here does IO or reads a clock: JavaScript fetches, and passes bytes and times
//! (milliseconds since 1970). Keys stay in WebAssembly memory and are erased by `free()`. What
//! fails throws a [`Fault`].

mod appraisal;
mod fault;
mod handshake;
mod policy;
mod stream;
#[cfg(feature = "test-vectors")]
mod vectors;

pub use appraisal::{Appraisal, Appraiser, Enclave, challenge};
pub use fault::Fault;
pub use handshake::{EarlyHandshake, Handshake, Session};
pub use policy::Policy;
pub use stream::{EventKind, Stream, close_status};
#[cfg(feature = "test-vectors")]
pub use vectors::{decode_head, open_frames, seal_frame};

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The generator of the browser or of Node. Without one there is nothing to be done but to stop.
fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Times come as JavaScript numbers.
fn milliseconds(time: f64) -> u64 {
    time as u64
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
