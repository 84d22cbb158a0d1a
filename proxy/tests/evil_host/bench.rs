//! One client and one fault at a time.

use super::app::{Mischief, Record};
use super::caller::{Caller, Op, client};
use super::fault::{Fault, Kind, Route};
use super::host::Host;
use super::world::World;
use std::sync::Arc;
use steve_sdk::ClientBuilder;

pub struct Bench {
    pub world: Arc<World>,
    pub host: Arc<Host>,
    pub caller: Caller,
}

/// How one call with one fault went.
pub struct Case {
    pub result: Result<(), String>,
    /// The place of the edit was reached.
    pub edited: bool,
    pub record: Record,
}

impl Bench {
    /// No early requests, unless they are asked for.
    pub async fn new() -> Self {
        Self::with(World::new(Mischief::None).await, |builder| builder.early_data(false)).await
    }

    pub async fn with(
        world: Arc<World>,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        let host = Host::new(&world, |_| Fault::default());
        let caller = Caller::new(client(&world, &host, change), &host, "one");
        Self { world, host, caller }
    }

    /// One more client of the same host.
    pub fn caller(&self, name: &str, early: bool) -> Caller {
        let client = client(&self.world, &self.host, |builder| builder.early_data(early));
        Caller::new(client, &self.host, name)
    }

    /// `op`, with `fault` for the next exchange of `kind` alone.
    pub async fn fault(&self, kind: Kind, fault: Fault, op: Op) -> Case {
        self.faults(&self.caller, vec![(kind, fault)], op).await
    }

    /// `op`, with each fault for the next exchange of its kind.
    pub async fn faults(&self, caller: &Caller, faults: Vec<(Kind, Fault)>, op: Op) -> Case {
        let before = self.host.edits();
        let mut faults = faults;
        self.host.plan(move |seen| {
            let found = faults.iter().position(|(kind, _)| *kind == seen.kind);
            found.map(|at| faults.remove(at).1).unwrap_or_default()
        });
        let result = caller.call(op).await;
        self.host.plan(|_| Fault::default());
        Case { result, edited: self.host.edits() > before, record: caller.last() }
    }

    /// The next request needs a handshake; evidence stays.
    pub async fn end_session(&self) {
        self.fault(Kind::Stream, Fault::route(Route::Forge(422, "unrecognized")), Op::Post).await;
    }

    /// The longest bodies of a kind so far: request and response.
    pub fn lengths(&self, kind: Kind) -> [usize; 2] {
        let recorded = self.host.recorded();
        let of_kind = recorded.iter().filter(|one| one.kind == kind);
        of_kind.fold([0, 0], |[request, response], one| {
            [request.max(one.request.len()), response.max(one.response.len())]
        })
    }

    /// Fails if anything was violated, now or once all is delivered again.
    pub async fn conclude(&self) {
        self.assert();
        self.host.stop().await;
        self.host.repeat().await;
        let violations = self.caller.conclude(Op::Get).await;
        self.caller.assert(&violations, "");
    }

    pub fn assert(&self) {
        self.caller.assert(&self.caller.check(), "");
    }
}
