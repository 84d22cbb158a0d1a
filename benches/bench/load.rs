//! Load: closed loops, in which every connection waits for its answer, and open loops, in which
//! requests are due at fixed times whatever the answers do.

use crate::Result;
use crate::connection::Connection;
use crate::request::Request;
use hdrhistogram::Histogram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
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
    /// So many a second over all connections, for so long. Latency counts from when a request was due,
    /// not from when it could be sent (coordinated omission).
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
    let clients = connections.len() as u64;
    let mut tasks = JoinSet::new();
    for (index, connection) in connections.drain(..).enumerate() {
        let schedule = Schedule { pace, begun, index: index as u64, clients, sent: 0 };
        tasks.spawn(client(connection, request.clone(), schedule, latencies.clone()));
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
    mut schedule: Schedule,
    latencies: Latencies,
) -> Result<(Connection, u64, u64)> {
    let mut bytes = 0;
    while let Some(due) = schedule.next() {
        tokio::time::sleep_until(due.into()).await;
        bytes += connection.exchange(&request).await?;
        latencies.record(due.elapsed());
    }
    Ok((connection, schedule.sent, bytes))
}

/// When one client's requests are due.
struct Schedule {
    pace: Pace,
    begun: Instant,
    index: u64,
    clients: u64,
    sent: u64,
}

impl Schedule {
    fn next(&mut self) -> Option<Instant> {
        let due = match self.pace {
            Pace::Closed(duration) => {
                Some(Instant::now()).filter(|now| *now < self.begun + duration)
            }
            Pace::Count(count) => (self.sent < count).then(Instant::now),
            Pace::Open(rate, duration) => {
                let number = self.sent * self.clients + self.index;
                let after = Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
                (after < duration).then(|| self.begun + after)
            }
        };
        self.sent += u64::from(due.is_some());
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_is_due_whatever_happens() {
        let begun = Instant::now();
        let pace = Pace::Open(1000, Duration::from_millis(10));
        let due: Vec<_> = (0..2)
            .flat_map(|index| {
                let mut schedule = Schedule { pace, begun, index, clients: 2, sent: 0 };
                std::iter::from_fn(move || schedule.next()).collect::<Vec<_>>()
            })
            .map(|due| (due - begun).as_millis())
            .collect();
        assert_eq!(due, [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]);
    }
}
