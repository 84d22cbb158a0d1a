//! The log, on stderr.

use crate::cli::{LogArgs, LogFormat, LogLevel};
use std::io;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// The level is for the proxy alone: what the HTTP libraries log below INFO may hold parts of
/// requests.
pub(crate) fn init(args: &LogArgs) {
    let level = match args.log_level {
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let targets = Targets::new().with_default(LevelFilter::INFO).with_target("steve_proxy", level);
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log = match args.log_format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => log.json().boxed(),
    };
    tracing_subscriber::registry().with(log.with_filter(targets)).init();
}
