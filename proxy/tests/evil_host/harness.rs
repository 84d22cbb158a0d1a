//! The harness reports what it is there to report.

use super::app::{App, CANARY, Mischief};
use super::bench::Bench;
use super::caller::{Caller, Op, client};
use super::fault::{Fault, Kind, Route};
use super::host::Host;
use super::sim;
use super::world::World;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// All that the harness says about `op` with an app of this kind.
fn with_app(mischief: Mischief, op: Op) -> Vec<String> {
    sim::run(async {
        let world = World::new(mischief).await;
        let bench = Bench::with(world, |builder| builder).await;
        let _ = bench.caller.call(op).await;
        bench.caller.check()
    })
}

fn says(violations: &[String], what: &str) -> bool {
    violations.iter().any(|violation| violation.contains(what))
}

#[test]
fn an_honest_app_is_not_blamed() {
    for op in [Op::Get, Op::Streamed, Op::Post, Op::EarlyPost, Op::Upload, Op::Upgrade] {
        assert_eq!(with_app(Mischief::None, op), [""; 0]);
    }
}

#[test]
fn bytes_that_the_app_should_not_have_sent_are_reported() {
    for op in [Op::Get, Op::Streamed, Op::Post, Op::EarlyPost, Op::Upload] {
        assert!(says(&with_app(Mischief::OtherByte, op), "the app sent another body"), "{op:?}");
        assert!(says(&with_app(Mischief::OtherField, op), "the app gave no such head"), "{op:?}");
        assert!(
            says(&with_app(Mischief::Short, op), "another body")
                || says(&with_app(Mischief::Short, op), "early"),
            "{op:?}"
        );
    }
}

/// The root's key is all there is to being genuine: its holder can answer in the app's place.
#[test]
fn an_answer_of_another_app_is_reported() {
    sim::run(async {
        let (app, other) = (App::start(Mischief::None).await, App::start(Mischief::None).await);
        let world = World::with_other_app(app, other).await;
        let bench = Bench::with(world, |builder| builder.early_data(false)).await;
        let kinds = [Kind::Evidence, Kind::Hello, Kind::Stream];
        let faults = kinds.map(|kind| (kind, Fault::route(Route::Other))).to_vec();
        let case = bench.faults(&bench.caller, faults, Op::Post).await;
        assert_eq!((case.result, case.record.executed), (Ok(()), 0));
        assert!(says(&bench.caller.check(), "the app gave no such head"));
    });
}

/// What may be repeated is seen to be.
#[test]
fn repetitions_are_reported() {
    sim::run(async {
        let world = World::new(Mischief::None).await;
        let host = Host::new(&world, |_| Fault::default());
        let sdk = client(&world, &host, |builder| builder.early_data(false));
        let caller = Caller::new(sdk, &host, "strict").strict();
        host.plan(|seen| match (seen.kind, seen.nth) {
            (Kind::Stream, 0) => Fault::route(Route::Mask(503, "unavailable")),
            _ => Fault::default(),
        });
        caller.call(Op::Idempotent).await.unwrap();
        assert_eq!(caller.last().executed, 2);
        assert_eq!(caller.repeated(), 1);
        assert!(says(&caller.check(), "reached the app too often"));
    });
}

#[test]
fn a_call_without_an_end_is_reported() {
    sim::run(async {
        let world = World::new(Mischief::None).await;
        let bench = Bench::with(world, |builder| {
            builder.early_data(false).request_timeout(Duration::from_secs(3600))
        })
        .await;
        bench.fault(Kind::Stream, Fault::route(Route::Hold(None)), Op::Post).await;
        assert!(says(&bench.caller.check(), "takes longer than"));
    });
}

#[test]
fn a_failure_without_a_cause_is_reported() {
    sim::run(async {
        let bench = Bench::new().await;
        bench.host.plan(|_| Fault::route(Route::Forge(503, "unavailable")));
        assert!(says(&bench.caller.conclude(Op::Get).await, "although nobody interferes"));
    });
}

#[test]
fn plaintext_on_the_wire_is_reported() {
    for cut in 0..=CANARY.len() {
        sim::run(async {
            let bench = Bench::new().await;
            assert_eq!(bench.caller.check(), [""; 0]);
            let mut io = bench.host.accept();
            let (first, second) = CANARY.split_at(cut);
            io.write_all(b"POST /C").await.unwrap();
            io.write_all(first.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            io.write_all(second.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(says(&bench.caller.check(), "plaintext"));
        });
    }
}
