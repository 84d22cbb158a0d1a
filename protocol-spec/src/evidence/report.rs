//! What was checked, with which result, and what is not proven.

use super::{AppraisalError, PcrTrust, TrustAnchor};
use core::fmt;
use core::time::Duration;
use x509_cert::der::DateTime;

/// The checks of SPEC.md, Section 7, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named and described in SPEC.md, Section 7, and by `requirement`")]
pub enum Check {
    Encoding,
    Cose,
    Document,
    Root,
    Certificates,
    Signature,
    Timestamp,
    Nonce,
    KeyConfig,
    KeyLifetime,
    Configuration,
    Manifest,
    DebugMode,
    Policy,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 14] = [
        Self::Encoding,
        Self::Cose,
        Self::Document,
        Self::Root,
        Self::Certificates,
        Self::Signature,
        Self::Timestamp,
        Self::Nonce,
        Self::KeyConfig,
        Self::KeyLifetime,
        Self::Configuration,
        Self::Manifest,
        Self::DebugMode,
        Self::Policy,
    ];

    /// The identifier in SPEC.md, Section 7.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Cose => "cose",
            Self::Document => "document",
            Self::Root => "root",
            Self::Certificates => "certificates",
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Nonce => "nonce",
            Self::KeyConfig => "key-config",
            Self::KeyLifetime => "key-lifetime",
            Self::Configuration => "configuration",
            Self::Manifest => "manifest",
            Self::DebugMode => "debug-mode",
            Self::Policy => "policy",
        }
    }

    /// What must hold, in a few words.
    pub const fn requirement(self) -> &'static str {
        match self {
            Self::Encoding => "evidence and key configuration decode",
            Self::Cose => "the document is a COSE_Sign1 structure with ES384",
            Self::Document => "every field of the document keeps its rule",
            Self::Root => "the root certificate is the trust anchor",
            Self::Certificates => "the certificate path is valid from root to leaf",
            Self::Signature => "the leaf's key has signed the document",
            Self::Timestamp => "the document is recent",
            Self::Nonce => "the document was made for this challenge",
            Self::KeyConfig => "the document vouches for the keys",
            Self::KeyLifetime => "the keys outlive the document's making",
            Self::Configuration => "the proxy configuration is the one attested",
            Self::Manifest => "the manifest is the one attested",
            Self::DebugMode => "the enclave is measured, not in debug mode",
            Self::Policy => "the measurements are those expected",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed(AppraisalError),
    /// It could not be made with these inputs, and the result is worth less for it.
    NotPerformed,
    /// An earlier check failed.
    NotReached,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed(_) => "FAILED",
            Self::NotPerformed => "NOT PERFORMED",
            Self::NotReached => "not reached",
        })
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Which check.
    pub check: Check,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, for a person to read: one line, text from the evidence is escaped.
    pub detail: String,
}

/// Something that an appraisal does not prove. A display of a report shows these too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotProven {
    /// The appraisal failed.
    Anything,
    /// Unchallenged evidence can be a recording.
    Freshness,
    /// With trust on first use, the first contact.
    FirstUse,
    /// With a signed policy, that it is not an old one: no earlier one was on record.
    EarlierPolicy,
    /// With a signed policy, that there is no newer one.
    NewerPolicy,
    /// No check against a policy took place.
    Measurements,
    /// The trust anchor is not AWS's.
    NitroEnclave,
    /// PCR values name an image; whether it is good is for its builders and readers.
    ImageIsGood,
    /// Meaning of manifest and configuration: they are authentic, not interpreted.
    ManifestIsTrue,
    /// PCR4 is not pinned.
    Instance,
    /// PCR3 is not pinned.
    Role,
    /// PCR8 is not pinned.
    Signer,
    /// Revocation lists of AWS's certificates are not consulted.
    Revocation,
}

