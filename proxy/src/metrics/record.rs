use super::{Counted, Metrics};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use steve_protocol::stream::ResetCode;
use tokio::time::Instant;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The response was sealed to its end.
    Complete,
    /// The proxy answered with an error code of its own.
    Answered(&'static str),
    /// The proxy ended the response as incomplete.
    Reset(ResetCode),
    /// The keys of the session were used up.
    Exhausted,
    /// The client's connection went away first.
    Abandoned,
}

impl Outcome {
    fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Complete => ("complete", ""),
            Self::Answered(code) => ("answered", code),
            Self::Reset(code) => ("reset", code.name()),
            Self::Exhausted => ("exhausted", ""),
            Self::Abandoned => ("abandoned", ""),
        }
    }
}

/// What is counted of one accepted stream. When it is dropped the stream has ended.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    _open: Counted,
    begun: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    outcome: OnceLock<Outcome>,
}

impl Record {
    /// A stream that is accepted now.
    pub(crate) fn begin(metrics: &Arc<Metrics>) -> Arc<Self> {
        metrics.streams.inc();
        Arc::new(Self {
            metrics: metrics.clone(),
            _open: Counted::new(&metrics.streams_open),
            begun: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            outcome: OnceLock::new(),
        })
    }

    /// When the stream was accepted.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Counts sealed bytes from the client.
    pub(crate) fn received(&self, len: usize) {
        self.received.fetch_add(len as u64, Relaxed);
        self.metrics.sealed_received.inc_by(len as u64);
    }

    /// Counts sealed bytes to the client.
    pub(crate) fn sent(&self, len: usize) {
        self.sent.fetch_add(len as u64, Relaxed);
        self.metrics.sealed_sent.inc_by(len as u64);
    }

    /// Notes that the head of the app's response came.
    pub(crate) fn app_answered(&self) {
        self.metrics.app_seconds.observe(self.begun.elapsed().as_secs_f64());
    }

    /// Says how the stream ends. The first word counts.
    pub(crate) fn ends(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let outcome = self.outcome.get().copied().unwrap_or(Outcome::Abandoned);
        let (outcome, code) = outcome.labels();
        self.metrics.streams_ended.get_or_create(&[("outcome", outcome), ("code", code)]).inc();
        tracing::debug!(
            outcome,
            code,
            sealed_received = self.received.load(Relaxed),
            sealed_sent = self.sent.load(Relaxed),
            milliseconds = self.begun.elapsed().as_millis() as u64,
            "stream ended"
        );
    }
}
