//! PID 1 of an enclave image: it makes the kernel ready, starts app and proxy, and ends the enclave
//! when either of them ends. `deploy/README.md` describes the image and the configuration.

mod bounded;
pub mod config;
mod entropy;
mod heartbeat;
mod loopback;
mod modules;
mod mounts;
pub mod session;
pub mod supervise;

use config::{Config, ConfigError};
use std::path::Path;
use std::time::Duration;
use supervise::{Ended, SuperviseError};

/// Where the image has its configuration.
pub const CONFIG: &str = "/etc/steve/init.json";

/// How long a program may take to end after SIGTERM, once the other one has ended.
const GRACE: Duration = Duration::from_secs(5);

/// Why the enclave could not be started.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The configuration is missing or wrong.
    #[error("{CONFIG}: {0}")]
    Config(#[from] ConfigError),
    /// The kernel refused to mount a file system.
    #[error(transparent)]
    Mount(#[from] mounts::MountError),
    /// A kernel module is missing or was refused.
    #[error(transparent)]
    Module(#[from] modules::ModuleError),
    /// The loopback interface stays down.
    #[error("cannot bring up the loopback interface: {0}")]
    Loopback(std::io::Error),
    /// No NSM, or no random numbers.
    #[error(transparent)]
    Entropy(#[from] entropy::EntropyError),
    /// The parent does not answer.
    #[error(transparent)]
    Heartbeat(#[from] heartbeat::HeartbeatError),
    /// Proxy or app could not be started.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
}

/// Does all that PID 1 has to do until app or proxy ends, and says which of them it was.
pub fn boot() -> Result<Ended, InitError> {
    let config = Config::read(Path::new(CONFIG))?;
    mounts::mount_all()?;
    modules::load(&config.modules)?;
    loopback::up().map_err(InitError::Loopback)?;
    entropy::seed()?;
    if let Some(parent) = &config.heartbeat {
        heartbeat::send(parent)?;
    }
    Ok(supervise::run(&config.app, &config.proxy, Path::new("/proc/self/exe"), GRACE)?)
}
