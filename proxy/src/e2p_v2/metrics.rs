use super::{Refusal, Service};
use crate::metrics::{Counters, Label, Registrar};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// What shows whether there are still clients of this protocol. Requests are also counted as streams.
pub(crate) struct Metrics {
    sessions: Family<[Label; 1], Gauge>,
    /// Sessions confirmed so far.
    pub(super) confirmed: Counter,
    /// Authentic requests so far.
    pub(super) requests: Counter,
    refusals: Counters<1>,
}

impl Metrics {
    pub(crate) fn new(all: &mut Registrar) -> Self {
        let counter = Counter::default;
        Self {
            sessions: all.add("e2p_v2_sessions", "Sessions of E2P v2", Family::default()),
            confirmed: all.add(
                "e2p_v2_sessions_confirmed",
                "Sessions of E2P v2 that clients have confirmed",
                counter(),
            ),
            requests: all.add("e2p_v2_requests", "Authentic requests of E2P v2", counter()),
            refusals: all.add("e2p_v2_refusals", "Refusals of E2P v2", Family::default()),
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refusals.get_or_create(&[("code", refusal.code())]).inc();
    }

    /// Sets what is counted only when somebody asks.
    pub(crate) fn refresh(&self, service: &Service) {
        let (confirmed, unconfirmed) = service.sessions.counts();
        for (state, count) in [("confirmed", confirmed), ("unconfirmed", unconfirmed)] {
            let gauge = self.sessions.get_or_create(&[("state", state)]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
