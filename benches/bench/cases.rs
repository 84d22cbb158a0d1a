//! The cases in which all contenders take turns.

use crate::channel::Target;
use crate::connection::Connection;
use crate::contenders::{Channel, Contender};
use crate::figures::{Figures, Metric};
use crate::fleet::Fleet;
use crate::load::{Pace, Slice, run};
use crate::request::Request;
use crate::{Failure, Result};
use rand::seq::SliceRandom;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) struct Case {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) clients: usize,
    pub(crate) body: Body,
    /// As answers come, so many on each connection, or at a fixed rate.
    pub(crate) pace: Kind,
    /// OHTTP seals whole messages: no use for long bodies.
    pub(crate) streams: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Body {
    Down(u64),
    Up(u64),
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Closed,
    Once,
    Open(u32),
}

pub(crate) const GET_1: &str = "get-1";
pub(crate) const GET_64: &str = "get-64";
pub(crate) const GET_512: &str = "get-512";
pub(crate) const OPEN_64: &str = "open-64";
pub(crate) const POST: &str = "post";
pub(crate) const DOWN: &str = "down";
pub(crate) const UP: &str = "up";

/// Requests a second of the open loop: below what the slowest contender can do.
pub(crate) const OPEN_RATE: u32 = 1500;

pub(crate) const CASES: [Case; 7] = [
    case(GET_1, "GET of 1 KiB, 1 connection", 1, Body::Down(1024), Kind::Closed),
    case(GET_64, "GET of 1 KiB, 64 connections", 64, Body::Down(1024), Kind::Closed),
    case(GET_512, "GET of 1 KiB, 512 connections", 512, Body::Down(1024), Kind::Closed),
    case(
        OPEN_64,
        "GET of 1 KiB, 64 connections, 1500 requests a second",
        64,
        Body::Down(1024),
        Kind::Open(OPEN_RATE),
    ),
    case(POST, "POST of 16 KiB, 64 connections", 64, Body::Up(16 * 1024), Kind::Closed),
    Case {
        streams: true,
        ..case(DOWN, "64 MiB down, 1 stream", 1, Body::Down(64 * MIB), Kind::Once)
    },
    Case { streams: true, ..case(UP, "64 MiB up, 1 stream", 1, Body::Up(64 * MIB), Kind::Once) },
];

const fn case(
    key: &'static str,
    title: &'static str,
    clients: usize,
    body: Body,
    pace: Kind,
) -> Case {
    Case { key, title, clients, body, pace, streams: false }
}

impl Case {
    fn suits(&self, contender: Contender) -> bool {
        !(self.streams && contender.channel == Channel::Oblivious)
    }

    pub(crate) fn request(&self, plan: Plan) -> Result<Arc<Request>> {
        Ok(Arc::new(match self.body {
            Body::Down(length) => Request::down(length.min(plan.longest_body))?,
            Body::Up(length) => Request::up(length.min(plan.longest_body))?,
        }))
    }
}

/// How long things take.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) slice: Duration,
    /// At most so many connections, sessions and slow readers.
    pub(crate) most_clients: usize,
    /// In bytes.
    pub(crate) longest_body: u64,
    /// Requests whose system calls are counted.
    pub(crate) traced_requests: u64,
    /// Rounds of what happens in memory.
    pub(crate) micro_rounds: usize,
}

/// Connections that are opened at the same time.
const OPENING: usize = 16;

/// Opens so many connections, each with a session of its own.
pub(crate) async fn open(target: &Target, count: usize) -> Result<Vec<Connection>> {
    let mut tasks = JoinSet::new();
    for opener in 0..OPENING {
        let target = target.clone();
        tasks.spawn(async move {
            let mut connections = Vec::new();
            for _ in (opener..count).step_by(OPENING) {
                connections.push(Connection::open(&target).await?);
            }
            Ok::<_, Failure>(connections)
        });
    }
    let mut connections = Vec::with_capacity(count);
    while let Some(opened) = tasks.join_next().await {
        connections.extend(opened??);
    }
    Ok(connections)
}

/// Runs a case: in every round each contender has a slice, in a new order.
pub(crate) async fn take_turns(
    fleet: &mut Fleet,
    contenders: &[Contender],
    case: &Case,
    plan: Plan,
    figures: &mut Figures,
) -> Result<()> {
    let request = case.request(plan)?;
    let mut turns = Vec::new();
    for contender in contenders.iter().copied().filter(|contender| case.suits(*contender)) {
        let target = fleet.shared(contender).await?;
        let mut connections = open(&target, case.clients.min(plan.most_clients)).await?;
        // Connections to the app, buffers and caches are those of later.
        run(&mut connections, &request, Pace::Count(1)).await?;
        turns.push((contender, connections));
    }
    let pace = match case.pace {
        Kind::Closed => Pace::Closed(plan.slice),
        Kind::Once => Pace::Count(1),
        Kind::Open(rate) => Pace::Open(rate, plan.slice),
    };
    let mut rng = crate::steve::rng()?;
    for _ in 0..plan.rounds {
        turns.shuffle(&mut rng);
        for (contender, connections) in &mut turns {
            let server = fleet.server(contender.product)?;
            // Connections to the app may have been closed since the last turn.
            run(connections, &request, Pace::Count(1)).await?;
            let before = server.cpu();
            let slice = run(connections, &request, pace).await?;
            let cpu = server.cpu() - before;
            record(figures, case.key, *contender, &slice, cpu);
        }
    }
    Ok(())
}

/// Adds what a slice showed; `cpu` in nanoseconds.
pub(crate) fn record(
    figures: &mut Figures,
    case: &'static str,
    contender: Contender,
    slice: &Slice,
    cpu: u64,
) {
    let mut add = |metric, value| figures.add(case, contender.name, metric, value);
    let (requests, seconds) = (slice.requests as f64, slice.took.as_secs_f64());
    let long = slice.bytes > slice.requests * MIB;
    if long {
        add(Metric::Bytes, slice.bytes as f64 / seconds);
    } else {
        add(Metric::Rate, requests / seconds);
        add(Metric::P50, slice.latencies.percentile(50.0));
        add(Metric::P99, slice.latencies.percentile(99.0));
        add(Metric::P999, slice.latencies.percentile(99.9));
    }
    // The app is not measured: without a proxy there is nothing to say.
    if cpu > 0 && long {
        add(Metric::CpuByte, cpu as f64 / slice.bytes as f64);
    } else if cpu > 0 {
        add(Metric::CpuEach, cpu as f64 / 1000.0 / requests);
    }
}
