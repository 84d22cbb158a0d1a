//! Keys and signatures of minisign, whose format is documented with the tool.
//!
//! Only what `minisign` writes by default today is accepted: algorithm `ED`, an Ed25519 signature of
//! the BLAKE2b-512 hash of the file. The algorithm is not itself signed, so with `Ed`, a signature of
//! the file as it is, one signature could stand for two files.

use super::{KeyId, MAX_POLICY_SIGNATURE_LEN, PolicyFileError, SignatureFormatError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use blake2::{Blake2b512, Digest};
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::{Signature, VerifyingKey};

const ALGORITHM: [u8; 2] = *b"ED";
/// In keys, and in signatures of the legacy mode.
const KEY_ALGORITHM: [u8; 2] = *b"Ed";

/// Room for the longest line of base64: algorithm, key id and signature are 74 bytes.
const LINE_LEN: usize = 96;

/// A public key as `minisign` prints it: "RW" and 54 more characters of base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SignerKey {
    id: KeyId,
    key: VerifyingKey,
}

/// Not a public key of minisign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signer's key is the line of 56 characters, beginning with \"RW\", in minisign's .pub file"
)]
pub struct SignerKeyError;

impl SignerKey {
    /// The name of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl FromStr for SignerKey {
    type Err = SignerKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, id, key) = named::<32>(text).ok_or(SignerKeyError)?;
        if algorithm != KEY_ALGORITHM {
            return Err(SignerKeyError);
        }
        let key = VerifyingKey::from_bytes(&key).map_err(|_| SignerKeyError)?;
        // Under a key of small order one signature holds for many messages.
        if key.is_weak() { Err(SignerKeyError) } else { Ok(Self { id, key }) }
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.id)
    }
}

/// What a signature file holds.
pub(super) struct SignatureFile<'a> {
    pub(super) signer: KeyId,
    signature: [u8; 64],
    pub(super) trusted_comment: &'a str,
    global_signature: [u8; 64],
}

impl<'a> SignatureFile<'a> {
    pub(super) fn decode(file: &'a [u8]) -> Result<Self, SignatureFormatError> {
        use SignatureFormatError as Error;
        if file.len() > MAX_POLICY_SIGNATURE_LEN {
            return Err(Error::TooLong);
        }
        let text = core::str::from_utf8(file).map_err(|_| Error::Lines)?;
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut line = || lines.next().ok_or(Error::Lines);
        let (comment, signature, trusted, global) = (line()?, line()?, line()?, line()?);
        if lines.next().is_some() || !comment.starts_with("untrusted comment: ") {
            return Err(Error::Lines);
        }
        let trusted_comment = trusted.strip_prefix("trusted comment: ").ok_or(Error::Lines)?;

        let (algorithm, signer, signature) = named(signature).ok_or(Error::Base64 { line: 2 })?;
        let global_signature = decode(global)
            .and_then(|(bytes, len)| bytes[..len].try_into().ok())
            .ok_or(Error::Base64 { line: 4 })?;
        match algorithm {
            ALGORITHM => Ok(Self { signer, signature, trusted_comment, global_signature }),
            KEY_ALGORITHM => Err(Error::Legacy),
            _ => Err(Error::Algorithm),
        }
    }

    /// Checks both signatures: of the file, and of the first one with the trusted comment.
    pub(super) fn verify(&self, key: &SignerKey, file: &[u8]) -> Result<(), PolicyFileError> {
        let signer = self.signer;
        let verify = |message: &[u8], signature| {
            key.key.verify_strict(message, &Signature::from_bytes(signature))
        };
        verify(&Blake2b512::digest(file), &self.signature)
            .map_err(|_| PolicyFileError::Signature { signer })?;
        let signed = [&self.signature, self.trusted_comment.as_bytes()].concat();
        verify(&signed, &self.global_signature)
            .map_err(|_| PolicyFileError::TrustedComment { signer })
    }
}

/// A line of base64: algorithm, key id, and `N` bytes.
fn named<const N: usize>(line: &str) -> Option<([u8; 2], KeyId, [u8; N])> {
    let (bytes, len) = decode(line)?;
    let (algorithm, rest) = bytes[..len].split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    Some((*algorithm, KeyId(*id), rest.try_into().ok()?))
}

/// Bytes of base64 with padding, in the one way to write them, and how many there are.
fn decode(line: &str) -> Option<([u8; LINE_LEN], usize)> {
    let mut bytes = [0; LINE_LEN];
    let len = BASE64_STANDARD.decode_slice(line, &mut bytes).ok()?;
    Some((bytes, len))
}
