//! The handshake: one message each way (SPEC.md, Section 8).

mod client;
mod messages;
mod server;

pub use client::{ClientHandshake, HandshakeError};
pub(crate) use messages::KIND_STREAM_OPEN;
pub use messages::{ClientHello, MAX_SERVER_HELLO_LEN, SessionParameters};
pub use server::{EnclaveKeys, ServerHandshake, Unrecognized};

#[cfg(test)]
mod tests;
