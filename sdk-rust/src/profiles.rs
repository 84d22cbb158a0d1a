//! Files of expected PCR values.

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use steve_protocol::evidence::{Pcr, PcrProfile, ProfileError};

/// Reads the profiles in a file; see [`parse_profiles`] for what may be in it.
pub fn read_profiles(path: impl AsRef<Path>) -> Result<Vec<PcrProfile>, ProfilesError> {
    let path = path.as_ref();
    let error = |problem| ProfilesError { file: path.to_owned(), problem };
    let text = std::fs::read_to_string(path)
        .map_err(|cause| error(ProfilesProblem::Unreadable(cause.to_string())))?;
    parse_profiles(&text).map_err(error)
}

/// Reads profiles from text. At least one comes out, or an error.
///
/// The text is one of
///
/// - JSON, `{"pcr0": "<96 hexadecimal digits>", "pcr1": …, "pcr2": …}`, with other registers as
///   wanted, names in either case, and keys that name no register ignored;
/// - what `nitro-cli build-enclave` and `describe-eif` print: the same as the member `Measurements`;
/// - an array of those, or `{"profiles": [...]}`;
/// - lines `PCR0: <96 hexadecimal digits>`, with empty lines and `#` comments ignored: one profile.
pub fn parse_profiles(text: &str) -> Result<Vec<PcrProfile>, ProfilesProblem> {
    if !text.trim_start().starts_with(['{', '[']) {
        return Ok(vec![from_lines(text)?]);
    }
    let value = serde_json::from_str(text)
        .map_err(|error| ProfilesProblem::Json { line: error.line(), column: error.column() })?;
    let profiles = from_value(&value, 0)?;
    if profiles.is_empty() { Err(ProfilesProblem::Empty) } else { Ok(profiles) }
}

/// A file of PCR profiles cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct ProfilesError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: ProfilesProblem,
}

/// What is wrong with a text of PCR profiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfilesProblem {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// Not JSON, although it begins like it.
    #[error("not valid JSON at line {line}, column {column}")]
    Json {
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
    },
    /// JSON of another shape.
    #[error("it is neither a profile nor a list of profiles")]
    Shape,
    /// No profile at all.
    #[error("it holds no profile")]
    Empty,
    /// A line that is no register.
    #[error("line {line} is not of the form \"PCR0: <96 hexadecimal digits>\"")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A key that begins with "pcr" but names no register.
    #[error("\"{0}\" does not name a PCR")]
    Name(String),
    /// A value that is not 96 hexadecimal digits.
    #[error("the value of {0} is not 96 hexadecimal digits")]
    Value(String),
    /// Digests made with another algorithm.
    #[error("the hash algorithm is \"{0}\", but PCRs are SHA-384")]
    Algorithm(String),
    /// The registers do not make a profile.
    #[error("profile {index}: {error}")]
    Profile {
        /// Which one, counted from 0.
        index: usize,
        /// Why.
        error: ProfileError,
    },
}

/// `first` is the index of the first profile in `value`.
fn from_value(value: &Value, first: usize) -> Result<Vec<PcrProfile>, ProfilesProblem> {
    match value {
        Value::Array(items) => {
            let mut profiles = Vec::with_capacity(items.len());
            for item in items {
                profiles.push(from_object(item, first + profiles.len())?);
            }
            Ok(profiles)
        }
        Value::Object(object) => match object.get("profiles") {
            Some(profiles @ Value::Array(_)) => from_value(profiles, first),
            Some(_) => Err(ProfilesProblem::Shape),
            None => Ok(vec![from_object(value, first)?]),
        },
        _ => Err(ProfilesProblem::Shape),
    }
}

fn from_object(value: &Value, index: usize) -> Result<PcrProfile, ProfilesProblem> {
    let object = value.as_object().ok_or(ProfilesProblem::Shape)?;
    let object = match object.get("Measurements") {
        Some(measurements) => measurements.as_object().ok_or(ProfilesProblem::Shape)?,
        None => object,
    };
    check_algorithm(object)?;
    let mut values = Vec::new();
    for (name, value) in object {
        if let Some(register) = register(name)? {
            let pcr = value.as_str().and_then(|digits| digits.parse().ok());
            values.push((register, pcr.ok_or_else(|| ProfilesProblem::Value(name.clone()))?));
        }
    }
    profile(values, index)
}

fn check_algorithm(object: &Map<String, Value>) -> Result<(), ProfilesProblem> {
    let Some(algorithm) = object.get("HashAlgorithm") else { return Ok(()) };
    let name = algorithm.as_str().unwrap_or_default();
    if name.get(..6).is_some_and(|name| name.eq_ignore_ascii_case("sha384")) {
        Ok(())
    } else {
        Err(ProfilesProblem::Algorithm(name.to_owned()))
    }
}

fn from_lines(text: &str) -> Result<PcrProfile, ProfilesProblem> {
    let mut values = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let malformed = || ProfilesProblem::Line { line: number + 1 };
        let (name, digits) = line.split_once([':', '=']).ok_or_else(malformed)?;
        let register = register(name.trim())?.ok_or_else(malformed)?;
        let pcr: Pcr =
            digits.trim().parse().map_err(|_| ProfilesProblem::Value(name.trim().to_owned()))?;
        values.push((register, pcr));
    }
    if values.is_empty() { Err(ProfilesProblem::Empty) } else { profile(values, 0) }
}

/// The register that a key names; none if it does not begin with "pcr".
fn register(name: &str) -> Result<Option<u8>, ProfilesProblem> {
    match name.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("pcr") => match name[3..].parse() {
            Ok(register) if name[3..].bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Some(register))
            }
            _ => Err(ProfilesProblem::Name(name.to_owned())),
        },
        _ => Ok(None),
    }
}

fn profile(values: Vec<(u8, Pcr)>, index: usize) -> Result<PcrProfile, ProfilesProblem> {
    PcrProfile::new(values).map_err(|error| ProfilesProblem::Profile { index, error })
}

#[cfg(test)]
mod tests;
