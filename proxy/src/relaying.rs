//! The command `relay`.

use crate::cli::RelayArgs;
use crate::log;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use std::io;
use steve_proxy::relay::{self, RelayError};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

/// File descriptors for all that is not a connection: listeners, metrics, the runtime.
const SPARE_FILES: u64 = 128;

/// Why the command fails. One sentence each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayingError {
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
}

pub(crate) fn run(args: &RelayArgs) -> Result<(), RelayingError> {
    log::init(&args.log);
    let config = args.config()?;
    raise_limit_of_files(config.max_connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut signalled = async || {
            select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let (routes, version) = (config.routes.clone(), env!("CARGO_PKG_VERSION"));
        let running = relay::start(config)?;
        for (address, route) in running.local_addrs().iter().zip(&routes) {
            let target = &route.target;
            tracing::info!(version, "listening on {address} for {target}");
        }
        if let Some(address) = running.metrics_addr() {
            tracing::info!("metrics on {address}");
        }
        tell(NotifyState::Ready);
        signalled().await;
        tell(NotifyState::Stopping);
        running.shutdown(signalled()).await;
        Ok(())
    })
}

/// Takes as many file descriptors as may be needed, if the system lets it: the usual soft limit, 1024,
/// is for programs that use select(2).
pub(crate) fn raise_limit_of_files(max_connections: usize) {
    let needed = 2 * max_connections as u64 + SPARE_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let most = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    if raised.is_err() || most < needed {
        tracing::warn!(
            needed,
            "too few file descriptors for --max-connections: raise LimitNOFILE="
        );
    }
}

/// Tells systemd, if that started the relay.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot notify systemd: {error}");
    }
}
