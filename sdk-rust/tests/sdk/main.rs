//! The client against an enclave and a proxy in this process, which can misbehave.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod app;
mod channel;
mod cli;
mod cli_image;
mod cli_policy;
mod early;
mod enclave;
mod evidence;
mod expect;
mod gateway;
mod gateway_failures;
mod gateway_limits;
mod gateway_messages;
mod outer;
mod proxy;
mod retries;
mod sessions;
mod signed_policy;
mod streaming;
mod support;
mod tunnel;
mod upgrades;
