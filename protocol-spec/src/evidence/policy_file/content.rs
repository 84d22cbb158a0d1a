//! The JSON of a policy file. Read only after its signature has been verified.

use super::{LabelledProfile, MAX_POLICY_PROFILES, PolicyFileError};
use crate::evidence::{Pcr, PcrProfile};
use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use x509_cert::der::DateTime;

const FORMAT_VERSION: u64 = 1;
const MAX_NAMESPACE_LEN: usize = 255;
const MAX_LABEL_LEN: usize = 64;
/// Versions that every JSON reader gives exactly.
const MAX_VERSION: u64 = (1 << 53) - 1;

/// What a policy file says.
pub(super) struct Content {
    pub(super) namespace: String,
    pub(super) version: u64,
    pub(super) expires_ms: u64,
    pub(super) profiles: Vec<LabelledProfile>,
}

/// Any version of the format has this member.
#[derive(Deserialize)]
struct Format {
    steve_policy: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "steve_policy")]
    _format: u64,
    namespace: String,
    version: u64,
    expires: String,
    profiles: Vec<Object<Profile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[serde(default, deserialize_with = "present")]
    label: Option<String>,
    pcrs: Registers,
}

impl Content {
    pub(super) fn decode(file: &[u8]) -> Result<Self, PolicyFileError> {
        let Object(Format { steve_policy: found }) = parse(file)?;
        if found != FORMAT_VERSION {
            return Err(PolicyFileError::FormatVersion { found });
        }
        let Object(File { namespace, version, expires, profiles, .. }) = parse(file)?;
        let rule = |holds: bool, rule: &str| {
            if holds { Ok(()) } else { Err(PolicyFileError::Content(rule.to_owned())) }
        };
        rule(
            is_namespace(&namespace),
            "\"namespace\" is not 1 to 255 visible ASCII characters without spaces",
        )?;
        rule(
            (1..=MAX_VERSION).contains(&version),
            "\"version\" is not an integer from 1 to 2^53 - 1",
        )?;
        rule(
            (1..=MAX_POLICY_PROFILES).contains(&profiles.len()),
            "\"profiles\" does not hold 1 to 64 profiles",
        )?;
        rule(
            profiles.iter().filter_map(|Object(profile)| profile.label.as_deref()).all(is_label),
            "a \"label\" is not 1 to 64 printable ASCII characters",
        )?;
        let expires = DateTime::from_str(&expires).map_err(|_| {
            let rule = "\"expires\" is not a time of the form 2027-01-31T00:00:00Z";
            PolicyFileError::Content(rule.to_owned())
        })?;
        let profiles = profiles
            .into_iter()
            .map(|Object(Profile { label, pcrs })| LabelledProfile { label, profile: pcrs.0 });
        Ok(Self {
            namespace,
            version,
            expires_ms: expires.unix_duration().as_secs() * 1000,
            profiles: profiles.collect(),
        })
    }
}

/// Whether a text can name an app or service.
pub(super) fn is_namespace(text: &str) -> bool {
    (1..=MAX_NAMESPACE_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL_LEN).contains(&text.len())
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn parse<T: for<'de> Deserialize<'de>>(file: &[u8]) -> Result<T, PolicyFileError> {
    serde_json::from_slice(file).map_err(|error| PolicyFileError::Content(error.to_string()))
}

/// Where there is a member, it is not null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// `T` from a JSON object: a derived implementation takes an array of its fields as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// `{"PCR0": "<96 hexadecimal digits>", …}`, as `steve measure` prints it.
struct Registers(PcrProfile);

impl<'de> Deserialize<'de> for Registers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RegistersVisitor)
    }
}

struct RegistersVisitor;

impl<'de> Visitor<'de> for RegistersVisitor {
    type Value = Registers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of PCR values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values: Vec<(u8, Pcr)> = Vec::new();
        let mut algorithm = false;
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if name == "HashAlgorithm" {
                if value != "SHA384" {
                    return Err(A::Error::custom("HashAlgorithm is not SHA384"));
                }
                if core::mem::replace(&mut algorithm, true) {
                    return Err(A::Error::duplicate_field("HashAlgorithm"));
                }
                continue;
            }
            let register = register(&name)
                .ok_or_else(|| A::Error::custom(format_args!("`{name}` does not name a PCR")))?;
            values.push((register, value.parse().map_err(A::Error::custom)?));
        }
        PcrProfile::new(values).map(Registers).map_err(A::Error::custom)
    }
}

/// `PCR0` or `pcr0`, without leading zeros.
fn register(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("PCR").or_else(|| name.strip_prefix("pcr"))?;
    digits.parse().ok().filter(|register: &u8| register.to_string() == digits)
}
