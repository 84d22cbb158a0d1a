//! The Evidence structure (SPEC.md, Section 6.3).

use super::document::MAX_DOCUMENT_LEN;
use super::merkle::{HASH_LEN, MAX_PATH_LEN};
use crate::codec::{DecodeError, Reader, put_vec16};
use crate::key_config::{MAX_KEY_CONFIG_LEN, VERSION};

/// Largest Evidence a client reads, in bytes (SPEC.md, Section 14).
pub const MAX_EVIDENCE_LEN: usize = 196_608;

/// What a proxy answers to an evidence request. Nothing in it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// Encoded key configuration: 1 to 8192 bytes.
    pub key_config: &'a [u8],
    /// Attestation document as the NSM returned it: 1 to 16384 bytes.
    pub document: &'a [u8],
    /// Place of the challenge in the tree; 0 when unchallenged.
    pub leaf_index: u32,
    /// Number of challenges in the tree; 0 when unchallenged.
    pub tree_size: u32,
    /// Inclusion path: up to 16 hashes of 32 bytes; empty when unchallenged.
    pub path: &'a [u8],
    /// Effective proxy configuration, JSON: up to 65535 bytes.
    pub configuration: &'a [u8],
    /// Application manifest: up to 65535 bytes.
    pub manifest: &'a [u8],
}

impl<'a> Evidence<'a> {
    /// Decodes the structure and checks its limits, not its meaning.
    pub fn decode(encoded: &'a [u8]) -> Result<Self, DecodeError> {
        if encoded.len() > MAX_EVIDENCE_LEN {
            return Err(DecodeError);
        }
        let mut reader = Reader::new(encoded);
        if reader.u16()? != VERSION {
            return Err(DecodeError);
        }
        let evidence = Self {
            key_config: reader.vec16(MAX_KEY_CONFIG_LEN)?,
            document: reader.vec16(MAX_DOCUMENT_LEN)?,
            leaf_index: reader.u32()?,
            tree_size: reader.u32()?,
            path: reader.vec16(MAX_PATH_LEN * HASH_LEN)?,
            configuration: reader.vec16(usize::from(u16::MAX))?,
            manifest: reader.vec16(usize::from(u16::MAX))?,
        };
        reader.finish()?;
        evidence.within_limits().then_some(evidence).ok_or(DecodeError)
    }

    /// Encodes the structure. Errors when a field is over its limit.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        if !self.within_limits() {
            return Err(DecodeError);
        }
        let parts = [self.key_config, self.document, self.path, self.configuration, self.manifest];
        let len = 20 + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut encoded = Vec::with_capacity(len);
        encoded.extend_from_slice(&VERSION.to_be_bytes());
        put_vec16(&mut encoded, self.key_config)?;
        put_vec16(&mut encoded, self.document)?;
        encoded.extend_from_slice(&self.leaf_index.to_be_bytes());
        encoded.extend_from_slice(&self.tree_size.to_be_bytes());
        put_vec16(&mut encoded, self.path)?;
        put_vec16(&mut encoded, self.configuration)?;
        put_vec16(&mut encoded, self.manifest)?;
        Ok(encoded)
    }

    fn within_limits(&self) -> bool {
        (1..=MAX_KEY_CONFIG_LEN).contains(&self.key_config.len())
            && (1..=MAX_DOCUMENT_LEN).contains(&self.document.len())
            && self.path.len() <= MAX_PATH_LEN * HASH_LEN
            && self.path.len().is_multiple_of(HASH_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence<'static> {
        Evidence {
            key_config: &[1; 40],
            document: &[2; 50],
            leaf_index: 3,
            tree_size: 4,
            path: &[5; 64],
            configuration: b"{}",
            manifest: b"",
        }
    }

    #[test]
    fn round_trip() {
        let encoded = evidence().encode().unwrap();
        assert_eq!(encoded.len(), encoded.capacity());
        assert_eq!(Evidence::decode(&encoded), Ok(evidence()));
    }

    #[test]
    fn refuses_any_truncation_trailing_bytes_and_other_versions() {
        let mut encoded = evidence().encode().unwrap();
        for len in 0..encoded.len() {
            assert_eq!(Evidence::decode(&encoded[..len]), Err(DecodeError), "{len}");
        }
        encoded.push(0);
        assert_eq!(Evidence::decode(&encoded), Err(DecodeError));
        encoded.pop();
        encoded[1] = 2;
        assert_eq!(Evidence::decode(&encoded), Err(DecodeError));
    }

    #[test]
    fn row_18_limits_hold_both_ways() {
        let over: [Evidence<'_>; 6] = [
            Evidence { key_config: &[], ..evidence() },
            Evidence { key_config: &[0; 8193], ..evidence() },
            Evidence { document: &[], ..evidence() },
            Evidence { document: &[0; 16385], ..evidence() },
            Evidence { path: &[0; 17 * 32], ..evidence() },
            Evidence { path: &[0; 33], ..evidence() },
        ];
        for (index, evidence) in over.iter().enumerate() {
            assert_eq!(evidence.encode(), Err(DecodeError), "{index}");
        }
        assert_eq!(Evidence { manifest: &[0; 65536], ..evidence() }.encode(), Err(DecodeError));
        let largest = Evidence {
            key_config: &[0; 8192],
            document: &[0; 16384],
            path: &[0; 512],
            configuration: &[0; 65535],
            manifest: &[0; 65535],
            ..evidence()
        };
        let encoded = largest.encode().unwrap();
        assert!(encoded.len() <= MAX_EVIDENCE_LEN);
        assert_eq!(Evidence::decode(&encoded), Ok(largest));
        assert_eq!(Evidence::decode(&[0; MAX_EVIDENCE_LEN + 1]), Err(DecodeError));
    }
}
