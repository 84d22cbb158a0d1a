use crate::receipt;
use steve_protocol::evidence::{self, PolicyMismatch, VerifiedEnclave};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed,
    /// It could not be made with these inputs, and the result is worth less for it.
    NotPerformed,
    /// An earlier check failed.
    NotReached,
}

/// One check of SPEC.md, Section 7.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Check {
    /// Its name there.
    pub name: String,
    /// What must hold.
    pub requirement: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, for people: one line.
    pub detail: String,
}

/// Every check of one appraisal, and what it does not prove.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Report {
    /// In the order of SPEC.md, Section 7.
    pub checks: Vec<Check>,
    /// The most important first.
    pub not_proven: Vec<String>,
    /// All of it as lines for people.
    pub text: String,
}

/// The value of a platform configuration register.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Pcr {
    /// Its number, from 0 to 31.
    pub index: u8,
    /// 96 hexadecimal digits.
    pub value: String,
}

/// A register that differs from a profile of the policy.
#[derive(Clone, Debug, uniffi::Record)]
pub struct PcrDifference {
    /// The profile, counted from 0 in the order of the policy.
    pub profile: u32,
    /// The number of the register.
    pub index: u8,
    /// What the profile says: 96 hexadecimal digits.
    pub expected: String,
    /// What the enclave has, if it has the register.
    pub found: Option<String>,
}

/// An enclave whose fresh evidence passed every check.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Enclave {
    /// Every check, and what is not proven.
    pub report: Report,
    /// The measurements, in the order of their numbers.
    pub pcrs: Vec<Pcr>,
    /// The NSM's name for the enclave: instance id and enclave id.
    pub module_id: String,
    /// Names the proxy process: 16 bytes. As long as it is the same, the proxy remembers what it did.
    pub instance: Vec<u8>,
    /// Why the measurements are trusted.
    pub trust: String,
    /// When the document was made, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Until when new sessions may start on it, in milliseconds since 1970.
    pub valid_until_ms: u64,
    /// The configuration of the proxy, JSON. Its hash is attested.
    pub configuration: Vec<u8>,
    /// The manifest of the image. Its hash is attested; empty if there is none.
    pub manifest: Vec<u8>,
}

/// How an exchange was protected. Holds no secrets.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Receipt {
    /// The enclave that answered.
    pub enclave: Enclave,
    /// The suite of the session, such as `xwing-aes256gcm`.
    pub suite: String,
    /// The session: 32 hexadecimal digits. Not a secret: it is on the wire.
    pub session_id: String,
    /// The stream within the session; 0 for a request that went along with the handshake.
    pub stream_id: u64,
    /// Bytes of the request body encrypted so far.
    pub request_bytes: u64,
    /// Bytes of the response body decrypted so far.
    pub response_bytes: u64,
}

impl Report {
    pub(super) fn of(report: &evidence::Report) -> Self {
        let checks = report.checks().iter().map(|line| Check {
            name: line.check.id().to_owned(),
            requirement: line.check.requirement().to_owned(),
            outcome: match line.outcome {
                evidence::Outcome::Passed => Outcome::Passed,
                evidence::Outcome::Failed(_) => Outcome::Failed,
                evidence::Outcome::NotPerformed => Outcome::NotPerformed,
                evidence::Outcome::NotReached => Outcome::NotReached,
            },
            detail: line.detail.clone(),
        });
        Self {
            checks: checks.collect(),
            not_proven: report.not_proven().iter().map(ToString::to_string).collect(),
            text: report.to_string(),
        }
    }
}

impl PcrDifference {
    pub(super) fn all(mismatch: &PolicyMismatch) -> Vec<Self> {
        let profiles = (0..).zip(&mismatch.profiles);
        let differences = profiles.flat_map(|(profile, differences)| {
            differences.iter().map(move |difference| Self {
                profile,
                index: difference.index,
                expected: difference.expected.to_string(),
                found: difference.found.as_ref().map(ToString::to_string),
            })
        });
        differences.collect()
    }
}

impl Enclave {
    pub(super) fn of(enclave: &VerifiedEnclave) -> Self {
        let pcrs = enclave.pcrs().iter();
        Self {
            report: Report::of(enclave.report()),
            pcrs: pcrs.map(|(index, pcr)| Pcr { index, value: pcr.to_string() }).collect(),
            module_id: enclave.module_id().to_owned(),
            instance: enclave.instance().to_vec(),
            trust: enclave.trust().map(ToString::to_string).unwrap_or_default(),
            timestamp_ms: enclave.timestamp_ms(),
            valid_until_ms: enclave.valid_until_ms(),
            configuration: enclave.configuration().to_vec(),
            manifest: enclave.manifest().to_vec(),
        }
    }
}

impl Receipt {
    pub(super) fn of(receipt: &receipt::Receipt) -> Self {
        Self {
            enclave: Enclave::of(receipt.enclave()),
            suite: receipt.suite().name().to_owned(),
            session_id: receipt.session_id(),
            stream_id: receipt.stream_id(),
            request_bytes: receipt.request_bytes(),
            response_bytes: receipt.response_bytes(),
        }
    }
}
