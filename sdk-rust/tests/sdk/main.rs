//! The client against an enclave and a proxy in this process, which can misbehave.

mod app;
mod channel;
mod cli;
mod enclave;
mod evidence;
mod outer;
mod proxy;
mod retries;
mod sessions;
mod streaming;
mod support;
