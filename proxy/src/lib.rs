//! The proxy of STEVE: the end of the encrypted channel inside the enclave.
//!
//! It attests its keys, answers handshakes, opens the frames of clients and passes plain HTTP on to
//! the app. The rules of the protocol are those of `steve-protocol`; this crate gives them sockets,
//! a clock and random numbers.
//!
//! [`start`] runs a proxy inside the calling process: `serve`, the tests and the demo all use it.
//! [`relay`] is the other end of the vsock, on the host, and needs nothing of the rest.

pub mod attester;
mod body;
mod clock;
pub mod config;
#[cfg(feature = "e2p-v2")]
mod e2p_v2;
mod entropy;
pub mod error;
mod evidence;
mod idempotent;
mod keys;
pub mod limits;
mod metrics;
mod padding;
pub mod relay;
mod routes;
mod server;
mod sessions;
mod stream;
mod upstream;

pub use config::Config;
pub use error::{ConfigError, StartError};
pub use limits::Limits;
pub use server::{Listener, Running, start};
