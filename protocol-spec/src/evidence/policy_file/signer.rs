//! A stand-in for an owner with `minisign -S`, for tests.

use super::KeyId;
use crate::evidence::PcrProfile;
use crate::evidence::report::Time;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use blake2::{Blake2b512, Digest};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Map, Value, json};

/// Signs policy files as `minisign` does, with a key in memory.
pub struct PolicySigner {
    id: [u8; 8],
    key: SigningKey,
}

impl PolicySigner {
    /// A signer with this key id and secret.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id, key: SigningKey::from_bytes(&secret) }
    }

    /// The name of the key.
    pub fn id(&self) -> KeyId {
        self.id.into()
    }

    /// The public key as `minisign` prints it.
    pub fn public_key(&self) -> String {
        BASE64_STANDARD.encode([b"Ed", &self.id[..], self.key.verifying_key().as_bytes()].concat())
    }

    /// The signature file of `file`.
    pub fn sign(&self, file: &[u8]) -> String {
        self.sign_message(*b"ED", &Blake2b512::digest(file))
    }

    /// The signature file of `file` in the legacy mode: `minisign -S -l`.
    pub fn sign_legacy(&self, file: &[u8]) -> String {
        self.sign_message(*b"Ed", file)
    }

    fn sign_message(&self, algorithm: [u8; 2], message: &[u8]) -> String {
        let comment = "a comment";
        let signature = self.key.sign(message).to_bytes();
        let global = self.key.sign(&[&signature, comment.as_bytes()].concat()).to_bytes();
        let signature = BASE64_STANDARD.encode([&algorithm, &self.id[..], &signature].concat());
        let global = BASE64_STANDARD.encode(global);
        format!("untrusted comment: untrusted\n{signature}\ntrusted comment: {comment}\n{global}\n")
    }
}

/// A policy file of these profiles, each with its label. `expires_ms` is milliseconds since 1970, in
/// whole seconds.
pub fn policy_file(
    namespace: &str,
    version: u64,
    expires_ms: u64,
    profiles: &[(&str, PcrProfile)],
) -> String {
    let profiles = profiles.iter().map(|(label, profile)| {
        let pcrs: Map<String, Value> = profile
            .values()
            .map(|(index, pcr)| (format!("PCR{index}"), pcr.to_string().into()))
            .collect();
        json!({ "label": label, "pcrs": pcrs })
    });
    let file = json!({
        "steve_policy": 1,
        "namespace": namespace,
        "version": version,
        "expires": Time(expires_ms).to_string(),
        "profiles": profiles.collect::<Vec<_>>(),
    });
    format!("{file:#}\n")
}
