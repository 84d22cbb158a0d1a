//! Why the proxy does not start. Each message is one sentence for the operator.

use crate::attester::AttestError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `*` as an origin.
    #[error(
        "CORS origin `*` is refused: any web page could then talk to the enclave in its \
         visitor's name; list the exact origins, such as https://app.example"
    )]
    CorsWildcard,
    /// Not `scheme://host[:port]`.
    #[error("CORS origin `{0}` is not an origin: it must look like https://app.example")]
    CorsOrigin(String),
    /// Not a key exchange of E2P v2.
    #[error("`{0}` is no key exchange of E2P v2: use X25519 or XWING-DRAFT10")]
    KeyExchange(String),
    /// The rotation is not longer than the overlap, or both together are longer than a day.
    #[error(
        "keys must be rotated after more than the overlap of {overlap} s, and be gone after \
         24 hours, but the rotation is {rotation} s"
    )]
    KeyRotation {
        /// Seconds between rotations.
        rotation: u64,
        /// Seconds for which the previous keys are honoured.
        overlap: u64,
    },
    /// A limit outside its range.
    #[error("{option} must be {min} to {max}, not {value}")]
    Limit {
        /// The option of `serve` that sets the limit.
        option: &'static str,
        /// The least it may be, in the option's unit.
        min: u64,
        /// The most it may be.
        max: u64,
        /// What it was.
        value: String,
    },
    /// The file cannot be read.
    #[error("manifest {} cannot be read: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than fits into evidence.
    #[error("the manifest is larger than 65535 bytes")]
    ManifestTooLarge,
    /// Not `PREFIX=POLICY`.
    #[error(
        "padding `{0}` is not of the form PREFIX=POLICY: the prefix must begin with `/` and have no \
         `=`, `?` or `#`, and the policy must be none, padme or block=16 to block=16384, with \
         `, coalesce=10` to `, coalesce=1000` behind it or not"
    )]
    Padding(String),
    /// A prefix that was there before.
    #[error("padding `{0}` is for a prefix that has another policy already")]
    PaddingTwice(String),
    /// Not an absolute path without query.
    #[error("public path `{0}` is not a path: it must begin with `/` and have no `?` or `#`")]
    PublicPath(String),
    /// No suite at all.
    #[error("no suite is enabled")]
    SuitesEmpty,
    /// Not a known suite.
    #[error(
        "`{0}` is no suite: use x25519-chacha20poly1305, xwing-chacha20poly1305, \
         x25519-aes256gcm, xwing-aes256gcm, X25519 or XWING"
    )]
    SuiteUnknown(String),
    /// Not a URL of the form `http://host[:port]`.
    #[error(
        "upstream `{0}` is not usable: it must look like http://127.0.0.1:8083, or \
         h2c://127.0.0.1:8083 for an app that speaks HTTP/2, such as a gRPC server"
    )]
    Upstream(String),
    /// A scheme other than http and h2c.
    #[error(
        "upstream `{0}` is neither http:// nor h2c://: the app is reached inside the enclave, \
         without TLS"
    )]
    UpstreamScheme(String),
}

/// Why [`start`](crate::start) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The first attestation failed.
    #[error("the attester does not work: {0}")]
    Attester(#[from] AttestError),
    /// A setting that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No random numbers.
    #[error("no entropy: {0}")]
    Entropy(String),
    /// The key configuration does not encode.
    #[error("the key configuration does not encode")]
    KeyConfig,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The operating system refused a thread or a signal handler.
    #[error("the operating system refused: {0}")]
    System(io::Error),
    /// The vsock port cannot be listened on.
    #[error("cannot listen on vsock port {port}: {source}")]
    Vsock {
        /// The port.
        port: u32,
        /// Why.
        source: io::Error,
    },
}
