//! A host that does its worst, between the real client of `steve-sdk` and real proxies.
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
mod sim;
mod steps;
mod tunnel;
mod world;
