//! Sans-IO core of STEVE (Secure Transport Encryption Via Enclave).
//!
//! `SPEC.md` beside this crate is the normative description of the protocol; section numbers in
//! these docs refer to it. Nothing here does IO, spawns, reads a clock, the environment or a
//! random source: bytes, time and randomness come in as arguments. The proxy and the SDKs are thin
//! shells around this crate.

pub mod aead;
pub mod codec;
pub mod evidence;
pub mod frame;
pub mod handshake;
pub mod head;
pub mod kem;
pub mod key_config;
pub mod schedule;
pub mod session;
pub mod shaping;
pub mod stream;
pub mod suite;
pub mod tunnel;
mod usage;
mod window;

pub use usage::MAX_BYTES as MAX_SESSION_BYTES;
