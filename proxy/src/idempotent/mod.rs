//! Requests with an idempotency key: executed once while this process lives (SPEC.md, Section 13.5).
//!
//! A request is read to its authenticated end before its key is looked up, so that no part of it ever
//! reaches the app. Looking up and entering are one step, and what follows runs in a task of its own:
//! neither the client nor the host can end an execution, or begin a second one.

mod execution;
mod memory;
mod recording;
mod request;

pub(crate) use execution::{Dispatch, exchange};
pub(crate) use memory::Memory;
pub(crate) use recording::RecordedBody;
pub(crate) use request::WholeBody;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use steve_protocol::head::RequestHead;

/// The field that carries a key, in base64url without padding.
const FIELD: &str = "steve-idempotency-key";
const FIELD_LEN: usize = 43;

/// SHA-256 of a key. Lookups need not take constant time: what their time could tell is about the
/// hash, and 32 random bytes do not follow from that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash([u8; 32]);

/// SHA-256 of what the app gets of a request.
type RequestHash = [u8; 32];

/// Why a request with a key is neither executed nor answered with what was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// Another request had the key.
    Mismatch,
    /// The key is new, and no more can be remembered.
    Full,
    /// The body is longer than it may be.
    TooLarge,
    /// The request was executed; its response is not there any more.
    ResponseGone,
}

/// A `steve-idempotency-key` that is not one value of 32 bytes.
pub(crate) struct MalformedKey;

impl KeyHash {
    /// That of the request's key, if it has one.
    pub(crate) fn of(head: &RequestHead) -> Result<Option<Self>, MalformedKey> {
        let mut values = head.fields().all(FIELD);
        let Some(value) = values.next() else { return Ok(None) };
        if value.len() != FIELD_LEN || values.next().is_some() {
            return Err(MalformedKey);
        }
        let key = URL_SAFE_NO_PAD.decode(value).map_err(|_| MalformedKey)?;
        Ok(Some(Self(Sha256::digest(key).into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steve_protocol::head::encode_request;

    fn key_of(values: &[&str]) -> Result<Option<KeyHash>, MalformedKey> {
        let fields = values.iter().map(|value| (FIELD, value.as_bytes()));
        let head = encode_request("POST", "https", "app.example", "/", fields).unwrap();
        KeyHash::of(&RequestHead::decode(head).unwrap())
    }

    #[test]
    fn a_key_is_one_value_of_43_characters() {
        let key = "A".repeat(43);
        assert!(key_of(&[]).is_ok_and(|key| key.is_none()));
        assert!(key_of(&[&key]).is_ok_and(|key| key.is_some()));
        assert!(key_of(&[&key, &key]).is_err());
        let long = "A".repeat(10_000);
        // The last one has bits set beyond the 32 bytes.
        for value in ["", "A", &key[1..], &format!("{key}="), &format!("{}+", &key[1..]), &long] {
            assert!(key_of(&[value]).is_err(), "{value}");
        }
        assert!(key_of(&[&format!("{}B", &key[1..])]).is_err());
    }
}
