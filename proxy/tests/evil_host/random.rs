//! Random schedules.

use super::app::Mischief;
use super::caller::{Caller, Op, client};
use super::fault::{Before, Edit, FORGED, Fault, Kind, Route, Seen, What};
use super::host::Host;
use super::sim::{self, Dice};
use super::world::World;
use bytes::Bytes;
use futures_util::future::join_all;
use std::env;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use steve_sdk::default_suites;
use tokio::time::{sleep, timeout};

/// Schedules of all parts, unless `STEVE_EVIL_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 2000;
const PARTS: u64 = 4;
/// Schedules that share an app and a proxy, until one of them restarts it.
const WORLD: u64 = 50;

const OPS: [Op; 14] = [
    Op::Get,
    Op::Get,
    Op::Streamed,
    Op::Streamed,
    Op::Post,
    Op::Post,
    Op::Post,
    Op::Idempotent,
    Op::EarlyPost,
    Op::EarlyPost,
    Op::Upload,
    Op::Upload,
    Op::Upgrade,
    Op::Binding,
];

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// Runs every fourth schedule. The parts run at once.
fn part(part: u64) {
    let first = variable("STEVE_EVIL_SEED");
    let count = variable("STEVE_EVIL_SCHEDULES").unwrap_or(first.map_or(SCHEDULES, |_| 1));
    let first = first.unwrap_or(0);
    let seeds: Vec<_> = (first..first + count).filter(|seed| seed % PARTS == part).collect();
    if seeds.is_empty() {
        return;
    }
    let began = Instant::now();
    let mut sum = Sum::default();
    for seeds in seeds.chunks(WORLD as usize) {
        sim::run(async {
            let world = World::new(Mischief::None).await;
            for seed in seeds {
                schedule(&world, *seed, &mut sum).await;
            }
            sum.restarts += world.restarts.load(Relaxed);
        });
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{} schedules in {seconds:.1} s: {sum:?}", seeds.len());
}

#[derive(Debug, Default)]
struct Sum {
    calls: usize,
    succeeded: usize,
    executed_again: usize,
    exchanges: usize,
    evidence: usize,
    restarts: usize,
}

async fn schedule(world: &Arc<World>, seed: u64, sum: &mut Sum) {
    let mut dice = Dice::new(seed);
    let restarts = world.restarts.load(Relaxed);
    let malice = dice.pick(&[1, 2, 3, 6]);
    let faults = dice.clone();
    let host = Host::new(world, move |seen| {
        fault(&mut faults.fork(&format!("{:?}", seen.kind), seen.nth), seen, malice)
    });
    let early = !dice.once_in(3);
    let slow = dice.once_in(10);
    let client = client(world, &host, |builder| {
        let builder = builder.early_data(early);
        if slow { builder.suites(default_suites()) } else { builder }
    });
    let caller = Caller::new(client, &host, format!("{seed}"));
    for _ in 0..2 + dice.below(5) {
        let width = dice.pick(&[1, 1, 1, 2, 4]);
        let calls: Vec<_> = (0..width)
            .map(|_| {
                let op = if dice.once_in(40) { Op::Verify } else { dice.pick(&OPS) };
                let patience = dice.once_in(8).then(|| Duration::from_millis(dice.next() % 3000));
                let call = caller.call(op);
                async move {
                    match patience {
                        None => call.await.is_ok(),
                        Some(patience) => matches!(timeout(patience, call).await, Ok(Ok(()))),
                    }
                }
            })
            .collect();
        sum.calls += width;
        sum.succeeded += join_all(calls).await.into_iter().filter(|succeeded| *succeeded).count();
        // Also beyond the life of sessions, evidence and keys.
        let pause =
            dice.pick(&[0, 0, 0, 0, 5, 300, 2_000, 7_000, 30_000, 70_000, 100_000, 310_000]);
        sleep(Duration::from_millis(pause)).await;
    }
    host.stop().await;
    if dice.once_in(4) {
        host.repeat().await;
    }
    if dice.once_in(4) {
        host.repeat_together().await;
    }
    // A session ends at the proxy before it does at the client only if the proxy restarts.
    let is_whole = world.restarts.load(Relaxed) == restarts && !host.misled();
    let violations = caller.conclude(if is_whole { Op::Post } else { Op::Get }).await;
    host.hang_up();
    let recorded = host.recorded();
    sum.exchanges += recorded.len();
    sum.evidence += recorded.iter().filter(|one| one.kind == Kind::Evidence).count();
    sum.executed_again += caller.repeated();
    let repeat =
        format!("STEVE_EVIL_SEED={seed} cargo test -p steve-proxy --test evil_host random");
    caller.assert(&violations, &repeat);
}

fn fault(dice: &mut Dice, seen: &Seen, malice: usize) -> Fault {
    let mut fault = Fault::default();
    if !dice.once_in(malice) {
        return fault;
    }
    let pause = |dice: &mut Dice| {
        Duration::from_millis(dice.pick(&[1, 30, 500, 1_500, 7_000, 20_000, 31_000, 80_000]))
    };
    if dice.once_in(6) {
        fault.before.push(match dice.below(3) {
            0 => Before::Restart,
            1 => Before::Wait(pause(dice)),
            _ => Before::Replay(dice.below(100)),
        });
    }
    let (status, code) = dice.pick(&FORGED);
    fault.route = match dice.below(20) {
        0..2 => Route::Forge(status, code),
        2..4 => Route::Mask(status, code),
        4 => Route::Swallow,
        5 => Route::Hold(None),
        6 => Route::Hold(Some((status, code))),
        7..9 => Route::Twice { at_once: dice.once_in(2), answer: dice.below(2) },
        9 => Route::Swap(dice.below(10)),
        10 => Route::Other,
        11 if dice.once_in(3) => Route::Reflect,
        _ => Route::Forward,
    };
    for direction in 0..2 {
        if matches!(fault.route, Route::Forward | Route::Other) && dice.once_in(2) {
            let edit = Edit { at: place(dice, seen.kind), what: what(dice, pause) };
            *[&mut fault.request, &mut fault.response][direction] = Some(edit);
        }
    }
    fault
}

/// Where, with a preference for boundaries.
fn place(dice: &mut Dice, kind: Kind) -> usize {
    match kind {
        Kind::Evidence => dice.below(6000),
        Kind::Tunnel => dice.below(600),
        _ => match dice.below(4) {
            0 => dice.pick(&[0, 1, 4, 25, 29, 78, 80, 82, 84]),
            1 => dice.below(3000),
            _ => dice.below(400),
        },
    }
}

fn what(dice: &mut Dice, pause: impl Fn(&mut Dice) -> Duration) -> What {
    match dice.below(12) {
        0 | 1 => What::End,
        2 => What::Break,
        3 => What::Stall,
        4 => What::Wait(pause(dice)),
        5 | 6 => What::Flip(1 << dice.below(8)),
        7 => What::Insert(Bytes::from(vec![dice.next() as u8; 1 + dice.below(40)])),
        8 => What::Splice(dice.below(10)),
        9 => dice.pick(&[What::Drop, What::Repeat, What::Later]),
        10 => dice.pick(&[What::Reflect, What::Restart]),
        _ => What::Trickle,
    }
}

#[test]
fn random_schedules_0() {
    part(0);
}

#[test]
fn random_schedules_1() {
    part(1);
}

#[test]
fn random_schedules_2() {
    part(2);
}

#[test]
fn random_schedules_3() {
    part(3);
}
