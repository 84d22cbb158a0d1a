//! Where connections come from, and where each of them goes.

use super::error::RelayError;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// `VMADDR_CID_ANY` and `VMADDR_PORT_ANY`, vsock(7).
const ANY: u32 = u32::MAX;
/// `VMADDR_CID_HYPERVISOR`, where nothing listens.
const HYPERVISOR: u32 = 0;
/// Longest path of a Unix socket in bytes, unix(7).
const MAX_PATH: usize = 107;

/// A listener and its target, written `SOURCE=TARGET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where connections come from.
    pub source: Source,
    /// Where they go.
    pub target: Target,
}

/// Where connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A TCP address to listen on, such as `0.0.0.0:8080`.
    Tcp(SocketAddr),
    /// `fd:NAME`: a listening TCP socket that systemd passes under this name
    /// (`FileDescriptorName=`).
    Passed(String),
}

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `vsock:CID:PORT`: an enclave, or another virtual machine.
    Vsock {
        /// The context id.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// `unix:PATH:PORT`: vsock behind a Unix socket, as Firecracker and vhost-device-vsock offer it:
    /// `CONNECT PORT`, answered by `OK …`.
    Unix {
        /// The socket.
        path: PathBuf,
        /// The vsock port behind it.
        port: u32,
    },
}

impl FromStr for Route {
    type Err = RelayError;

    fn from_str(text: &str) -> Result<Self, RelayError> {
        let wrong = || RelayError::Route(text.to_owned());
        let (source, target) = text.split_once('=').ok_or_else(wrong)?;
        let source = match source.split_once(':') {
            Some(("fd", "")) => return Err(wrong()),
            Some(("fd", name)) => Source::Passed(name.to_owned()),
            _ => Source::Tcp(source.parse().map_err(|_| wrong())?),
        };
        let (kind, target) = target.split_once(':').ok_or_else(wrong)?;
        let (place, port) = target.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != ANY).ok_or_else(wrong)?;
        let target = match kind {
            "vsock" => {
                let cid = place.parse().ok().filter(|cid| ![ANY, HYPERVISOR].contains(cid));
                Target::Vsock { cid: cid.ok_or_else(wrong)?, port }
            }
            "unix" if (1..=MAX_PATH).contains(&place.len()) => {
                Target::Unix { path: place.into(), port }
            }
            _ => return Err(wrong()),
        };
        Ok(Self { source, target })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Passed(name) => write!(f, "fd:{name}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Unix { path, port } => write!(f, "unix:{}:{port}", path.display()),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.source, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn what_is_understood_is_written_the_same_way() {
        for text in [
            "127.0.0.1:8080=vsock:16:8080",
            "[::1]:0=vsock:4294967294:0",
            "fd:https=vsock:3:9443",
            "0.0.0.0:443=unix:/run/vm.sock:443",
            "0.0.0.0:443=unix:a:b=c:443",
        ] {
            assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("127.0.0.1:1=unix:{}:1", "x".repeat(108));
        for text in [
            "",
            "=",
            "127.0.0.1:8080",
            "127.0.0.1=vsock:16:8080",
            "localhost:80=vsock:16:8080",
            "fd:=vsock:16:8080",
            "127.0.0.1:1=vsock:16",
            "127.0.0.1:1=vsock::1",
            "127.0.0.1:1=vsock:0:1",
            "127.0.0.1:1=vsock:4294967295:1",
            "127.0.0.1:1=vsock:16:4294967295",
            "127.0.0.1:1=vsock:16:-1",
            "127.0.0.1:1=unix:/run/x",
            "127.0.0.1:1=unix::1",
            "127.0.0.1:1=tcp:localhost:1",
            &long,
        ] {
            let error = text.parse::<Route>().unwrap_err().to_string();
            assert!(error.starts_with("--listen"), "{error}");
        }
    }
}
