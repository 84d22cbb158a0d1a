//! `steve`: talk to an app in an enclave from the shell.

mod args;
mod connect;
mod data;
mod doctor;
mod exit;
mod gateway;
mod manifest;
mod measure;
mod output;
mod policy;
mod report;
mod request;
mod verify;

use args::{Cli, Command, PolicyCommand};
use clap::Parser;
use exit::Failure;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(Failure::usage(error))),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Verify(args) => verify::run(*args).await,
            Command::Request(args) => request::run(*args).await,
            Command::Connect(args) => gateway::run(*args).await,
            Command::Doctor(args) => doctor::run(*args).await,
            Command::Measure(args) => measure::run(&args),
            Command::Policy(PolicyCommand::Check(args)) => policy::check(&args),
        }
    });
    // A read of standard input may still be waiting; it must not keep the process.
    runtime.shutdown_background();
    finish(result)
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if !matches!(failure, Failure::BrokenPipe) {
        let message = output::printable(&failure.to_string());
        // Without standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "steve: {message}");
    }
    failure.exit_code()
}
