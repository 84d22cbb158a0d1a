//! The options of `relay`.

use super::{LogArgs, items};
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;
use steve_proxy::relay::{RelayConfig, RelayError};

/// The defaults are those of [`RelayConfig`], and so are the ranges.
#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// What to relay: ADDRESS=vsock:CID:PORT, or ADDRESS=unix:PATH:PORT for vsock behind a Unix
    /// socket (Firecracker); fd:NAME for ADDRESS is a socket that systemd passes. May be repeated.
    #[arg(long, value_name = "ADDRESS=TARGET", env = "STEVE_RELAY_LISTEN", value_delimiter = ',')]
    listen: Vec<String>,

    /// Tell the enclave who the client is, by a header of the PROXY protocol, version 2.
    #[arg(
        long,
        env = "STEVE_RELAY_PROXY_PROTOCOL",
        num_args = 0..=1,
        value_parser = clap::builder::BoolishValueParser::new(),
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    proxy_protocol: bool,

    /// TCP address to serve metrics on, for Prometheus.
    #[arg(long, value_name = "ADDRESS", env = "STEVE_RELAY_METRICS_ADDR")]
    metrics_listen: Option<SocketAddr>,

    /// Connections open at once; further ones wait.
    #[arg(long, value_name = "N", env = "STEVE_RELAY_MAX_CONNECTIONS", default_value_t = 4096)]
    max_connections: usize,

    /// Longest time to connect to the enclave.
    #[arg(long, value_name = "SECONDS", env = "STEVE_RELAY_CONNECT_TIMEOUT", default_value_t = 5)]
    connect_timeout: u32,

    /// Life of a connection on which nothing moves.
    #[arg(long, value_name = "SECONDS", env = "STEVE_RELAY_IDLE_TIMEOUT", default_value_t = 3600)]
    idle_timeout: u32,

    /// The same after one end has finished, where the other may not know.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "STEVE_RELAY_HALF_CLOSE_TIMEOUT",
        default_value_t = 10
    )]
    half_close_timeout: u32,

    /// Longest wait for open connections at shutdown.
    #[arg(long, value_name = "SECONDS", env = "STEVE_RELAY_DRAIN_TIMEOUT", default_value_t = 30)]
    drain_timeout: u32,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl RelayArgs {
    pub(crate) fn config(&self) -> Result<RelayConfig, RelayError> {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let routes = items(&self.listen);
        Ok(RelayConfig {
            routes: routes.iter().map(|route| route.parse()).collect::<Result<_, _>>()?,
            metrics_listen: self.metrics_listen,
            proxy_protocol: self.proxy_protocol,
            max_connections: self.max_connections,
            connect_timeout: seconds(self.connect_timeout),
            idle_timeout: seconds(self.idle_timeout),
            half_close_timeout: seconds(self.half_close_timeout),
            drain_timeout: seconds(self.drain_timeout),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        relay: RelayArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(Line::parse_from(["x"]).relay.config().unwrap(), RelayConfig::default());
    }
}
