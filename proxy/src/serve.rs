//! The command `serve`.

use crate::cli::Serve;
use crate::log;
use std::io;
use std::path::Path;
use steve_proxy::attester::{AttestError, Attester, NSM_DEVICE, Nsm};
use steve_proxy::{ConfigError, StartError};
use tokio::signal::unix::{SignalKind, signal};

/// Why the command fails. One sentence each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Attester(#[from] AttestError),
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
    #[error(
        "there is no {NSM_DEVICE}, so this is not a Nitro Enclave and nothing can vouch for this \
         proxy: run it inside an enclave{DEVELOPMENT_HINT}"
    )]
    NoNsm,
    #[cfg(feature = "dangerous-dev-attester")]
    #[error("this is a Nitro Enclave ({NSM_DEVICE} exists): --dangerous-dev-attester is refused")]
    DevAttesterInEnclave,
    #[cfg(feature = "dangerous-dev-attester")]
    #[error("the development root cannot be written to {}: {source}", path.display())]
    RootOut { path: std::path::PathBuf, source: io::Error },
}

#[cfg(feature = "dangerous-dev-attester")]
const DEVELOPMENT_HINT: &str = ", or, for development, pass --dangerous-dev-attester";
#[cfg(not(feature = "dangerous-dev-attester"))]
const DEVELOPMENT_HINT: &str = "";

pub(crate) fn run(args: &Serve) -> Result<(), ServeError> {
    log::init(&args.log);
    let config = args.config()?;
    config.validate()?;
    let attester = attester(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (upstream, version) = (config.upstream.clone(), env!("CARGO_PKG_VERSION"));
        let (vsock_port, metrics_port) = (config.vsock_port, config.metrics_vsock_port);
        let running = steve_proxy::start(config, attester).await?;
        if let Some(address) = running.local_addr() {
            tracing::info!(version, upstream, "listening on {address}");
        }
        if let Some(port) = vsock_port {
            tracing::info!(version, upstream, "listening on vsock port {port}");
        }
        if let Some(address) = running.metrics_addr() {
            tracing::info!("metrics on {address}");
        }
        if let Some(port) = metrics_port {
            tracing::info!("metrics on vsock port {port}");
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.shutdown().await;
        Ok(())
    })
}

#[cfg(not(feature = "dangerous-dev-attester"))]
fn attester(_args: &Serve) -> Result<Box<dyn Attester>, ServeError> {
    nsm()
}

#[cfg(feature = "dangerous-dev-attester")]
fn attester(args: &Serve) -> Result<Box<dyn Attester>, ServeError> {
    use steve_proxy::attester::DevAttester;
    if !args.dangerous_dev_attester {
        return nsm();
    }
    if Path::new(NSM_DEVICE).exists() {
        return Err(ServeError::DevAttesterInEnclave);
    }
    let attester = DevAttester::new()?;
    eprintln!("{}", DevAttester::WARNING);
    if let Some(path) = &args.dangerous_dev_root_out {
        let written = std::fs::write(path, attester.root_pem());
        written.map_err(|source| ServeError::RootOut { path: path.clone(), source })?;
    }
    Ok(Box::new(attester))
}

fn nsm() -> Result<Box<dyn Attester>, ServeError> {
    if !Path::new(NSM_DEVICE).exists() {
        return Err(ServeError::NoNsm);
    }
    Ok(Box::new(Nsm::open()?))
}
