//! The whole benchmark, and the smoke test of it.

use crate::calls;
use crate::cases::{self, CASES, GET_1, GET_64, Plan};
use crate::contenders::{ALL, Contender, NGINX_AES, Product, STEVE_AES};
use crate::figures::{Figures, Metric};
use crate::fleet::Fleet;
use crate::frames::{self, LARGE, SMALL};
use crate::live::{self, LIVE};
use crate::memory;
use crate::report::{Report, write};
use crate::setup;
use crate::targets::{Alone, targets};
use crate::{Result, process};
use std::path::Path;
use std::time::{Duration, Instant};

const PLAN: Plan = Plan {
    rounds: 5,
    slice: Duration::from_millis(500),
    most_clients: usize::MAX,
    micro_rounds: 41,
};
const SMOKE: Plan =
    Plan { rounds: 1, slice: Duration::from_millis(60), most_clients: 16, micro_rounds: 1 };

/// System calls of the proxy for a GET of 1 KiB over one connection, at most: somewhat above what they
/// are, since how often it is woken depends on the moment.
const MOST_CALLS: f64 = 16.0;

/// Everything, into `folder`.
pub(crate) async fn run(fleet: Fleet, folder: &Path, load: f64) -> Result<()> {
    let (figures, alone, mut notes) = all(fleet, PLAN).await?;
    notes.push(match load {
        load if load > 0.5 => format!(
            "The machine was busy with other work (load average {load:.1} at the start): no figure by \
             itself means anything, and ratios less than on a quiet machine."
        ),
        load => format!("The machine was quiet (load average {load:.1} at the start)."),
    });
    let targets = targets(&figures, &alone);
    write(folder, &Report { figures, alone, targets, notes })
}

/// Every case once, briefly, with few clients: every answer is checked, and counts are.
pub(crate) async fn smoke(fleet: Fleet) -> Result<()> {
    let (figures, alone, notes) = all(fleet, SMOKE).await?;
    frames::check(&alone.counts)?;
    let missing: Vec<_> =
        targets(&figures, &alone).into_iter().filter(|target| target.value.is_none()).collect();
    if let Some(target) = missing.first() {
        return Err(format!("nothing was measured for: {} {notes:?}", target.what).into());
    }
    let calls = figures.median(GET_1, STEVE_AES, Metric::Calls);
    println!("system calls for a GET of 1 KiB, one connection: {calls:?}");
    if calls.is_some_and(|calls| calls > MOST_CALLS) {
        return Err(format!("more than {MOST_CALLS} system calls for a request").into());
    }
    Ok(())
}

async fn all(mut fleet: Fleet, plan: Plan) -> Result<(Figures, Alone, Vec<String>)> {
    let (begun, mut figures, mut notes) = (Instant::now(), Figures::default(), Vec::new());
    let mut contenders: Vec<Contender> = Vec::new();
    for contender in ALL {
        match fleet.missing(contender.product) {
            None => contenders.push(contender),
            Some(why) => notes.push(format!("{} is left out: {why}.", contender.name)),
        }
    }
    if !process::pins() {
        notes.push("There is one core only: nothing was pinned.".to_owned());
    }
    let say = |what: &str| println!("{:4} s  {what}", begun.elapsed().as_secs());
    for case in &CASES {
        say(case.title);
        cases::take_turns(&mut fleet, &contenders, case, plan, &mut figures).await?;
    }
    for (case, title) in LIVE {
        say(title);
        live::take_turns(&mut fleet, &contenders, case, plan, &mut figures).await?;
    }
    if calls::possible() {
        for case in CASES.iter().filter(|case| [GET_1, GET_64].contains(&case.key)) {
            say(&format!("system calls, {}", case.title));
            for contender in &contenders {
                calls::measure(&mut fleet, *contender, case, plan, &mut figures).await?;
            }
        }
    } else {
        notes.push("System calls were not counted: strace is missing or not allowed.".to_owned());
    }
    say("1,000 slow readers, then 10,000 connections with a session each");
    let by_memory = |contender: &&Contender| match contender.product {
        Product::Nginx => contender.name == NGINX_AES,
        Product::Steve => contender.name == STEVE_AES,
        product => matches!(product, Product::Caddy | Product::Rustls),
    };
    for contender in contenders.iter().filter(by_memory) {
        memory::measure(&fleet, *contender, plan, &mut figures).await?;
    }
    say("1 to 100,000 sessions");
    for contender in contenders.iter().filter(|contender| contender.name == STEVE_AES) {
        memory::sessions(&fleet, *contender, plan, &mut figures).await?;
    }
    say("frames and handshakes in memory");
    let sample = fleet.sample().await?;
    let rounds = plan.micro_rounds;
    let mut times = Vec::new();
    for suite in frames::SUITES {
        for length in [SMALL, LARGE] {
            times.push(frames::times(suite, length, rounds)?);
        }
    }
    let counts = frames::counts(frames::SUITES[0])?;
    let setup = setup::measure(&sample, rounds.min(11))?;
    say("done");
    Ok((figures, Alone { times, counts, setup }, notes))
}
