//! `steve-proxy`: the proxy that is baked into an enclave image, and the relay on its host.

mod cli;
#[cfg(feature = "demo")]
mod demo;
mod exposing;
mod log;
mod relaying;
#[cfg(feature = "render")]
mod render;
mod serve;

use clap::Parser;
use std::fmt::Display;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli::Cli { command } = cli::Cli::parse();
    match command {
        cli::Command::Serve(args) => exit(serve::run(&args)),
        cli::Command::Relay(args) => exit(relaying::run(&args)),
        cli::Command::Expose(args) => exit(exposing::run(&args)),
        #[cfg(feature = "render")]
        cli::Command::Render(args) => exit(args.run()),
        #[cfg(feature = "demo")]
        cli::Command::Demo { upstream, page, once } => {
            exit(demo::run(upstream.as_deref(), page, once))
        }
    }
}

fn exit(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("steve-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}
