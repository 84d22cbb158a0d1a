//! Evidence and its appraisal, against real documents and against forged ones.
//!
//! Names of tests begin with the row of the list of attacks that a test belongs to.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panic, as tests do")]

#[cfg(feature = "dangerous-dev-attester")]
mod appraisal;
#[cfg(feature = "dangerous-dev-attester")]
mod arbitrary;
#[cfg(feature = "dangerous-dev-attester")]
mod authority;
#[cfg(feature = "dangerous-dev-attester")]
mod certificates;
#[cfg(feature = "dangerous-dev-attester")]
mod document;
#[cfg(feature = "dangerous-dev-attester")]
mod forge;
mod nitro;
#[cfg(feature = "dangerous-dev-attester")]
mod pending;
#[cfg(all(feature = "dangerous-dev-attester", feature = "signed-policy"))]
mod policy_file;
#[cfg(feature = "dangerous-dev-attester")]
mod report;
#[cfg(feature = "dangerous-dev-attester")]
mod scene;
#[cfg(all(feature = "dangerous-dev-attester", feature = "signed-policy"))]
mod signed_policy;
#[cfg(feature = "dangerous-dev-attester")]
mod trust;
