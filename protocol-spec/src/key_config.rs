//! Key configuration: what evidence binds to the enclave (SPEC.md, Section 5).

use crate::codec::{DecodeError, Reader, put_vec16};
use crate::suite::Suite;
use sha2::{Digest, Sha256};

/// The protocol version, on the wire in every plain structure.
pub const VERSION: u16 = 3;

/// Largest encoding of a key configuration in bytes.
pub const MAX_KEY_CONFIG_LEN: usize = 8192;

/// Names one KEM key of a proxy; opaque to clients.
pub type KeyId = [u8; 8];

/// Names one proxy process: equal values in two verified key configurations say that neither the
/// enclave nor its proxy was restarted in between.
pub type Instance = [u8; 16];

/// A public key of the enclave, for one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Chosen by the proxy; sent back in the ClientHello.
    pub key_id: KeyId,
    /// What the key is for.
    pub suite: Suite,
    /// Exactly [`Kem::public_key_len`](crate::suite::Kem::public_key_len) bytes.
    pub public_key: Vec<u8>,
}

/// Fields of a key configuration, before it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfigFields {
    /// 1 at start, one more with every rotation.
    pub epoch: u64,
    /// When the keys are erased: milliseconds since 1970 on the NSM's clock.
    pub not_after: u64,
    /// Random, and the same for all configurations of one proxy process.
    pub instance: Instance,
    /// SHA-256 of the application manifest.
    pub manifest_hash: [u8; 32],
    /// SHA-256 of the proxy's effective configuration.
    pub configuration_hash: [u8; 32],
    /// In strictly ascending order of suite.
    pub keys: Vec<KeyEntry>,
}

/// A well-formed key configuration with its one canonical encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    fields: KeyConfigFields,
    encoded: Vec<u8>,
}

impl KeyConfig {
    /// Encodes `fields`. Errors when they break a rule of SPEC.md, Section 5.
    pub fn new(fields: KeyConfigFields) -> Result<Self, DecodeError> {
        let mut keys = Vec::new();
        for entry in &fields.keys {
            keys.extend_from_slice(&entry.key_id);
            keys.extend_from_slice(&entry.suite.id().to_be_bytes());
            put_vec16(&mut keys, &entry.public_key)?;
        }
        let mut encoded = Vec::with_capacity(100 + keys.len());
        encoded.extend_from_slice(&VERSION.to_be_bytes());
        encoded.extend_from_slice(&fields.epoch.to_be_bytes());
        encoded.extend_from_slice(&fields.not_after.to_be_bytes());
        encoded.extend_from_slice(&fields.instance);
        encoded.extend_from_slice(&fields.manifest_hash);
        encoded.extend_from_slice(&fields.configuration_hash);
        put_vec16(&mut encoded, &keys)?;
        Self::decode(&encoded)
    }

    /// Decodes and checks every rule of SPEC.md, Section 5.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        if encoded.len() > MAX_KEY_CONFIG_LEN {
            return Err(DecodeError);
        }
        let mut reader = Reader::new(encoded);
        if reader.u16()? != VERSION {
            return Err(DecodeError);
        }
        let epoch = reader.u64()?;
        let not_after = reader.u64()?;
        let instance = reader.array()?;
        let manifest_hash = reader.array()?;
        let configuration_hash = reader.array()?;
        let mut entries = Reader::new(reader.vec16(MAX_KEY_CONFIG_LEN)?);
        reader.finish()?;
        let mut keys: Vec<KeyEntry> = Vec::with_capacity(Suite::ALL.len());
        while !entries.is_empty() {
            let key_id = entries.array()?;
            let suite = Suite::from_id(entries.u16()?).ok_or(DecodeError)?;
            let public_key = entries.vec16(suite.kem().public_key_len())?.to_vec();
            let ascending = keys.last().is_none_or(|last| last.suite < suite);
            let ambiguous =
                keys.iter().any(|key| key.key_id == key_id && key.public_key != public_key);
            if public_key.len() != suite.kem().public_key_len() || !ascending || ambiguous {
                return Err(DecodeError);
            }
            keys.push(KeyEntry { key_id, suite, public_key });
        }
        if keys.is_empty() || epoch == 0 {
            return Err(DecodeError);
        }
        let fields =
            KeyConfigFields { epoch, not_after, instance, manifest_hash, configuration_hash, keys };
        Ok(Self { fields, encoded: encoded.to_vec() })
    }

    /// The canonical encoding.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// SHA-256 of the encoding: what evidence and handshake bind.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.encoded).into()
    }

    /// The decoded fields.
    pub fn fields(&self) -> &KeyConfigFields {
        &self.fields
    }

    /// The entry for `suite`, if the proxy offers it.
    pub fn key(&self, suite: Suite) -> Option<&KeyEntry> {
        self.fields.keys.iter().find(|entry| entry.suite == suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> KeyConfigFields {
        let entry = |suite: Suite| KeyEntry {
            key_id: [suite.id() as u8; 8],
            suite,
            public_key: vec![7; suite.kem().public_key_len()],
        };
        KeyConfigFields {
            epoch: 1,
            not_after: 1_700_000_000_000,
            instance: [3; 16],
            manifest_hash: [1; 32],
            configuration_hash: [2; 32],
            keys: Suite::ALL.map(entry).to_vec(),
        }
    }

    #[test]
    fn round_trip() {
        let config = KeyConfig::new(fields()).unwrap();
        assert_eq!(KeyConfig::decode(config.encoded()).unwrap(), config);
        assert_eq!(config.fields(), &fields());
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        let mutations: [fn(&mut KeyConfigFields); 7] = [
            |f| f.keys[1].key_id = f.keys[0].key_id,
            |f| f.keys.clear(),
            |f| f.keys.reverse(),
            |f| f.keys[1] = f.keys[0].clone(),
            |f| f.keys[0].public_key.push(0),
            |f| f.keys[0].public_key.truncate(31),
            |f| f.epoch = 0,
        ];
        for (index, mutate) in mutations.iter().enumerate() {
            let mut fields = fields();
            mutate(&mut fields);
            assert_eq!(KeyConfig::new(fields), Err(DecodeError), "mutation {index}");
        }
    }

    #[test]
    fn refuses_any_truncation_and_trailing_bytes() {
        let mut encoded = KeyConfig::new(fields()).unwrap().encoded().to_vec();
        for len in 0..encoded.len() {
            assert_eq!(KeyConfig::decode(&encoded[..len]), Err(DecodeError), "{len}");
        }
        encoded.push(0);
        assert_eq!(KeyConfig::decode(&encoded), Err(DecodeError));
    }
}
