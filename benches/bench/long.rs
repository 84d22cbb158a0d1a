//! The memory of the proxy over much traffic: it must not grow.

use crate::Result;
use crate::cases::{CASES, DOWN, GET_64, MIB, open};
use crate::contenders::{ALL, Product, STEVE_AES};
use crate::fleet::Fleet;
use crate::load::{Pace, run};
use crate::whole::PLAN;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const TRANSFER: u64 = 20 << 30;
const REQUESTS: u64 = 10_000_000;
const SAMPLES: u64 = 40;
/// Growth after the first tenth that counts as flat, in bytes.
const FLAT: u64 = 4 * MIB;

/// Watches both, and writes `long.md` into `folder`. Errors if the memory grew.
pub(crate) async fn run_all(fleet: Fleet, folder: &Path) -> Result<()> {
    let mut text = String::from("# Memory of the proxy over much traffic\n");
    let mut grown = Vec::new();
    for (key, title, total) in
        [(DOWN, "20 GiB down", TRANSFER / (64 * MIB)), (GET_64, "10 million requests", REQUESTS)]
    {
        let contender = ALL.iter().find(|one| one.name == STEVE_AES).ok_or("no such contender")?;
        let case = CASES.iter().find(|case| case.key == key).ok_or("no such case")?;
        let server = fleet.launch(Product::Steve)?;
        let target = fleet.target(*contender, &server).await?;
        let mut connections = open(&target, case.clients).await?;
        let request = case.request(PLAN)?;
        let each = Pace::Count((total / SAMPLES / case.clients as u64).max(1));
        let program = server.program.as_ref().ok_or("no program")?;
        writeln!(text, "\n## {title}\n\n| requests | resident KiB |\n|---:|---:|")?;
        let (mut samples, mut done) = (Vec::new(), 0);
        while done < total {
            done += run(&mut connections, &request, each).await?.requests;
            let (now, _) = program.memory();
            samples.push(now);
            println!("{title}: {done} requests, {} KiB", now / 1024);
            writeln!(text, "| {done} | {} |", now / 1024)?;
        }
        let settled = samples.get(samples.len() / 10).copied().unwrap_or(0);
        let most = samples.iter().skip(samples.len() / 10).copied().max().unwrap_or(0);
        let growth = most.saturating_sub(settled);
        writeln!(text, "\nGrowth after the first tenth: {} KiB.", growth / 1024)?;
        if growth > FLAT {
            grown.push(title);
        }
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("long.md"), text)?;
    if grown.is_empty() { Ok(()) } else { Err(format!("the memory grew over {grown:?}").into()) }
}
