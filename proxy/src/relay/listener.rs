//! Listening sockets: opened here, or passed by systemd.

use super::error::RelayError;
use super::route::{Route, Source, Target};
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Connections that may wait to be accepted, if `net.core.somaxconn` allows as many; the standard
/// library has 128.
const BACKLOG: i32 = 1024;

/// The listeners of all routes, in their order.
pub(super) fn open(routes: &[Route]) -> Result<Vec<TcpListener>, RelayError> {
    let mut passed = passed()?;
    let listeners = routes.iter().map(|route| {
        check(&route.target)?;
        match &route.source {
            Source::Tcp(address) => {
                bind(*address).map_err(|source| RelayError::Listen { address: *address, source })
            }
            Source::Passed(name) => {
                passed.remove(name).ok_or_else(|| RelayError::NotPassed(name.clone()))
            }
        }
    });
    let listeners = listeners.collect::<Result<_, _>>()?;
    match passed.into_keys().next() {
        Some(name) => Err(RelayError::Unused(name)),
        None => Ok(listeners),
    }
}

/// Listens on a TCP address; port 0 takes any free one.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    SockRef::from(&listener).listen(BACKLOG)?;
    from_std(listener)
}

fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The sockets that systemd passes, sd_listen_fds(3), by their names.
fn passed() -> Result<HashMap<String, TcpListener>, RelayError> {
    let sockets = sd_listen_fds::get().map_err(|_| RelayError::Environment)?;
    let mut listeners = HashMap::new();
    for (name, socket) in sockets {
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        let refuse = |reason: String| RelayError::NotTcp { name: name.clone(), reason };
        let listener = std::net::TcpListener::from(socket);
        listener.local_addr().map_err(|error| refuse(error.to_string()))?;
        match SockRef::from(&listener).is_listener() {
            Ok(true) => {}
            Ok(false) => return Err(refuse("it does not listen".to_owned())),
            Err(error) => return Err(refuse(error.to_string())),
        }
        let listener = from_std(listener).map_err(|error| refuse(error.to_string()))?;
        if listeners.insert(name.clone(), listener).is_some() {
            return Err(RelayError::PassedTwice(name));
        }
    }
    Ok(listeners)
}

/// Errors if there can be no connection to the target on this system.
fn check(target: &Target) -> Result<(), RelayError> {
    let Target::Vsock { .. } = target else {
        return Ok(());
    };
    match Socket::new(Domain::VSOCK, Type::STREAM, None) {
        Ok(_) => Ok(()),
        Err(source) => Err(RelayError::Vsock { target: target.to_string(), source }),
    }
}
