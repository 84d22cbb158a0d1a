//! `steve measure`: the PCRs that an enclave booted from an image file will attest.

mod eif;
mod signature;

use crate::args::MeasureArgs;
use crate::exit::Failure;
use crate::output::{Output, printable};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufReader, Write};

/// Prints the PCRs in the form that `--pcrs` and the SDKs read; what else the image says of itself
/// goes to standard error.
pub(crate) fn run(args: &MeasureArgs) -> Result<(), Failure> {
    let name = args.image.display();
    let failure = |error: &dyn std::fmt::Display| Failure::Usage(format!("{name}: {error}"));
    let file = File::open(&args.image).map_err(|error| failure(&error))?;
    let image = eif::measure(BufReader::new(file)).map_err(|error| failure(&error))?;

    let mut measurements = Map::new();
    measurements.insert("HashAlgorithm".to_owned(), "SHA384".into());
    for (register, pcr) in &image.pcrs {
        measurements.insert(format!("PCR{register}"), pcr.to_string().into());
    }
    let mut output = Output::open(args.output.as_deref())?;
    output.write(format!("{:#}\n", Value::Object(measurements)).as_bytes())?;
    output.finish()?;
    if let Some(metadata) = &image.metadata {
        // The PCRs are the result; nobody has to read this.
        let _ = writeln!(std::io::stderr(), "{}", printable(&about(metadata)));
    }
    Ok(())
}

fn about(metadata: &Value) -> String {
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or("?");
    format!("image {} {} (its own words; not measured)", text("ImageName"), text("ImageVersion"))
}
