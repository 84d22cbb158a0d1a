//! A host that does its worst, between the real client of `steve-sdk` and real proxies.
//!
//! Client, host, proxies and app run in one thread and in simulated time. Whatever the host does:
//!
//! - the app gets a request that is not safe at most once, unless the caller allows more;
//! - the client accepts no byte that the app did not send in that place, and takes no response for
//!   complete that is not; the app neither;
//! - every call of the client returns within its time limits, and all is well again when the host
//!   stops;
//! - the host never sees plaintext.
//!
//! `bytes` and `steps` go through short exchanges and conversations exhaustively, `random` plays
//! schedules that a seed decides, and `harness` shows that violations would be noticed. The outer
//! connections are HTTP/1.1 without TLS, which is the host's to end anyway.
//!
//! A seed decides what the client does, with which pauses, and what is done to the nth exchange of each
//! kind. It does not decide keys, and hence the bytes on the wire; which of several concurrent requests
//! is the nth; and how long the attester takes.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod app;
mod bench;
mod bytes;
mod caller;
#[path = "../common/mod.rs"]
mod common;
mod fault;
mod harness;
mod host;
mod random;
mod replay;
mod sim;
mod steps;
mod tunnel;
mod world;
