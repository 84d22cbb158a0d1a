//! Client for HTTP apps that run in an AWS Nitro Enclave behind STEVE (Secure Transport Encryption
//! Via Enclave).
//!
//! Before anything is sent, the client verifies from a fresh attestation document which image runs
//! in the enclave; then it agrees on keys that only this enclave can have, and encrypts every
//! request to it: method, path, fields and body. Whoever terminates the outer TLS sees ciphertext.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use steve_sdk::{Client, Policy, Receipt, read_profiles};
//!
//! // What the reproducible build of the image printed.
//! let policy = Policy::pinned(read_profiles("pcrs.json")?)?;
//! let client = Client::builder("https://app.example.com").policy(policy).build()?;
//!
//! // Optional: every check that was made, and what is not proven.
//! println!("{}", client.verify().await?.report());
//!
//! let response = client.post("/v1/chat").body(r#"{"q":"hello"}"#).send().await?;
//! println!("{} by {:?}", response.status(), response.extensions().get::<Receipt>());
//!
//! // Decrypted as it arrives; an error if it is cut off.
//! let mut body = response.into_body();
//! while let Some(chunk) = body.chunk().await? {
//!     println!("{} bytes", chunk.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] also is a [`tower_service::Service`] for `http::Request` with any body, and
//! [`Body`] an [`http_body::Body`], so both fit where those of other clients do.
//!
//! The protocol itself lives in the crate `steve-protocol` and its `SPEC.md`.

#[cfg(feature = "uniffi")]
uniffi::setup_scaffolding!("steve");

#[cfg(feature = "uniffi")]
pub mod bindings;
mod body;
mod builder;
mod client;
mod clock;
mod early;
mod error;
mod exchange;
mod fields;
mod idempotency;
mod informational;
mod origin;
mod pin_store;
mod policy_store;
mod profiles;
mod receipt;
mod record_file;
mod request;
mod request_body;
mod retry;
mod session;
mod sessions;
mod suites;
mod transport;
mod trusted;
mod upgrade;

pub use body::Body;
pub use builder::ClientBuilder;
pub use client::Client;
pub use early::Early;
pub use error::{
    BuildError, ChannelError, Error, InvalidRequest, SharedError, Stage, UnknownOutcome,
};
pub use idempotency::IdempotencyKey;
pub use informational::OnInformational;
pub use origin::{Origin, OriginError};
pub use pin_store::FilePinStore;
pub use policy_store::{FilePolicyStore, PolicyLoadError, PolicyLoader};
pub use profiles::{ProfilesError, ProfilesProblem, parse_profiles, read_profiles};
pub use receipt::Receipt;
pub use request::RequestBuilder;
pub use request_body::RequestBody;
pub use retry::Idempotent;
pub use steve_protocol::evidence::{
    AppraisalError, Check, CheckReport, KeyId, LabelledProfile, NotProven, Outcome, Pcr,
    PcrDifference, PcrProfile, PcrTrust, Pcrs, Pin, PinStore, PinStoreError, Policy, PolicyError,
    PolicyFileError, PolicyMismatch, PolicyOwner, PolicyOwnerError, Refusal, Report, SeenPolicy,
    SignatureFormatError, SignedPolicy, SignerKey, SignerKeyError, VerifiedEnclave,
};
pub use steve_protocol::handshake::HandshakeError;
pub use steve_protocol::shaping::{BlockLen, Interval, Padding, Shaping, ShapingError};
pub use steve_protocol::stream::{ResetCode, StreamError};
pub use steve_protocol::suite::Suite;
pub use suites::default_suites;
pub use tokio_tungstenite;
pub use upgrade::{UpgradeError, Upgraded, WebSocketBuilder, WebSocketError};
