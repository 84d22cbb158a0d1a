//! Who signs attestation documents.

#[cfg(feature = "dangerous-dev-attester")]
mod dev;
mod nsm;

#[cfg(feature = "dangerous-dev-attester")]
pub use dev::DevAttester;
pub use nsm::{NSM_DEVICE, Nsm};

/// Makes attestation documents. Calls block; the proxy makes them on one thread of their own, one
/// after the other.
pub trait Attester: Send {
    /// A COSE_Sign1 attestation document over `user_data` and `nonce` (at most 512 bytes each).
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError>;

    /// Random bytes of the device, or none if it has no source of its own.
    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError>;

    /// Stands in the effective configuration, so that clients see it.
    fn name(&self) -> &'static str;
}

/// The attester did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The NSM answered with an error.
    #[error("the NSM refused: {0}")]
    Nsm(&'static str),
    /// The NSM's device file cannot be opened.
    #[error("{NSM_DEVICE} cannot be opened: {0}")]
    Open(std::io::Error),
    /// The document is not what it should be.
    #[error("the attestation document is unusable: {0}")]
    Document(String),
    /// The development attester failed.
    #[error("the development attester failed: {0}")]
    Dev(String),
}
