//! Where connections come from.

use crate::error::StartError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

/// Connections that wait in the kernel until they are accepted. With fewer, a rush of clients runs
/// into the repetition of lost SYNs, at one second each. The kernel's `somaxconn` may lower it.
const BACKLOG: u32 = 4096;

/// A source of outer connections.
pub trait Listener: Send + 'static {
    /// One of them.
    type Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next one. After an error it is tried again, a moment later. Must be cancel safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for TcpListener {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (connection, _) = TcpListener::accept(self).await?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }
}

impl Listener for VsockListener {
    type Connection = VsockStream;

    async fn accept(&mut self) -> io::Result<VsockStream> {
        VsockListener::accept(self).await.map(|(connection, _)| connection)
    }
}

/// Listens on a TCP address; port 0 takes any free one.
pub(super) fn bind_tcp(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| StartError::Listen { address, source })
}

/// Listens on a vsock port for connections from any context, that is, from the host.
pub(super) fn bind_vsock(port: u32) -> Result<VsockListener, StartError> {
    VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port))
        .map_err(|source| StartError::Vsock { port, source })
}
