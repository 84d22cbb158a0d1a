//! Every byte and every bit of short exchanges.

use super::bench::Bench;
use super::caller::Op;
use super::fault::{Fault, Kind, What};
use super::sim;

/// Edits one direction of the next exchange of a kind.
type Side = fn(usize, What) -> Fault;
const SIDES: [Side; 2] = [Fault::request, Fault::response];

/// What is done, where, and whether the call must fail then.
struct Sweep {
    kind: Kind,
    op: Op,
    step: usize,
    /// Setup is repeated by itself, and so are safe requests.
    must_fail: bool,
}

impl Sweep {
    /// Does each of `whats` at every `step`th byte of both directions.
    async fn run(self, bench: &Bench, whats: &[What]) -> usize {
        let Self { kind, op, step, must_fail } = self;
        if kind != Kind::Tunnel {
            for _ in 0..12 {
                bench.caller.call(op).await.unwrap();
                if matches!(kind, Kind::Hello | Kind::Early) {
                    bench.end_session().await;
                }
            }
        }
        let lengths = match kind {
            Kind::Tunnel => [900, 500],
            _ => bench.lengths(kind),
        };
        let mut done = 0;
        for (side, length) in SIDES.into_iter().zip(lengths) {
            for at in (0..length).step_by(step) {
                for what in whats {
                    let case = bench.fault(kind, side(at, what.clone()), op).await;
                    done += usize::from(case.edited);
                    assert!(
                        !(must_fail && case.edited && case.result.is_ok()),
                        "{kind:?} {op:?}: nobody notices {what:?} at {at} of {length}"
                    );
                    bench.assert();
                    if matches!(kind, Kind::Hello | Kind::Early) && case.result.is_ok() {
                        bench.end_session().await;
                    }
                }
            }
        }
        done
    }
}

const FLIPS: [What; 8] = [
    What::Flip(1),
    What::Flip(2),
    What::Flip(4),
    What::Flip(8),
    What::Flip(16),
    What::Flip(32),
    What::Flip(64),
    What::Flip(128),
];

fn sweep(early: bool, sweep: Sweep, whats: &[What]) {
    let (kind, op) = (sweep.kind, sweep.op);
    sim::run(async {
        let world = super::world::World::new(Default::default()).await;
        let bench = Bench::with(world, |builder| builder.early_data(early)).await;
        let done = sweep.run(&bench, whats).await;
        assert!(done > 0, "no edit was ever reached");
        println!("{done} edits of {kind:?}, {op:?}");
        bench.conclude().await;
    });
}

#[test]
fn row_06_a_stream_is_cut_at_every_byte() {
    let stream = Sweep { kind: Kind::Stream, op: Op::Post, step: 1, must_fail: true };
    sweep(false, stream, &[What::End, What::Break]);
}

#[test]
fn row_06_a_response_in_pieces_is_cut_at_every_byte() {
    let stream = Sweep { kind: Kind::Stream, op: Op::Upload, step: 2, must_fail: true };
    sweep(false, stream, &[What::End]);
}

#[test]
fn row_05_pieces_are_lost_or_come_in_another_order() {
    let stream = Sweep { kind: Kind::Stream, op: Op::Upload, step: 3, must_fail: true };
    sweep(false, stream, &[What::Drop, What::Later]);
}

#[test]
fn row_05_pieces_come_twice() {
    // What follows the end is ignored.
    let stream = Sweep { kind: Kind::Stream, op: Op::Upload, step: 3, must_fail: false };
    sweep(false, stream, &[What::Repeat]);
}

#[test]
fn row_06_a_silent_host_is_given_up() {
    let stream = Sweep { kind: Kind::Stream, op: Op::Post, step: 5, must_fail: true };
    sweep(false, stream, &[What::Stall]);
}

#[test]
fn row_06_an_upgraded_connection_is_cut() {
    let tunnel = Sweep { kind: Kind::Tunnel, op: Op::Upgrade, step: 11, must_fail: false };
    sweep(false, tunnel, &[What::End, What::Break, What::Stall, What::Reflect]);
}

#[test]
fn row_06_handshakes_are_cut_at_every_byte() {
    let hello = Sweep { kind: Kind::Hello, op: Op::Post, step: 1, must_fail: false };
    sweep(false, hello, &[What::End, What::Break]);
}

#[test]
fn row_07_early_requests_are_cut_at_every_byte() {
    let early = Sweep { kind: Kind::Early, op: Op::EarlyPost, step: 1, must_fail: true };
    sweep(true, early, &[What::End]);
}

#[test]
fn row_05_every_bit_of_a_request_and_its_response_counts() {
    let stream = Sweep { kind: Kind::Stream, op: Op::Post, step: 1, must_fail: true };
    sweep(false, stream, &FLIPS);
}

#[test]
fn row_05_every_bit_of_a_handshake_counts() {
    let hello = Sweep { kind: Kind::Hello, op: Op::Post, step: 1, must_fail: false };
    sweep(false, hello, &FLIPS);
}

#[test]
fn row_07_every_bit_of_an_early_request_counts() {
    let early = Sweep { kind: Kind::Early, op: Op::EarlyPost, step: 3, must_fail: true };
    sweep(true, early, &FLIPS);
}

#[test]
fn bits_of_evidence_count() {
    sim::run(async {
        let bench = Bench::new().await;
        bench.fault(Kind::Evidence, Fault::default(), Op::Verify).await.result.unwrap();
        let [request, response] = bench.lengths(Kind::Evidence);
        for (side, length, step) in [(SIDES[0], request, 3), (SIDES[1], response, 29)] {
            for at in (0..length).step_by(step) {
                let flip = side(at, What::Flip(1 << (at % 8)));
                let case = bench.fault(Kind::Evidence, flip, Op::Verify).await;
                assert!(case.result.is_err(), "nobody notices a change at {at} of {length}");
            }
        }
        bench.conclude().await;
    });
}
