use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use steve_protocol::suite::Suite;

/// How an exchange was protected; in the extensions of every response. Holds no secrets.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(crate) session_id: [u8; 16],
    pub(crate) stream_id: u64,
    pub(crate) suite: Suite,
    pub(crate) trust: Trust,
    pub(crate) module_id: Arc<str>,
    pub(crate) sizes: Arc<Sizes>,
}

/// Why the enclave's measurements were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// They are those of a pinned profile, by its index and, if it has one, its label.
    Pinned(String),
    /// They are those recorded at an earlier contact.
    Recorded,
    /// First contact: nothing vouched for them. They were recorded.
    FirstUse,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(profile) => write!(f, "measurements match the pinned {profile}"),
            Self::Recorded => f.write_str("measurements match those recorded at first use"),
            Self::FirstUse => {
                f.write_str("first use: nothing vouched for the measurements, they were recorded")
            }
        }
    }
}

impl Receipt {
    /// The session, as 32 hexadecimal digits. Not a secret: it is on the wire.
    pub fn session_id(&self) -> String {
        self.session_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The stream within the session.
    pub fn stream_id(&self) -> u64 {
        self.stream_id
    }

    /// The suite the session uses.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Why the enclave was trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The enclave's module id, from its attestation document.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Bytes of the request body encrypted so far.
    pub fn request_bytes(&self) -> u64 {
        self.sizes.request.load(Relaxed)
    }

    /// Bytes of the response body decrypted so far.
    pub fn response_bytes(&self) -> u64 {
        self.sizes.response.load(Relaxed)
    }
}

/// Plaintext body bytes of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    request: AtomicU64,
    response: AtomicU64,
}

impl Sizes {
    pub(crate) fn add_request(&self, bytes: usize) {
        self.request.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn add_response(&self, bytes: usize) {
        self.response.fetch_add(bytes as u64, Relaxed);
    }
}
