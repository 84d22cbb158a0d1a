//! Tells the parent that the enclave has booted: `nitro-cli run-enclave` waits for it.

use crate::bounded::{LIMIT, retry};
use crate::config::Heartbeat;
use std::io::{self, Read, Write};
use vsock::VsockStream;

/// The byte that is sent and expected back, as by AWS's init
/// (<https://github.com/aws/aws-nitro-enclaves-sdk-bootstrap>, `init/init.c`).
const BYTE: u8 = 0xB7;

/// The parent cannot be reached, or does not answer.
#[derive(Debug, thiserror::Error)]
#[error("no heartbeat with the parent, CID {cid}, port {port}: {error}")]
pub struct HeartbeatError {
    cid: u32,
    port: u32,
    error: io::Error,
}

/// Sends the byte and waits for its return.
pub(crate) fn send(parent: &Heartbeat) -> Result<(), HeartbeatError> {
    let &Heartbeat { cid, port } = parent;
    exchange(cid, port).map_err(|error| HeartbeatError { cid, port, error })
}

fn exchange(cid: u32, port: u32) -> io::Result<()> {
    let mut stream = retry(|| VsockStream::connect_with_cid_port(cid, port), |_| true)?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(&[BYTE])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer == [BYTE] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
