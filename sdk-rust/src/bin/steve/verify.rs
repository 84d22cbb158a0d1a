use crate::args::VerifyArgs;
use crate::exit::Failure;
use crate::{connect, manifest, report};
use std::io::Write;

/// `steve verify`: the report goes to standard error, as that of `steve request`; as JSON it is the
/// output.
pub(crate) async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let client = connect::client(&args.common, &args.url)?;
    let origin = client.origin().to_string();
    let verified = client.verify().await;
    if !args.common.json {
        if let Some(report) = report::text(&origin, verified.as_ref()) {
            // The exit code says the same to those who do not read this.
            let _ = std::io::stderr().write_all(report.as_bytes());
        }
    } else if let Some(report) = report::json(&origin, verified.as_ref()) {
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{report:#}")
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::output("standard output", &error))?;
    }
    let enclave = verified?;
    if let Some(file) = &args.expect_manifest {
        manifest::expect(enclave.manifest(), file)?;
    }
    if let Some(directory) = &args.source {
        manifest::source(enclave.manifest(), directory)?;
    }
    Ok(())
}
