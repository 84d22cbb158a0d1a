//! The manifest that evidence authenticates: what an image says about where it comes from.
//!
//! It is free form; a JSON object may have the members `app_sources` and `enclave_sources` (arrays of
//! repository URLs), `commit` (of the app) and `metadata` (anything), see SPEC.md, Section 6.

use crate::exit::Failure;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The manifest is not what the caller asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestRefusal {
    #[error("the enclave's manifest is not that in {}: {difference}", .file.display())]
    Differs { file: PathBuf, difference: String },
    #[error("the enclave's manifest names no commit, so it cannot be compared with {}", .0.display())]
    NoCommit(PathBuf),
    #[error(
        "the enclave's manifest names commit {attested}, but {} has {found} checked out",
        .directory.display()
    )]
    Commit { directory: PathBuf, attested: String, found: String },
    #[error("{} has changes that are not in its commit: compare a clean work tree", .0.display())]
    Dirty(PathBuf),
}

/// For people: what the manifest says.
pub(crate) fn text(manifest: &[u8]) -> String {
    let mut text = String::new();
    let Some(members) = object(manifest) else {
        return match (manifest.len(), std::str::from_utf8(manifest)) {
            (0, _) => "Manifest: none\n".to_owned(),
            (length, Err(_)) => format!("Manifest (authenticated): {length} bytes, not text\n"),
            (_, Ok(words)) => format!("Manifest (authenticated):\n{words}\n"),
        };
    };
    text += "Manifest (authenticated, but the image's own words):\n";
    for (name, value) in &members {
        // Writing to a string does not fail.
        let _ = match value {
            Value::Array(items) => items.iter().try_for_each(|i| line(&mut text, name, i)),
            value => line(&mut text, name, value),
        };
    }
    text
}

fn line(text: &mut String, name: &str, value: &Value) -> std::fmt::Result {
    writeln!(text, "{name:<16} {}", plain(value))
}

/// A string without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn object(manifest: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(manifest).ok()
}

/// Checks `--expect-manifest`. The bytes have to be the same, since their hash is what is attested.
pub(crate) fn expect(attested: &[u8], file: &Path) -> Result<(), Failure> {
    let expected = crate::connect::read(file)?;
    if attested == expected {
        return Ok(());
    }
    let refusal = ManifestRefusal::Differs {
        file: file.to_owned(),
        difference: difference(attested, &expected),
    };
    Err(Failure::Manifest(refusal))
}

fn difference(attested: &[u8], expected: &[u8]) -> String {
    let (Some(attested_members), Some(expected_members)) = (object(attested), object(expected))
    else {
        return format!("it has {} bytes, the file {}", attested.len(), expected.len());
    };
    let mut names: Vec<_> = attested_members.keys().chain(expected_members.keys()).collect();
    names.sort();
    names.dedup();
    let shown = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    let differences: Vec<_> = names
        .into_iter()
        .map(|name| (name, attested_members.get(name), expected_members.get(name)))
        .filter(|(_, attested, expected)| attested != expected)
        .map(|(name, attested, expected)| {
            format!("{name} is {}, expected {}", shown(attested), shown(expected))
        })
        .collect();
    match differences.is_empty() {
        true => "they say the same, but in other bytes".to_owned(),
        false => differences.join("; "),
    }
}

/// Checks `--source`: the commit that is checked out there is the one in the manifest.
pub(crate) fn source(attested: &[u8], directory: &Path) -> Result<(), Failure> {
    let members = object(attested).unwrap_or_default();
    let commit = members.get("commit").and_then(Value::as_str).filter(|commit| {
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    let attested =
        commit.ok_or_else(|| Failure::Manifest(ManifestRefusal::NoCommit(directory.to_owned())))?;
    let found = git(directory, &["rev-parse", "--verify", "HEAD^{commit}"])?;
    if !attested.eq_ignore_ascii_case(&found) {
        return Err(Failure::Manifest(ManifestRefusal::Commit {
            directory: directory.to_owned(),
            attested: attested.to_owned(),
            found,
        }));
    }
    if !git(directory, &["status", "--porcelain", "--ignore-submodules=none"])?.is_empty() {
        return Err(Failure::Manifest(ManifestRefusal::Dirty(directory.to_owned())));
    }
    Ok(())
}

/// What git prints. The repository's own configuration starts no program.
fn git(directory: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let name = directory.display();
    let output = Command::new("git")
        .args(["-c", "core.fsmonitor=false", "-C"])
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::Usage(format!("--source needs git: {error}")))?;
    if !output.status.success() {
        return Err(Failure::Usage(format!("{name} is no git work tree with a commit")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_can_read_it() {
        let manifest =
            br#"{"app_sources":["https://a","https://b"],"commit":"c0","metadata":{"x":1}}"#;
        let text = text(manifest);
        for line in ["app_sources      https://a", "app_sources      https://b", "{\"x\":1}"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(super::text(b"plain words").contains("plain words"));
        assert!(super::text(b"\xff").contains("1 bytes, not text"));
        assert_eq!(super::text(b""), "Manifest: none\n");
    }

    #[test]
    fn differences_are_named() {
        let (a, b) = (br#"{"commit":"1","x":[2]}"#, br#"{"commit":"2","y":null}"#);
        assert_eq!(
            difference(a, b),
            "commit is \"1\", expected \"2\"; x is [2], expected absent; y is absent, expected null"
        );
        assert!(difference(br#"{"a":1}"#, br#"{ "a":1}"#).contains("other bytes"));
        assert_eq!(difference(b"words", b"{}"), "it has 5 bytes, the file 2");
    }
}
