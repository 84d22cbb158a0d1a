//! The benchmark of STEVE: the proxy beside nginx, Caddy, hyper with rustls and OHTTP, on the same
//! app, in turns; the protocol core beside its primitives. `benches/run` builds what it needs and
//! starts it.

mod app;
mod calls;
mod cases;
mod channel;
mod connection;
mod contenders;
mod figures;
mod fleet;
mod frames;
mod http;
mod live;
mod load;
mod long;
mod memory;
mod oblivious;
mod pattern;
mod process;
mod report;
mod request;
mod setup;
mod steve;
mod svg;
mod targets;
mod whole;

use clap::{Parser, Subcommand};
use contenders::Binaries;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// STEVE's proxy beside others, and its protocol core beside its primitives.
#[derive(Parser)]
struct Cli {
    /// Check every answer and count, in two minutes, and measure no time.
    #[arg(long, conflicts_with = "long")]
    smoke: bool,

    /// Watch the memory of the proxy over 20 GiB and 10 million requests instead.
    #[arg(long)]
    long: bool,

    /// The proxy [default: beside this program].
    #[arg(long, value_name = "FILE")]
    proxy: Option<PathBuf>,

    /// The OHTTP gateway; without it OHTTP is left out.
    #[arg(long, value_name = "FILE")]
    ohttp_gateway: Option<PathBuf>,

    /// Where the report goes.
    #[arg(long, value_name = "FOLDER", default_value = "benches/report")]
    report: PathBuf,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The app behind all proxies.
    App { address: SocketAddr },
}

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let Some(Command::App { address }) = cli.command {
        runtime()?.block_on(app::run(address))?;
        return Ok(ExitCode::SUCCESS);
    }
    let load = process::load()?;
    process::pin_self()?;
    let beside = |name| Ok::<_, Failure>(std::env::current_exe()?.with_file_name(name));
    let binaries = Binaries {
        steve_proxy: cli.proxy.map_or_else(|| beside("steve-proxy"), Ok)?,
        rustls_proxy: beside("rustls-proxy")?,
        ohttp_gateway: cli.ohttp_gateway,
    };
    let fleet = fleet::Fleet::start(binaries)?;
    runtime()?.block_on(async {
        match (cli.smoke, cli.long) {
            (true, _) => whole::smoke(fleet).await?,
            (_, true) => long::run_all(fleet, &cli.report).await?,
            _ => whole::run(fleet, &cli.report, load).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
