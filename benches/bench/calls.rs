//! System calls for each request, as `strace -c` counts them, in a run of its own.

use crate::Result;
use crate::cases::{Case, Plan, open};
use crate::contenders::Contender;
use crate::figures::{Figures, Metric};
use crate::fleet::Fleet;
use crate::load::{Pace, run};
use crate::process::Program;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const ATTACH_LIMIT: Duration = Duration::from_secs(10);

/// Counts for a case with a fixed number of requests; without a program there is nothing to count.
pub(crate) async fn measure(
    fleet: &mut Fleet,
    contender: Contender,
    case: &Case,
    plan: Plan,
    figures: &mut Figures,
) -> Result<()> {
    let (target, request) = (fleet.shared(contender).await?, case.request(plan)?);
    let mut connections = open(&target, case.clients.min(plan.most_clients)).await?;
    run(&mut connections, &request, Pace::Count(1)).await?;
    let Some(program) = &fleet.server(contender.product)?.program else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("calls");
    let mut strace = attach(program, &output).await?;
    let each = Pace::Count(plan.traced_requests.div_ceil(connections.len() as u64));
    let slice = run(&mut connections, &request, each).await;
    Command::new("kill").args(["-INT", &strace.id().to_string()]).status()?;
    strace.wait()?;
    let calls = total(&std::fs::read_to_string(output)?).ok_or("strace gave no total")?;
    let each = calls as f64 / slice?.requests as f64;
    figures.add(case.key, contender.name, Metric::Calls, each);
    Ok(())
}

async fn attach(program: &Program, output: &Path) -> Result<std::process::Child> {
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-q", "-o"]).arg(output);
    let ids = program.ids();
    for id in &ids {
        command.args(["-p", &id.to_string()]);
    }
    let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let limit = Instant::now() + ATTACH_LIMIT;
    while !ids.iter().all(|id| is_traced(*id)) {
        if Instant::now() > limit {
            return Err("strace cannot attach".into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(strace)
}

/// Whether all its threads are.
fn is_traced(id: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    tasks.map(|task| task.path().join("status")).all(|path| {
        let status = std::fs::read_to_string(path).unwrap_or_default();
        status
            .lines()
            .any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}

/// The last line is `100.00 SECONDS [USECS] CALLS [ERRORS] total`.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_is_found() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.000000           0        29         1 total\n";
        assert_eq!(super::total(table), Some(29));
    }
}
