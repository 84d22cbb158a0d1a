//! Suites: a KEM and an AEAD (SPEC.md, Section 4).

use core::fmt;

/// Key encapsulation mechanism, by its HPKE identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kem {
    /// DHKEM(X25519, HKDF-SHA256), RFC 9180.
    X25519 = 0x0020,
    /// X-Wing: X25519 and ML-KEM-768 combined.
    XWing = 0x647a,
}

impl Kem {
    /// Length of an encoded public key in bytes (Npk).
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1216,
        }
    }

    /// Length of an encapsulated key in bytes (Nenc).
    pub const fn encapsulated_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1120,
        }
    }
}

/// Authenticated encryption with associated data. Keys are 32, nonces 12 and tags 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AeadAlgorithm {
    /// RFC 8439.
    ChaCha20Poly1305,
    /// NIST SP 800-38D with a 256-bit key.
    Aes256Gcm,
}

/// One of the four suites of version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Suite {
    /// 0x0001.
    X25519ChaCha20Poly1305 = 0x0001,
    /// 0x0002, post-quantum; the default.
    XWingChaCha20Poly1305 = 0x0002,
    /// 0x0003.
    X25519Aes256Gcm = 0x0003,
    /// 0x0004, post-quantum; the default where both CPUs have AES instructions.
    XWingAes256Gcm = 0x0004,
}

impl Suite {
    /// All suites, in ascending order of their identifiers.
    pub const ALL: [Self; 4] = [
        Self::X25519ChaCha20Poly1305,
        Self::XWingChaCha20Poly1305,
        Self::X25519Aes256Gcm,
        Self::XWingAes256Gcm,
    ];

    /// The suites a client accepts unless its caller says otherwise: only post-quantum ones.
    pub const DEFAULT_ALLOWED: [Self; 2] = [Self::XWingAes256Gcm, Self::XWingChaCha20Poly1305];

    /// The suite with this identifier, if there is one.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0001 => Some(Self::X25519ChaCha20Poly1305),
            0x0002 => Some(Self::XWingChaCha20Poly1305),
            0x0003 => Some(Self::X25519Aes256Gcm),
            0x0004 => Some(Self::XWingAes256Gcm),
            _ => None,
        }
    }

    /// The identifier on the wire.
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// The suite's KEM.
    pub const fn kem(self) -> Kem {
        match self {
            Self::X25519ChaCha20Poly1305 | Self::X25519Aes256Gcm => Kem::X25519,
            Self::XWingChaCha20Poly1305 | Self::XWingAes256Gcm => Kem::XWing,
        }
    }

    /// The suite's AEAD.
    pub const fn aead(self) -> AeadAlgorithm {
        match self {
            Self::X25519ChaCha20Poly1305 | Self::XWingChaCha20Poly1305 => {
                AeadAlgorithm::ChaCha20Poly1305
            }
            Self::X25519Aes256Gcm | Self::XWingAes256Gcm => AeadAlgorithm::Aes256Gcm,
        }
    }

    /// Short stable name, for flags, logs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519ChaCha20Poly1305 => "x25519-chacha20poly1305",
            Self::XWingChaCha20Poly1305 => "xwing-chacha20poly1305",
            Self::X25519Aes256Gcm => "x25519-aes256gcm",
            Self::XWingAes256Gcm => "xwing-aes256gcm",
        }
    }

    /// The suite with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Suite;

    #[test]
    fn ids_and_names_round_trip() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_id(suite.id()), Some(suite));
            assert_eq!(Suite::from_name(suite.name()), Some(suite));
        }
        assert_eq!(Suite::from_id(0), None);
        assert_eq!(Suite::from_id(5), None);
    }
}
