//! What a file says, and where it says it.

use std::collections::BTreeMap;
use std::fmt;

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Run,
    E2e,
    Ports,
    HttpPort,
    Domain,
    AppSources,
    EnclaveSources,
    Metadata,
    Memory,
    Cpus,
    Debug,
    Mode,
    Suites,
    CorsOrigins,
    AllowPlaintextFallback,
}

/// Keys of both forms.
pub(super) const COMMON: [Key; 11] = [
    Key::Run,
    Key::E2e,
    Key::Ports,
    Key::HttpPort,
    Key::Domain,
    Key::AppSources,
    Key::EnclaveSources,
    Key::Metadata,
    Key::Memory,
    Key::Cpus,
    Key::Debug,
];

/// Keys of the block `e2e_encryption`, in HCL alone.
pub(super) const E2E_ENCRYPTION: [Key; 4] =
    [Key::Mode, Key::Suites, Key::CorsOrigins, Key::AllowPlaintextFallback];

impl Key {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::E2e => "e2e",
            Self::Ports => "ports",
            Self::HttpPort => "http_port",
            Self::Domain => "domain",
            Self::AppSources => "app_sources",
            Self::EnclaveSources => "enclave_sources",
            Self::Metadata => "metadata",
            Self::Memory => "memory",
            Self::Cpus => "cpus",
            Self::Debug => "debug",
            Self::Mode => "mode",
            Self::Suites => "key_exchange",
            Self::CorsOrigins => "cors_origins",
            Self::AllowPlaintextFallback => "allow_plaintext_fallback",
        }
    }

    pub(super) fn is_list(self) -> bool {
        matches!(
            self,
            Self::Ports
                | Self::AppSources
                | Self::EnclaveSources
                | Self::Suites
                | Self::CorsOrigins
        )
    }
}

/// Something with the line that it is on; the first one is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// A value as text: numbers and truth values are texts, too, until they are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    One(String),
    Many(Vec<At<String>>),
    /// Nothing that a value can be, which is a mistake already.
    Wrong,
}

/// What is wrong, for people. Ordered by line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    pub(super) line: usize,
    pub(super) message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// What a file says, each key at most once, and what was wrong with it so far.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) entries: BTreeMap<Key, At<Value>>,
    /// The line of the block `e2e_encryption`.
    pub(super) e2e_encryption: Option<usize>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Given {
    pub(super) fn wrong(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake { line, message: message.into() });
    }

    /// Adds an entry whose key may be any of `keys`.
    pub(super) fn add(&mut self, keys: &[Key], line: usize, name: &str, value: Value) {
        let Some(key) = keys.iter().copied().find(|key| key.name() == name) else {
            return self.wrong(line, format!("unknown key `{name}`"));
        };
        if let Some(first) = self.entries.get(&key) {
            let first = first.line;
            return self.wrong(line, format!("{name} is given twice: first on line {first}"));
        }
        self.entries.insert(key, At { line, value });
    }
}
