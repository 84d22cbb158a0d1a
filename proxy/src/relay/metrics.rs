//! What the relay counts, for Prometheus.

use crate::metrics::Registrar;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;

type Counters = Family<[(&'static str, String); 2], Counter>;

/// Everything that is counted.
pub(super) struct RelayMetrics {
    registry: Registry,
    pub(super) open: Gauge,
    pub(super) to_enclave: Counter,
    pub(super) from_enclave: Counter,
    ended: Counters,
}

impl RelayMetrics {
    pub(super) fn new() -> Self {
        let mut all = Registrar(Registry::with_prefix("steve_relay"));
        Self {
            open: all.add("connections_open", "Connections of clients", Gauge::default()),
            to_enclave: all.bytes("to_enclave", "Bytes from clients to enclaves"),
            from_enclave: all.bytes("from_enclave", "Bytes from enclaves to clients"),
            ended: all.add("connections_ended", "How connections ended", Family::default()),
            registry: all.0,
        }
    }

    /// Counts the end of a connection.
    pub(super) fn ended(&self, target: &str, outcome: &str) {
        let labels = [("target", target.to_owned()), ("outcome", outcome.to_owned())];
        self.ended.get_or_create(&labels).inc();
    }

    /// Everything in the text format of OpenMetrics.
    pub(super) fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
