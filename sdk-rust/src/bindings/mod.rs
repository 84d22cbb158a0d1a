//! What programs in Python, Swift and Kotlin see of this crate, through
//! [UniFFI](https://mozilla.github.io/uniffi-rs/): `sdk-python/` and `scripts/bindings.sh` generate
//! their sides. Rust programs use the rest of the crate.
//!
//! Asynchronous calls are driven by the caller's runtime; what they need of Tokio runs on a thread
//! of its own. To cancel a call is to drop it.
//!
//! The C interface that UniFFI's macros generate has `unsafe` code. What is written here has none: the
//! lint that forbids it holds, for it does not look into macros of other crates.

mod body;
mod client;
mod error;
mod policy;
mod report;
mod request;
mod response;

pub use body::{BodySource, BodySourceError};
pub use client::{Client, ClientOptions};
pub use error::{Stage, SteveError};
pub use policy::{Policy, PolicyLoader};
pub use report::{Check, Enclave, Outcome, Pcr, PcrDifference, Receipt, Report};
pub use request::{Header, IdempotencyKey, RequestBody, RequestOptions};
pub use response::Response;
