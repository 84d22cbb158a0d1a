//! Every forged status, restart, swap, splice and replay at every step of a conversation.

use super::app::Mischief;
use super::bench::Bench;
use super::caller::{Caller, Op};
use super::fault::{Before, Edit, FORGED, Fault, Kind, Route, What};
use super::sim;
use super::world::World;
use std::time::Duration;
use tokio::time::sleep;

/// The steps of a conversation: what is sent, and a call that sends it. `true`: early requests are on.
const STEPS: [(Kind, Op, bool); 13] = [
    (Kind::Evidence, Op::Post, false),
    (Kind::Evidence, Op::EarlyPost, true),
    (Kind::Hello, Op::Get, false),
    (Kind::Hello, Op::Post, false),
    (Kind::Early, Op::Get, true),
    (Kind::Early, Op::EarlyPost, true),
    (Kind::Stream, Op::Get, false),
    (Kind::Stream, Op::Post, false),
    (Kind::Stream, Op::Streamed, false),
    (Kind::Stream, Op::Upload, false),
    (Kind::Stream, Op::Idempotent, false),
    (Kind::Tunnel, Op::Upgrade, false),
    (Kind::Stream, Op::Binding, false),
];

/// Does every fault that `faults` gives at every step, with a new client each time. Gives how many
/// there were.
fn at_every_step(faults: impl Fn(Kind) -> Vec<Fault>) {
    sim::run(async {
        let world = World::new(Mischief::None).await;
        let mut done = 0;
        for (kind, op, early) in STEPS {
            for fault in faults(kind) {
                let bench = Bench::with(world.clone(), |builder| builder.early_data(early)).await;
                let name = format!("step-{done:05}");
                let caller = bench.caller(&name, early);
                let case = bench.faults(&caller, vec![(kind, fault)], op).await;
                sleep(Duration::from_millis(10)).await;
                bench.host.stop().await;
                bench.host.repeat().await;
                let violations = caller.conclude(Op::Get).await;
                caller.assert(&violations, "");
                assert!(case.record.executed <= 3);
                bench.host.hang_up();
                done += 1;
            }
        }
        println!("{done} faults");
    });
}

#[test]
fn row_08_every_status_is_forged_at_every_step() {
    at_every_step(|_| FORGED.map(|(status, code)| Fault::route(Route::Forge(status, code))).into());
}

#[test]
fn row_08_every_status_is_forged_after_the_app_has_answered() {
    at_every_step(|_| FORGED.map(|(status, code)| Fault::route(Route::Mask(status, code))).into());
}

/// The request reaches the proxy when its client has long been told something else.
#[test]
fn row_08_every_status_is_forged_and_the_request_released_late() {
    at_every_step(|_| {
        FORGED.map(|(status, code)| Fault::route(Route::Hold(Some((status, code))))).into()
    });
}

#[test]
fn row_08_the_proxy_restarts_at_every_step() {
    at_every_step(|_| {
        let places = [0, 1, 26, 40, 90, 150, 400];
        let edit = |at| Some(Edit { at, what: What::Restart });
        let requests = places.map(|at| Fault { request: edit(at), ..Fault::default() });
        let responses = places.map(|at| Fault { response: edit(at), ..Fault::default() });
        let mut faults = vec![Fault::before(Before::Restart)];
        faults.extend(requests);
        faults.extend(responses);
        faults
    });
}

#[test]
fn row_07_everything_is_delivered_twice_at_every_step() {
    at_every_step(|_| {
        let copies = [(false, 0), (false, 1), (true, 0), (true, 1)];
        copies.map(|(at_once, answer)| Fault::route(Route::Twice { at_once, answer })).into()
    });
}

#[test]
fn row_01_every_step_goes_to_another_genuine_proxy() {
    at_every_step(|_| vec![Fault::route(Route::Other)]);
    // Several steps of one conversation.
    sim::run(async {
        let world = World::new(Mischief::None).await;
        let kinds = [Kind::Evidence, Kind::Hello, Kind::Early, Kind::Stream];
        for chosen in 0..1 << kinds.len() {
            for early in [false, true] {
                let bench = Bench::with(world.clone(), |builder| builder).await;
                let caller = bench.caller(&format!("other-{chosen:05}-{early}"), early);
                let chosen = kinds.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
                let faults = chosen.map(|(_, kind)| (*kind, Fault::route(Route::Other))).collect();
                bench.faults(&caller, faults, Op::EarlyPost).await.result.unwrap_or_default();
                bench.host.stop().await;
                caller.assert(&caller.conclude(Op::Get).await, "");
            }
        }
    });
}

#[test]
fn row_32_a_silent_or_slow_host_hangs_nothing() {
    at_every_step(|_| {
        let wait = |seconds| Before::Wait(Duration::from_secs(seconds));
        vec![
            Fault::route(Route::Hold(None)),
            Fault::route(Route::Swallow),
            Fault::response(0, What::Stall),
            Fault::response(60, What::Stall),
            Fault::request(0, What::Stall),
            Fault::request(60, What::Stall),
            Fault::before(wait(2)),
            Fault::before(wait(24)),
            Fault::before(wait(100)),
            Fault::response(30, What::Wait(Duration::from_secs(5))),
            Fault::response(0, What::Trickle),
            Fault::request(0, What::Trickle),
        ]
    });
}

