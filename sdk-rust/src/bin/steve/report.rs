//! The report of an appraisal, for people and for programs.

use crate::manifest;
use crate::output::printable;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::io::Write as _;
use steve_sdk::{Error, Report, VerifiedEnclave};

/// What a verification gave.
pub(crate) type Verified<'a> = Result<&'a VerifiedEnclave, &'a Error>;

/// Prints the report to standard error.
pub(crate) fn print(as_json: bool, origin: &str, verified: Verified<'_>) {
    let report = if as_json {
        json(origin, verified).map(|value| format!("{value}\n"))
    } else {
        text(origin, verified).map(|text| format!("{text}\n"))
    };
    if let Some(report) = report {
        // What follows does not depend on anybody reading this.
        let _ = std::io::stderr().write_all(report.as_bytes());
    }
}

/// For people: every check with its outcome, what is not proven, and the enclave.
pub(crate) fn text(origin: &str, verified: Verified<'_>) -> Option<String> {
    let mut text = match verified {
        Ok(enclave) => format!("{origin}: VERIFIED\n\n{}", enclave.report()),
        Err(error) => format!("{origin}: REFUSED\n\n{}", error.refusal()?.report()),
    };
    if let Ok(enclave) = verified {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\nEnclave {}:", enclave.module_id());
        for (register, pcr) in enclave.pcrs().iter().filter(|(_, pcr)| !pcr.is_zero()) {
            let _ = writeln!(text, "{:<6} {pcr}", format!("PCR{register}"));
        }
        let _ = write!(text, "\n{}", manifest::text(enclave.manifest()));
    }
    Some(printable(&text))
}

/// For programs: the same as JSON, and more of what is attested.
pub(crate) fn json(origin: &str, verified: Verified<'_>) -> Option<Value> {
    let (report, mut value) = match verified {
        Ok(enclave) => (enclave.report(), enclave_json(enclave)),
        Err(error) => {
            let refusal = error.refusal()?;
            let value = json!({
                "verified": false,
                "error": refusal.error().to_string(),
                "failed_check": refusal.error().check().id(),
                "advice": refusal.error().advice(),
            });
            (refusal.report(), value)
        }
    };
    value["origin"] = origin.into();
    value["checks"] = checks_json(report);
    value["not_proven"] = report.not_proven().iter().map(ToString::to_string).collect();
    Some(value)
}

fn enclave_json(enclave: &VerifiedEnclave) -> Value {
    let pcrs: Map<String, Value> = enclave
        .pcrs()
        .iter()
        .map(|(register, pcr)| (format!("pcr{register}"), pcr.to_string().into()))
        .collect();
    let fields = enclave.key_config().fields();
    let suites: Vec<&str> = fields.keys.iter().map(|entry| entry.suite.name()).collect();
    let configuration: Value =
        serde_json::from_slice(enclave.configuration()).unwrap_or(Value::Null);
    json!({
        "verified": true,
        "module_id": enclave.module_id(),
        "timestamp_ms": enclave.timestamp_ms(),
        "valid_until_ms": enclave.valid_until_ms(),
        "pcrs": pcrs,
        "trust": enclave.trust().map(ToString::to_string),
        "key_epoch": fields.epoch,
        "keys_not_after_ms": fields.not_after,
        "suites": suites,
        "configuration": configuration,
        "manifest": std::str::from_utf8(enclave.manifest()).ok(),
    })
}

fn checks_json(report: &Report) -> Value {
    let checks = report.checks().iter().map(|line| {
        json!({
            "check": line.check.id(),
            "requirement": line.check.requirement(),
            "outcome": line.outcome.to_string().to_lowercase(),
            "detail": line.detail,
        })
    });
    checks.collect()
}
