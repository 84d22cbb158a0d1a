use crate::args::VerifyArgs;
use crate::exit::Failure;
use crate::{connect, report};
use std::io::Write;

/// `steve verify`: the report is the output.
pub(crate) async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let client = connect::client(&args.common, &args.url)?;
    let origin = client.origin().to_string();
    let verified = client.verify().await;
    let report = if args.common.json {
        report::json(&origin, verified.as_ref()).map(|value| format!("{value:#}\n"))
    } else {
        report::text(&origin, verified.as_ref())
    };
    if let Some(report) = report {
        let mut stdout = std::io::stdout();
        stdout
            .write_all(report.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::output("standard output", &error))?;
    }
    verified?;
    Ok(())
}
