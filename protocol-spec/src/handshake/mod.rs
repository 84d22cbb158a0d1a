//! The handshake: one message each way (SPEC.md, Section 8).

mod client;
mod early;
mod memory;
mod messages;
mod server;

pub use client::{ClientHandshake, EarlyHandshake, EarlyOutcome, HandshakeError};
pub use early::{EarlyProgress, EarlyReply, EarlyRequest, PendingEarly};
pub(crate) use messages::KIND_STREAM_OPEN;
pub use messages::{ClientHello, MAX_SERVER_HELLO_LEN, SessionParameters};
pub use server::{EnclaveKeys, ServerHandshake, Unrecognized};

#[cfg(test)]
mod early_tests;
#[cfg(test)]
mod tests;
