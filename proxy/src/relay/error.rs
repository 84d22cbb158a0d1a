use crate::error::ConfigError;
use std::io;
use std::net::SocketAddr;

/// Why the relay does not start. Each message is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// A limit outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The variables of socket activation do not parse.
    #[error("LISTEN_PID or LISTEN_FDS is malformed: start the relay through its systemd socket")]
    Environment,
    /// The address cannot be listened on.
    #[error("--listen {address}: cannot listen: {source}; is another program using the port?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address for metrics cannot be listened on.
    #[error(
        "--metrics-listen {address}: cannot listen: {source}; is another program using the port?"
    )]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No socket of this name was passed.
    #[error(
        "--listen fd:{0}: systemd passed no socket of this name: set FileDescriptorName={0} in the \
         socket unit, and start that"
    )]
    NotPassed(String),
    /// What was passed under this name is no listening TCP socket.
    #[error("--listen fd:{name}: not a listening TCP socket: {reason}; use ListenStream=")]
    NotTcp {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing to do.
    #[error("--listen is missing: say --listen 127.0.0.1:8080=vsock:16:8080, once for each port")]
    NoRoute,
    /// Two sockets were passed under this name: only one of them would be served.
    #[error(
        "systemd passed two sockets `{0}`: give each ListenStream a socket unit of its own, with a \
         FileDescriptorName of its own"
    )]
    PassedTwice(String),
    /// Not `SOURCE=TARGET`.
    #[error(
        "--listen `{0}` is not understood: it must look like 127.0.0.1:8080=vsock:16:8080, with \
         fd:NAME for a socket of systemd, and unix:PATH:PORT for vsock behind a Unix socket"
    )]
    Route(String),
    /// A socket was passed that no route names.
    #[error("systemd passed the socket `{0}`, but there is no --listen fd:{0}")]
    Unused(String),
    /// The operating system has no vsock.
    #[error(
        "--listen …={target}: this system has no vsock: {source}; load vmw_vsock_virtio_transport or vhost_vsock"
    )]
    Vsock {
        /// The target.
        target: String,
        /// Why.
        source: io::Error,
    },
}
