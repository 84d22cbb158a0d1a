//! What sessions and slow readers take, and whether the cost of a request depends on how many
//! sessions there are. Every figure has a program of its own, started for it.

use crate::cases::{MIB, Plan, open};
use crate::channel::Target;
use crate::connection::Connection;
use crate::contenders::{Contender, Product};
use crate::figures::{Figures, Metric};
use crate::fleet::{Fleet, Server};
use crate::load::{Pace, run};
use crate::request::Request;
use crate::{Failure, Result};
use std::sync::Arc;
use std::time::Duration;
use steve_protocol::session::ClientSession;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

pub(crate) const CONNECTED: &str = "connected";
pub(crate) const IDLE: &str = "idle-sessions";
pub(crate) const SLOW: &str = "slow";
pub(crate) const FLAT: [(&str, usize); 4] =
    [("flat-1", 1), ("flat-1k", 1000), ("flat-10k", 10_000), ("flat-100k", 100_000)];
/// The proxy with one session that is compared with.
pub(crate) const ONE_SESSION: &str = "1 session";
pub(crate) const MANY_SESSIONS: &str = "many sessions";

const SESSIONS: usize = 10_000;
const READERS: usize = 1000;
/// A slow reader takes so much, so often.
const SIP: usize = 16 * 1024;
const SIPS: usize = 10;
const PAUSE: Duration = Duration::from_millis(150);
/// Connections over which sessions are made and used.
const CARRIERS: usize = 8;

fn resident(server: &Server) -> (u64, u64) {
    server.program.as_ref().map_or((0, 0), |program| program.memory())
}

/// 1,000 slow readers, then 10,000 connections with a session each, at a fresh program.
pub(crate) async fn measure(
    fleet: &Fleet,
    contender: Contender,
    plan: Plan,
    figures: &mut Figures,
) -> Result<()> {
    let server = fleet.launch(contender.product)?;
    let target = fleet.target(contender, &server).await?;
    let request = Arc::new(Request::down(1024)?);
    let mut add = |case, metric, value: f64| figures.add(case, contender.name, metric, value);

    let mut connections = open(&target, READERS.min(plan.most_clients)).await?;
    let readers = connections.len();
    run(&mut connections, &request, Pace::Count(2)).await?;
    let before = resident(&server).0;
    let most = slow_readers(connections, &server).await?;
    add(SLOW, Metric::MemoryEach, most.saturating_sub(before) as f64 / readers as f64);
    add(SLOW, Metric::PeakResident, resident(&server).1 as f64);
    drop(server);

    let server = fleet.launch(contender.product)?;
    let target = fleet.target(contender, &server).await?;
    open(&target, 1).await?[0].exchange(&request).await?;
    let before = resident(&server).0;
    let mut connections = open(&target, SESSIONS.min(plan.most_clients)).await?;
    for connection in &mut connections {
        connection.exchange(&request).await?;
    }
    let (now, peak) = resident(&server);
    let each = now.saturating_sub(before) as f64 / connections.len() as f64;
    add(CONNECTED, Metric::MemoryEach, each);
    add(CONNECTED, Metric::Resident, now as f64);
    add(CONNECTED, Metric::PeakResident, peak as f64);
    Ok(())
}

/// Sends a request for 64 MiB on every connection, and reads little of the answers. Gives the most
/// that was resident.
async fn slow_readers(connections: Vec<Connection>, server: &Server) -> Result<u64> {
    let request = Arc::new(Request::down(64 * MIB)?);
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let request = request.clone();
        tasks.spawn(async move {
            connection.send(&request).await?;
            let mut io = connection.into_io();
            let mut sip = vec![0; SIP];
            for _ in 0..SIPS {
                tokio::time::sleep(PAUSE).await;
                io.read_exact(&mut sip).await?;
            }
            Ok::<_, Failure>(io)
        });
    }
    let (mut most, mut held) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        held.push(done??);
        if held.len() % 64 == 1 {
            most = most.max(resident(server).0);
        }
    }
    Ok(most.max(resident(server).0))
}

/// Sessions without connections: what each takes, and what requests cost beside them.
pub(crate) async fn sessions(
    fleet: &Fleet,
    contender: Contender,
    plan: Plan,
    figures: &mut Figures,
) -> Result<()> {
    if contender.product != Product::Steve {
        return Ok(());
    }
    let one = fleet.launch(contender.product)?;
    let one_target = fleet.target(contender, &one).await?;
    let mut alone = open(&one_target, 1).await?;
    let many = fleet.launch(contender.product)?;
    let target = fleet.target(contender, &many).await?;
    let mut carriers = open(&target, CARRIERS).await?;
    let request = Arc::new(Request::down(1024)?);
    let mut sessions = Vec::new();
    grow(&mut carriers, &target, &request, &mut sessions, 1).await?;
    // Both programs alike before anything is compared.
    run(&mut alone, &request, Pace::Count(500)).await?;
    run(&mut carriers, &request, Pace::Count(100)).await?;
    let before = resident(&many).0;
    for (case, count) in FLAT {
        let count = count.min(plan.most_clients);
        grow(&mut carriers, &target, &request, &mut sessions, count).await?;
        if case == FLAT[2].0 {
            let grown = resident(&many).0.saturating_sub(before) as f64;
            let each = grown / sessions.len() as f64;
            figures.add(IDLE, contender.name, Metric::MemoryEach, each);
        }
        for _ in 0..plan.rounds {
            let cpu = one.cpu();
            let slice = run(&mut alone, &request, Pace::Closed(plan.slice / 2)).await?;
            let each = (one.cpu() - cpu) as f64 / 1000.0 / slice.requests as f64;
            figures.add(case, ONE_SESSION, Metric::CpuEach, each);
            let cpu = many.cpu();
            let requests = roam(&mut carriers[0], &sessions, &request, plan).await?;
            let each = (many.cpu() - cpu) as f64 / 1000.0 / requests as f64;
            figures.add(case, MANY_SESSIONS, Metric::CpuEach, each);
        }
    }
    Ok(())
}

/// Makes sessions until there are `count`. Each has had a request, so that the proxy keeps it.
async fn grow(
    carriers: &mut Vec<Connection>,
    target: &Target,
    request: &Arc<Request>,
    sessions: &mut Vec<Arc<ClientSession>>,
    count: usize,
) -> Result<()> {
    let missing = count.saturating_sub(sessions.len());
    let mut tasks = JoinSet::new();
    for (index, mut carrier) in carriers.drain(..).enumerate() {
        let (target, request) = (target.clone(), request.clone());
        tasks.spawn(async move {
            let mut made = Vec::new();
            for _ in (index..missing).step_by(CARRIERS) {
                made.push(carrier.renew(&target).await?);
                carrier.exchange(&request).await?;
            }
            Ok::<_, Failure>((carrier, made))
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (carrier, made) = done??;
        carriers.push(carrier);
        sessions.extend(made);
    }
    Ok(())
}

/// Requests over one connection, each of another session.
async fn roam(
    carrier: &mut Connection,
    sessions: &[Arc<ClientSession>],
    request: &Request,
    plan: Plan,
) -> Result<u64> {
    let (begun, mut requests) = (std::time::Instant::now(), 0);
    while begun.elapsed() < plan.slice / 2 {
        // Far apart, so that no cache holds the next one.
        let index = (requests as usize).wrapping_mul(7919) % sessions.len();
        carrier.use_session(sessions[index].clone());
        carrier.exchange(request).await?;
        requests += 1;
    }
    Ok(requests)
}