impl fmt::Display for NotProven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anything => "anything: the evidence was refused",
            Self::Freshness => {
                "that the enclave runs now: evidence without a challenge can be a recording"
            }
            Self::FirstUse => {
                "that this is the right image: it was met for the first time and nothing vouches \
                 for it"
            }
            Self::EarlierPolicy => {
                "that the policy is not an old one: no earlier version is on record to compare with"
            }
            Self::NewerPolicy => {
                "that there is no newer policy: whoever brings it can hold it back until this one \
                 expires"
            }
            Self::Measurements => {
                "that this is the right image: there is nothing to compare its measurements with"
            }
            Self::NitroEnclave => "that this is a Nitro enclave: the trust anchor is not AWS's",
            Self::ImageIsGood => {
                "that the image does what it should: take PCR values from a build you trust"
            }
            Self::ManifestIsTrue => {
                "that manifest and configuration say the truth: they are what the image was given"
            }
            Self::Instance => "which instance it runs on: PCR4 is not pinned",
            Self::Role => "which account's role the instance has: PCR3 is not pinned",
            Self::Signer => "who signed the image: PCR8 is not pinned",
            Self::Revocation => {
                "that no certificate of the path has been revoked: lists are not consulted"
            }
        })
    }
}

/// Every check of one appraisal, in order, and what it does not prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    checks: Vec<CheckReport>,
    not_proven: Vec<NotProven>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { checks: Vec::with_capacity(Check::ALL.len()), not_proven: Vec::new() }
    }

    /// Every check, in the order of SPEC.md, Section 7.
    pub fn checks(&self) -> &[CheckReport] {
        &self.checks
    }

    /// The line of one check.
    pub fn check(&self, check: Check) -> &CheckReport {
        // Complete from the moment that anybody else sees it.
        &self.checks[check as usize]
    }

    /// What the appraisal does not prove, the most important first.
    pub fn not_proven(&self) -> &[NotProven] {
        &self.not_proven
    }

    pub(super) fn pass(&mut self, check: Check, detail: impl fmt::Display) {
        self.record(check, Outcome::Passed, detail);
    }

    pub(super) fn skip(&mut self, check: Check, detail: impl fmt::Display) {
        self.record(check, Outcome::NotPerformed, detail);
    }

    fn record(&mut self, check: Check, outcome: Outcome, detail: impl fmt::Display) {
        debug_assert_eq!(check as usize, self.checks.len(), "checks are made in order");
        self.checks.push(CheckReport { check, outcome, detail: detail.to_string() });
    }

    /// Ends the report of an appraisal that succeeded.
    pub(super) fn succeed(&mut self, anchor: &TrustAnchor, trust: Option<&PcrTrust>) {
        let registers = match trust {
            Some(PcrTrust::Pinned { registers, .. } | PcrTrust::KnownSince { registers, .. }) => {
                registers.as_slice()
            }
            _ => &[],
        };
        let pinned = |index| registers.contains(&index);
        let policy = match trust {
            Some(PcrTrust::Pinned { policy, .. }) => policy.as_deref(),
            _ => None,
        };
        let challenged = self.check(Check::Nonce).outcome == Outcome::Passed;
        let open = [
            (NotProven::NitroEnclave, !anchor.is_aws()),
            (NotProven::Freshness, !challenged),
            (NotProven::FirstUse, trust == Some(&PcrTrust::FirstUse)),
            (NotProven::Measurements, trust.is_none()),
            (NotProven::EarlierPolicy, policy.is_some_and(|policy| !policy.earlier_on_record())),
            (NotProven::NewerPolicy, policy.is_some()),
            (NotProven::ImageIsGood, true),
            (NotProven::ManifestIsTrue, true),
            (NotProven::Signer, !pinned(8)),
            (NotProven::Role, !pinned(3)),
            (NotProven::Instance, !pinned(4)),
            (NotProven::Revocation, true),
        ];
        self.not_proven =
            open.into_iter().filter(|(_, open)| *open).map(|(item, _)| item).collect();
    }

    /// Ends the report of an appraisal that failed.
    pub(super) fn fail(&mut self, error: &AppraisalError) {
        self.record(error.check(), Outcome::Failed(error.clone()), error);
        for check in Check::ALL.into_iter().skip(self.checks.len()) {
            self.record(check, Outcome::NotReached, "");
        }
        self.not_proven = vec![NotProven::Anything];
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CheckReport { check, outcome, detail } in &self.checks {
            writeln!(f, "{:<14} {outcome:<14} {detail}", check.id())?;
        }
        f.write_str("\nNot proven:\n")?;
        self.not_proven.iter().try_for_each(|item| writeln!(f, "- {item}"))
    }
}

/// Displays milliseconds since 1970 as a date and time.
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(Duration::from_secs(self.0 / 1000)) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} ms after 1970", self.0),
        }
    }
}
