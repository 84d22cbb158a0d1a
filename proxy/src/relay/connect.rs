//! The way into the enclave.

use super::route::Target;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;
use tokio_vsock::{VsockAddr, VsockStream};

/// Longest answer to `CONNECT`, in bytes: `OK 4294967295\n` takes 14.
const MAX_ANSWER: usize = 32;
/// Pause before another attempt while the backlog of a Unix socket is full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);

/// A connection to the enclave.
pub(super) enum Enclave {
    Vsock(VsockStream),
    /// And what the enclave sent along with the answer to `CONNECT`.
    Unix(UnixStream, Vec<u8>),
}

/// Connects; to be bounded in time by the caller.
pub(super) async fn connect(target: &Target) -> io::Result<Enclave> {
    match target {
        Target::Vsock { cid, port } => {
            VsockStream::connect(VsockAddr::new(*cid, *port)).await.map(Enclave::Vsock)
        }
        Target::Unix { path, port } => {
            let mut unix = connect_unix(path).await?;
            unix.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
            let first = answer(&mut unix).await?;
            Ok(Enclave::Unix(unix, first))
        }
    }
}

async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(BACKLOG_PAUSE).await,
            result => return result,
        }
    }
}

/// Reads `OK …\n` and gives what follows it.
async fn answer(unix: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut bytes = [0; MAX_ANSWER];
    let mut len = 0;
    loop {
        let read = unix.read(&mut bytes[len..]).await?;
        len += read;
        let read_all = &bytes[..len];
        let end = read_all.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if read_all.starts_with(b"OK ") => return Ok(read_all[end + 1..].to_vec()),
            None if read == 0 => {
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "nothing listens on this port of the enclave",
                ));
            }
            None if len < MAX_ANSWER => {}
            _ => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no answer of the form OK"));
            }
        }
    }
}
