use super::error::RelayError;
use super::route::Route;
use crate::error::ConfigError;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest time that an option may set, in seconds: 30 days.
const MAX_SECONDS: u64 = 30 * 86_400;

/// How a relay works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// What is relayed; at least one.
    pub routes: Vec<Route>,
    /// TCP address to serve metrics on.
    pub metrics_listen: Option<SocketAddr>,
    /// Tells the enclave who the client is, by a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// Connections at once, over all routes: 1 to 1000000. Further ones wait.
    pub max_connections: usize,
    /// Longest time to connect to the enclave.
    pub connect_timeout: Duration,
    /// Life of a connection on which nothing moves.
    pub idle_timeout: Duration,
    /// After one end of a connection has finished and the other has not been told, or does not end:
    /// how long nothing may move.
    pub half_close_timeout: Duration,
    /// Longest wait for connections at shutdown.
    pub drain_timeout: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            metrics_listen: None,
            proxy_protocol: false,
            max_connections: 4096,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(3600),
            half_close_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl RelayConfig {
    /// Errors if something is missing or a limit is outside its range.
    pub(super) fn check(&self) -> Result<(), RelayError> {
        if self.routes.is_empty() {
            return Err(RelayError::NoRoute);
        }
        if !(1..=1_000_000).contains(&self.max_connections) {
            return Err(ConfigError::Limit {
                option: "--max-connections",
                min: 1,
                max: 1_000_000,
                value: self.max_connections.to_string(),
            }
            .into());
        }
        for (option, time) in [
            ("--connect-timeout", self.connect_timeout),
            ("--idle-timeout", self.idle_timeout),
            ("--half-close-timeout", self.half_close_timeout),
            ("--drain-timeout", self.drain_timeout),
        ] {
            // Tests use fractions of the least that can be set.
            if time.is_zero() || time > Duration::from_secs(MAX_SECONDS) {
                let value = format!("{} s", time.as_secs_f64());
                return Err(ConfigError::Limit { option, min: 1, max: MAX_SECONDS, value }.into());
            }
        }
        Ok(())
    }
}
