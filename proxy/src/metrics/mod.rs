//! What the proxy counts, for Prometheus.
//!
//! The host reads it, and the host is not trusted: every label is one of a few words of the proxy's
//! own, and nothing is told apart that its answers do not tell apart (row 24).

mod record;
mod server;

pub(crate) use record::{Outcome, Record};
pub(crate) use server::{Render, serve};

#[cfg(feature = "e2p-v2")]
use crate::e2p_v2;
use crate::routes::Refusal;
use crate::server::Proxy;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Duration;

pub(crate) type Label = (&'static str, &'static str);
pub(crate) type Counters<const LABELS: usize> = Family<[Label; LABELS], Counter>;

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections_open: Gauge,
    pub(crate) tunnels_open: Gauge,
    pub(crate) streams_open: Gauge,
    pub(crate) streams: Counter,
    streams_ended: Counters<2>,
    sealed_received: Counter,
    sealed_sent: Counter,
    handshakes: Counters<1>,
    early_requests: Counters<1>,
    pub(crate) idempotent_executed: Counter,
    pub(crate) idempotent_repeated: Counter,
    pub(crate) idempotent_refused: Counter,
    refusals: Counters<1>,
    evidence_calls: Counters<1>,
    evidence_seconds: Histogram,
    evidence_batch: Histogram,
    challenges: Counter,
    app_seconds: Histogram,
    sessions: Family<[Label; 1], Gauge>,
    ready: Gauge,
    budget_used: Gauge,
    budget: Gauge,
    #[cfg(feature = "e2p-v2")]
    pub(crate) e2p_v2: e2p_v2::Metrics,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Registrar(Registry::with_prefix("steve"));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("protocol", "3")]);
        all.0.register("build", "What runs", build);
        // From 1 ms to 4 min, and from 1 to 1024.
        let seconds = || Histogram::new(exponential_buckets(0.001, 4.0, 10));
        let batch = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        Self {
            connections_open: all.add("connections_open", "Outer connections", Gauge::default()),
            tunnels_open: all.add("tunnels_open", "Tunnels", Gauge::default()),
            streams_open: all.add("streams_open", "Streams under way", Gauge::default()),
            streams: all.add(
                "streams",
                "Streams with an authentic first frame",
                Counter::default(),
            ),
            streams_ended: all.add("streams_ended", "How streams ended", Family::default()),
            sealed_received: all.bytes("sealed_received", "Sealed bytes from clients"),
            sealed_sent: all.bytes("sealed_sent", "Sealed bytes to clients"),
            handshakes: all.add("handshakes", "ClientHellos answered", Family::default()),
            early_requests: all.add("early_requests", "Early requests answered", Family::default()),
            idempotent_executed: all.add(
                "idempotent_executed",
                "Requests with an idempotency key that were executed",
                Counter::default(),
            ),
            idempotent_repeated: all.add(
                "idempotent_repeated",
                "Repetitions that were answered with the first response",
                Counter::default(),
            ),
            idempotent_refused: all.add(
                "idempotent_refused",
                "Requests with an idempotency key that were neither",
                Counter::default(),
            ),
            refusals: all.add("refusals", "Refusals outside the channel", Family::default()),
            evidence_calls: all.add("evidence_calls", "Calls of the attester", Family::default()),
            evidence_seconds: all.seconds("evidence_call", "Time of the attester", seconds()),
            evidence_batch: all.add("evidence_batch", "Challenges answered at once", batch),
            challenges: all.add("challenges_answered", "Challenges answered", Counter::default()),
            app_seconds: all.seconds("app_response", "Time to the app's head", seconds()),
            sessions: all.add("sessions", "Sessions", Family::default()),
            ready: all.add("ready", "1 when health is green", Gauge::default()),
            budget_used: all.bytes_now("memory_budget_used", "Memory that is spoken for"),
            budget: all.bytes_now("memory_budget", "Memory for connections and streams"),
            #[cfg(feature = "e2p-v2")]
            e2p_v2: e2p_v2::Metrics::new(&mut all),
            registry: all.0,
        }
    }

    /// Counts a handshake that was answered, or one that was refused.
    pub(crate) fn handshake(&self, accepted: bool) {
        let result = if accepted { "accepted" } else { "refused" };
        self.handshakes.get_or_create(&[("result", result)]).inc();
    }

    /// Counts an early request by the answer in its ServerHello, which everybody can read. What is
    /// answered outside the channel is not told apart.
    pub(crate) fn early(&self, accepted: bool) {
        let answer = if accepted { "accepted" } else { "rejected" };
        self.early_requests.get_or_create(&[("answer", answer)]).inc();
    }

    /// Counts a refusal outside the channel, by the code that its client sees.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals.get_or_create(&[("code", refusal.code().1)]).inc();
    }

    /// Counts a call of the attester.
    pub(crate) fn evidence_call(&self, worked: bool, took: Duration) {
        let result = if worked { "ok" } else { "failed" };
        self.evidence_calls.get_or_create(&[("result", result)]).inc();
        self.evidence_seconds.observe(took.as_secs_f64());
    }

    /// Counts challenges that one document answers.
    pub(crate) fn answered(&self, challenges: usize) {
        self.challenges.inc_by(challenges as u64);
        self.evidence_batch.observe(challenges as f64);
    }

    /// Everything in the text format of OpenMetrics.
    pub(crate) fn render(&self, proxy: &Proxy) -> Result<String, fmt::Error> {
        let set = |gauge: &Gauge, count: usize| {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        let (confirmed, unconfirmed) = proxy.sessions.counts();
        set(&self.sessions.get_or_create(&[("state", "confirmed")]), confirmed);
        set(&self.sessions.get_or_create(&[("state", "unconfirmed")]), unconfirmed);
        set(&self.ready, proxy.is_ready().into());
        let (used, total) = proxy.budget.usage();
        set(&self.budget_used, used);
        set(&self.budget, total);
        #[cfg(feature = "e2p-v2")]
        if let Some(service) = &proxy.e2p_v2 {
            self.e2p_v2.refresh(service);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Registers metrics and hands them back.
pub(crate) struct Registrar(pub(crate) Registry);

impl Registrar {
    pub(crate) fn add<M>(&mut self, name: &str, help: &str, metric: M) -> M
    where
        M: prometheus_client::registry::Metric + Clone,
    {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds(&mut self, name: &str, help: &str, metric: Histogram) -> Histogram {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    pub(crate) fn bytes(&mut self, name: &str, help: &str) -> Counter {
        let metric = Counter::default();
        self.0.register_with_unit(name, help, Unit::Bytes, metric.clone());
        metric
    }

    fn bytes_now(&mut self, name: &str, help: &str) -> Gauge {
        let metric = Gauge::default();
        self.0.register_with_unit(name, help, Unit::Bytes, metric.clone());
        metric
    }
}

/// Counts one in a gauge for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
