//! `steve doctor`: what is wrong with a deployment, seen from outside.

mod checks;
mod outer;

use crate::args::DoctorArgs;
use crate::connect;
use crate::exit::Failure;
use crate::output::{Output, printable};
use outer::Outer;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use steve_sdk::Origin;

const TIMEOUT: Duration = Duration::from_secs(15);

/// What `steve doctor --help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
   0  no problems; warnings may have been printed
   1  at least one problem
   2  wrong usage, or a file that cannot be read";

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warning,
    Problem,
    NotChecked,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Problem => "PROBLEM",
            Self::NotChecked => "NOT CHECKED",
        })
    }
}

/// One line of the diagnosis.
struct Finding {
    check: &'static str,
    outcome: Outcome,
    /// What was found, and what to do about it.
    text: String,
}

/// All findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, outcome: Outcome, text: impl Into<String>) {
        self.0.push(Finding { check, outcome, text: text.into() });
    }

    fn problems(&self) -> usize {
        self.0.iter().filter(|finding| finding.outcome == Outcome::Problem).count()
    }

    fn text(&self) -> String {
        let line = |f: &Finding| format!("{:<12} {:<10} {}\n", f.outcome, f.check, f.text);
        self.0.iter().map(line).collect()
    }

    fn json(&self, origin: &str) -> Value {
        let checks = self.0.iter().map(|finding| {
            let outcome = finding.outcome.to_string().to_lowercase();
            json!({ "check": finding.check, "outcome": outcome, "text": finding.text })
        });
        json!({
            "origin": origin,
            "problems": self.problems(),
            "checks": checks.collect::<Value>(),
        })
    }
}

/// Makes every check, whatever the others gave. The diagnosis is the output.
pub(crate) async fn run(mut args: DoctorArgs) -> Result<(), Failure> {
    let origin = Origin::parse(&args.url).map_err(Failure::usage)?.to_string();
    args.common.timeout.get_or_insert(TIMEOUT);
    let timeout = args.common.timeout.unwrap_or(TIMEOUT);
    let roots = args.common.cacert.iter().map(|file| connect::read(file));
    let roots = roots.collect::<Result<Vec<_>, _>>()?;
    let outer = Outer::new(origin.clone(), &roots, timeout).map_err(Failure::usage)?;

    let mut findings = Findings::default();
    if checks::connection(&outer, &origin, &mut findings).await {
        checks::ready(&outer, &mut findings).await;
        checks::evidence(&mut args.common, &outer, &origin, &mut findings).await?;
        checks::plaintext(&outer, &mut findings).await;
        checks::cors(&outer, args.origin.as_deref(), &mut findings).await;
        checks::tunnel(&outer, &mut findings).await;
        checks::bodies(&outer, &mut findings).await;
        checks::streaming(&args, &origin, &mut findings).await?;
    }
    let text = if args.common.json {
        format!("{:#}\n", findings.json(&origin))
    } else {
        printable(&findings.text())
    };
    let mut output = Output::open(None)?;
    output.write(text.as_bytes())?;
    output.finish()?;
    match findings.problems() {
        0 => Ok(()),
        count => Err(Failure::Problems(count)),
    }
}
