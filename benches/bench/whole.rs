//! The whole benchmark, and the smoke test of it.

use crate::Result;
use crate::calls;
use crate::cases::{self, CASES, GET_1, GET_64, MIB, Plan};
use crate::contenders::{ALL, Contender, NGINX_AES, Product, STEVE_AES};
use crate::figures::{Figures, Metric};
use crate::fleet::Fleet;
use crate::frames::{self, LARGE, SMALL};
use crate::live::{self, LIVE};
use crate::memory;
use crate::process::{self, Side};
use crate::report::{Report, write};
use crate::setup::{self, Sample};
use crate::targets::{Alone, targets};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const PLAN: Plan = Plan {
    rounds: 5,
    slice: Duration::from_millis(500),
    most_clients: usize::MAX,
    longest_body: u64::MAX,
    traced_requests: 256,
    micro_rounds: 41,
};
const SMOKE: Plan = Plan {
    rounds: 1,
    slice: Duration::from_millis(60),
    most_clients: 16,
    longest_body: 4 * MIB,
    traced_requests: 32,
    micro_rounds: 1,
};

/// System calls of the proxy for a GET of 1 KiB over one connection, at most: somewhat above what
/// they are, since how often it is woken depends on the moment.
const MOST_CALLS: f64 = 12.0;

/// Everything, into `folder`.
pub(crate) async fn run(fleet: Fleet, folder: &Path, load: f64) -> Result<()> {
    let Measured { figures, alone, mut notes, failures } = all(fleet, PLAN).await?;
    notes.extend(failures);
    notes.push(match load {
        load if load > 0.5 => format!(
            "The machine was busy with other work (load average {load:.1} at the start): no figure \
             by itself means anything, and ratios less than on a quiet machine."
        ),
        load => format!("The machine was quiet (load average {load:.1} at the start)."),
    });
    let targets = targets(&figures, &alone);
    write(folder, &Report { figures, alone, targets, notes })
}

/// Every case once, briefly, with few clients: every answer is checked, and counts are.
pub(crate) async fn smoke(fleet: Fleet) -> Result<()> {
    let Measured { figures, alone, failures, .. } = all(fleet, SMOKE).await?;
    if !failures.is_empty() {
        return Err(failures.join(" ").into());
    }
    frames::check(&alone.counts)?;
    let calls = figures.median(GET_1, STEVE_AES, Metric::Calls).ok_or("no calls were counted")?;
    println!("system calls for a GET of 1 KiB, one connection: {calls:.1}");
    if calls > MOST_CALLS {
        return Err(format!("more than {MOST_CALLS} system calls for a request").into());
    }
    match targets(&figures, &alone).into_iter().find(|target| target.value.is_none()) {
        Some(target) => Err(format!("nothing was measured for: {}", target.what).into()),
        None => Ok(()),
    }
}

struct Measured {
    figures: Figures,
    alone: Alone,
    /// Sentences on the run.
    notes: Vec<String>,
    /// What was left out or broke off.
    failures: Vec<String>,
}

async fn all(mut fleet: Fleet, plan: Plan) -> Result<Measured> {
    let (begun, mut figures, mut failures) = (Instant::now(), Figures::default(), Vec::new());
    let mut contenders: Vec<Contender> = Vec::new();
    for contender in ALL {
        match fleet.missing(contender.product) {
            None => contenders.push(contender),
            Some(why) => failures.push(format!("{} is left out: {why}.", contender.name)),
        }
    }
    let notes = vec![match (process::core(Side::Own), process::core(Side::Contender)) {
        (Some(own), Some(other)) => {
            format!("Generator and app were on core {own}, what is measured on core {other}.")
        }
        _ => "There was one core only: nothing was pinned.".to_owned(),
    }];
    let say = |what: &str| println!("{:4} s  {what}", begun.elapsed().as_secs());
    let mut keep = |title: &str, result: Result<()>| {
        if let Err(error) = result {
            let failure = format!("{title}: broke off: {error}.");
            println!("{failure}");
            failures.push(failure);
        }
    };
    for case in &CASES {
        say(case.title);
        let turns = cases::take_turns(&mut fleet, &contenders, case, plan, &mut figures);
        keep(case.title, turns.await);
    }
    for (case, title) in LIVE {
        say(title);
        let turns = live::take_turns(&mut fleet, &contenders, case, plan, &mut figures);
        keep(title, turns.await);
    }
    for case in CASES.iter().filter(|case| [GET_1, GET_64].contains(&case.key)) {
        say(&format!("system calls, {}", case.title));
        for contender in &contenders {
            let calls = calls::measure(&mut fleet, *contender, case, plan, &mut figures).await;
            keep("system calls", calls);
        }
    }
    say("1,000 slow readers, then 10,000 connections with a session each");
    let by_memory = |contender: &&Contender| match contender.product {
        Product::Nginx => contender.name == NGINX_AES,
        Product::Steve => contender.name == STEVE_AES,
        product => matches!(product, Product::Caddy | Product::Rustls),
    };
    for contender in contenders.iter().filter(by_memory) {
        let memory = memory::measure(&fleet, *contender, plan, &mut figures).await;
        keep("memory", memory);
    }
    say("1 to 100,000 sessions");
    for contender in contenders.iter().filter(|contender| contender.name == STEVE_AES) {
        keep("sessions", memory::sessions(&fleet, *contender, plan, &mut figures).await);
    }
    say("frames and handshakes in memory");
    let alone = in_memory(&fleet.sample().await?, plan)?;
    say("done");
    Ok(Measured { figures, alone, notes, failures })
}

fn in_memory(sample: &Sample, plan: Plan) -> Result<Alone> {
    let mut times = Vec::new();
    for suite in frames::SUITES {
        for length in [SMALL, LARGE] {
            times.push(frames::times(suite, length, plan.micro_rounds)?);
        }
    }
    let counts = frames::counts(frames::SUITES[0])?;
    let setup = setup::measure(sample, plan.micro_rounds.min(11))?;
    Ok(Alone { times, counts, setup })
}