/// Answers and requests of other streams, sessions and directions.
#[test]
fn row_05_streams_and_sessions_are_spliced() {
    sim::run(async {
        let bench = Bench::new().await;
        let callers: [Caller; 2] = ["a", "b"].map(|name| bench.caller(name, false));
        for caller in &callers {
            for op in [Op::Post, Op::Get, Op::Upload] {
                caller.call(op).await.unwrap();
            }
        }
        // Six streams of two sessions are on record; the seventh is the request's own.
        for n in 0..7 {
            let mut faults = vec![Fault::route(Route::Swap(n)), Fault::route(Route::Reflect)];
            for at in [0, 1, 4, 17, 25, 29, 45, 60, 100, 150, 220] {
                faults.push(Fault::request(at, What::Splice(n)));
                faults.push(Fault::response(at, What::Splice(n)));
                faults.push(Fault::request(at, What::Reflect));
                faults.push(Fault::response(at, What::Reflect));
            }
            for fault in faults {
                for caller in &callers {
                    let what = format!("{fault:?}");
                    let swaps = matches!(fault.route, Route::Swap(_) | Route::Reflect);
                    let fault = vec![(Kind::Stream, fault.clone())];
                    let case = bench.faults(caller, fault, Op::Post).await;
                    assert!(case.result.is_err() || !(case.edited || swaps), "{what} is accepted");
                    caller.assert(&caller.check(), &what);
                }
            }
        }
        for caller in &callers {
            caller.assert(&caller.conclude(Op::Get).await, "");
        }
        bench.conclude().await;
    });
}

#[test]
fn row_03_old_evidence_and_old_handshakes_are_replayed() {
    sim::run(async {
        let bench = Bench::new().await;
        bench.caller.call(Op::Post).await.unwrap();
        for kind in [Kind::Evidence, Kind::Hello] {
            for n in 0..2 {
                let caller = bench.caller(&format!("replay-{kind:?}-{n}"), false);
                let fault = vec![(kind, Fault::route(Route::Swap(n)))];
                assert!(bench.faults(&caller, fault, Op::Post).await.result.is_err());
                caller.assert(&caller.conclude(Op::Get).await, "");
            }
        }
        bench.conclude().await;
    });
}

/// A whole conversation is delivered again: at once, later, and when the keys have changed.
#[test]
fn row_07_whole_conversations_are_replayed() {
    sim::run(async {
        let bench = Bench::new().await;
        let callers = [bench.caller("late", true), bench.caller("plain", false)];
        let ops = [Op::EarlyPost, Op::Get, Op::Post, Op::Streamed, Op::Upload, Op::Idempotent];
        for caller in &callers {
            for op in ops {
                caller
                    .call(op)
                    .await
                    .unwrap_or_else(|error| panic!("{error}\n{}", bench.host.log().join("\n")));
            }
        }
        for seconds in [0, 1, 40, 100, 250, 600] {
            sleep(Duration::from_secs(seconds)).await;
            bench.host.repeat().await;
            bench.host.repeat_together().await;
            for caller in &callers {
                assert_eq!(caller.repeated(), 0, "after {seconds} s");
            }
        }
        bench.host.stop().await;
        for caller in &callers {
            caller.assert(&caller.conclude(Op::Get).await, "");
        }
    });
}

/// The proxy drops sessions that are not used at once; their clients know that.
#[test]
fn a_session_that_was_made_in_advance_is_renewed() {
    sim::run(async {
        for seconds in [1, 20, 31, 59, 61, 80, 100] {
            let bench = Bench::new().await;
            bench.caller.call(Op::Binding).await.unwrap();
            sleep(Duration::from_secs(seconds)).await;
            bench.caller.call(Op::Post).await.unwrap();
        }
    });
}

/// Nothing fails with a host that is slow at most, whatever ends meanwhile: sessions, evidence, keys.
#[test]
fn an_honest_host_disturbs_nothing() {
    sim::run(async {
        for early in [false, true] {
            let world = World::new(Mischief::None).await;
            let bench = Bench::with(world, |builder| builder.early_data(early)).await;
            bench.host.plan(|seen| match seen.nth % 3 {
                0 => Fault::default(),
                1 => Fault::response(0, What::Trickle),
                _ => Fault::request(10, What::Wait(Duration::from_millis(400))),
            });
            let ops = [
                Op::Get,
                Op::Post,
                Op::EarlyPost,
                Op::Streamed,
                Op::Upload,
                Op::Upgrade,
                Op::Binding,
                Op::Idempotent,
            ];
            for (n, seconds) in
                (0..120).zip([0, 3, 29, 31, 59, 61, 89, 121, 179, 239, 301].into_iter().cycle())
            {
                bench
                    .caller
                    .call(ops[n % ops.len()])
                    .await
                    .unwrap_or_else(|error| panic!("{error}\n{}", bench.host.log().join("\n")));
                bench.assert();
                sleep(Duration::from_secs(seconds)).await;
            }
            bench.conclude().await;
            bench.host.hang_up();
        }
    });
}
