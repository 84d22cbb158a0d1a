//! Load: closed loops, in which every connection waits for its answer, and open loops, in which
//! requests are due at fixed times whatever the answers do.

use crate::Result;
use crate::connection::Connection;
use crate::request::Request;
use hdrhistogram::Histogram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

const MOST_NS: u64 = 600_000_000_000;

/// Latencies in nanoseconds.
#[derive(Clone)]
pub(crate) struct Latencies(Arc<Mutex<Histogram<u64>>>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Histogram::new_with_bounds(1, MOST_NS, 3)?))))
    }

    pub(crate) fn record(&self, latency: Duration) {
        let ns = (latency.as_nanos() as u64).clamp(1, MOST_NS);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(ns);
    }

    /// In microseconds.
    pub(crate) fn percentile(&self, percentile: f64) -> f64 {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.value_at_percentile(percentile) as f64 / 1000.0
    }
}

/// What a slice of load did.
pub(crate) struct Slice {
    pub(crate) requests: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Latencies,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as answers come, for so long.
    Closed(Duration),
    /// So many on every connection, one after the other.
    Count(u64),
    /// So many a second over all connections, for so long. Latency counts from when a request was
    /// due, not from when it could be sent (coordinated omission).
    Open(u32, Duration),
}

/// Runs one slice over all connections and gives them back.
pub(crate) async fn run(
    connections: &mut Vec<Connection>,
    request: &Arc<Request>,
    pace: Pace,
) -> Result<Slice> {
    let latencies = Latencies::new()?;
    let begun = Instant::now();
    let source = Source::new(pace, begun);
    let mut tasks = JoinSet::new();
    for connection in connections.drain(..) {
        tasks.spawn(client(connection, request.clone(), source.clone(), latencies.clone()));
    }
    let (mut requests, mut bytes) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (connection, sent, moved) = done??;
        connections.push(connection);
        requests += sent;
        bytes += moved;
    }
    Ok(Slice { requests, bytes, took: begun.elapsed(), latencies })
}

async fn client(
    mut connection: Connection,
    request: Arc<Request>,
    source: Source,
    latencies: Latencies,
) -> Result<(Connection, u64, u64)> {
    let (mut sent, mut bytes) = (0, 0);
    while let Some(due) = source.next(sent).await {
        bytes += connection.exchange(&request).await?;
        latencies.record(due.elapsed());
        sent += 1;
    }
    Ok((connection, sent, bytes))
}

/// Says when requests are due.
#[derive(Clone)]
enum Source {
    Until(Instant),
    Count(u64),
    Scheduled(Arc<tokio::sync::Mutex<UnboundedReceiver<Instant>>>),
}

impl Source {
    fn new(pace: Pace, begun: Instant) -> Self {
        match pace {
            Pace::Closed(duration) => Self::Until(begun + duration),
            Pace::Count(count) => Self::Count(count),
            Pace::Open(rate, duration) => {
                let (sender, receiver) = unbounded_channel();
                // The timers of tokio are in milliseconds: too coarse.
                std::thread::spawn(move || {
                    for due in schedule(rate, duration).map(|after| begun + after) {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        if sender.send(due).is_err() {
                            return;
                        }
                    }
                });
                Self::Scheduled(Arc::new(receiver.into()))
            }
        }
    }

    /// When the next request of a client that has sent so many is due, which is now or was before;
    /// none when it is done.
    async fn next(&self, sent: u64) -> Option<Instant> {
        match self {
            Self::Until(end) => Some(Instant::now()).filter(|now| now < end),
            Self::Count(count) => (sent < *count).then(Instant::now),
            Self::Scheduled(receiver) => receiver.lock().await.recv().await,
        }
    }
}

/// Requests at a fixed rate a second, from the beginning.
fn schedule(rate: u32, duration: Duration) -> impl Iterator<Item = Duration> {
    let after = move |number: u64| Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
    (0..).map(after).take_while(move |after| *after < duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_is_due_whatever_happens() {
        let due: Vec<_> = schedule(1000, Duration::from_millis(4)).collect();
        assert_eq!(due, [0, 1, 2, 3].map(Duration::from_millis));
    }

    #[tokio::test]
    async fn what_was_due_while_nobody_asked_is_due_then() {
        let begun = Instant::now();
        let source = Source::new(Pace::Open(1000, Duration::from_millis(3)), begun);
        let mut due = Vec::new();
        while let Some(next) = source.next(0).await {
            due.push((next - begun).as_millis());
        }
        assert_eq!(due, [0, 1, 2]);
    }
}
