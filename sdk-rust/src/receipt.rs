use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use steve_protocol::evidence::{PcrTrust, VerifiedEnclave};
use steve_protocol::suite::Suite;

/// How an exchange was protected; in the extensions of every response. Holds no secrets.
#[derive(Clone)]
pub struct Receipt {
    pub(crate) enclave: VerifiedEnclave,
    pub(crate) suite: Suite,
    pub(crate) session_id: [u8; 16],
    pub(crate) stream_id: u64,
    pub(crate) sizes: Arc<Sizes>,
}

impl Receipt {
    /// The enclave that answered, with the report of its appraisal.
    pub fn enclave(&self) -> &VerifiedEnclave {
        &self.enclave
    }

    /// The NSM's name for the enclave: instance id and enclave id.
    pub fn module_id(&self) -> &str {
        self.enclave.module_id()
    }

    /// Why the enclave's measurements were accepted.
    pub fn trust(&self) -> Option<&PcrTrust> {
        self.enclave.trust()
    }

    /// The suite of the session.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The session, as 32 hexadecimal digits. Not a secret: it is on the wire.
    pub fn session_id(&self) -> String {
        self.session_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The stream within the session; 0 for a request that went along with the handshake.
    pub fn stream_id(&self) -> u64 {
        self.stream_id
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

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("module_id", &self.module_id())
            .field("trust", &self.trust())
            .field("suite", &self.suite.name())
            .field("session_id", &self.session_id())
            .field("stream_id", &self.stream_id)
            .field("request_bytes", &self.request_bytes())
            .field("response_bytes", &self.response_bytes())
            .finish()
    }
}

/// Plaintext body bytes of one exchange.
#[derive(Default)]
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
