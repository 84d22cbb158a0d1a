//! Which enclaves a client accepts (SPEC.md, Section 7.1).

use super::{AppraisalError, PcrDifference, PcrProfile, Pcrs, SignedPolicy};
use core::fmt;
use std::sync::Arc;

/// A rule for the measurements of an enclave. It cannot be empty.
#[derive(Clone, Debug)]
pub struct Policy(Kind);

#[derive(Clone)]
enum Kind {
    Pinned(Arc<[PcrProfile]>),
    Signed(Arc<SignedPolicy>),
    FirstUse(Arc<dyn PinStore>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(profiles) => f.debug_tuple("Pinned").field(profiles).finish(),
            Self::Signed(policy) => f.debug_tuple("Signed").field(policy).finish(),
            Self::FirstUse(_) => f.write_str("FirstUse"),
        }
    }
}

/// A policy without profiles is an error, never a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a policy needs at least one profile")]
pub struct PolicyError;

impl Policy {
    /// The enclave must satisfy one of these profiles, as a whole.
    ///
    /// Several profiles serve a rolling deployment: the release that runs and the one that comes.
    pub fn pinned(profiles: impl Into<Vec<PcrProfile>>) -> Result<Self, PolicyError> {
        let profiles = profiles.into();
        if profiles.is_empty() { Err(PolicyError) } else { Ok(Self(Kind::Pinned(profiles.into()))) }
    }

    /// The enclave must satisfy a profile of a policy that the app's owner has signed, as a whole,
    /// and before that policy expires.
    pub fn signed(policy: SignedPolicy) -> Self {
        Self(Kind::Signed(Arc::new(policy)))
    }

    /// The first enclave met under an origin is believed and recorded; later ones must match it.
    ///
    /// Nothing vouches for the first one: pin profiles wherever the values are to be had.
    pub fn trust_on_first_use(store: Arc<dyn PinStore>) -> Self {
        Self(Kind::FirstUse(store))
    }

    /// True for two signed policies of one namespace of which `other` is the older one.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Signed(own), Kind::Signed(other)) => {
                own.namespace() == other.namespace() && own.version() > other.version()
            }
            _ => false,
        }
    }

    /// When a signed policy ends, in milliseconds since 1970; others never do.
    pub(super) fn expires_ms(&self) -> u64 {
        match &self.0 {
            Kind::Signed(policy) => policy.expires_ms(),
            Kind::Pinned(_) | Kind::FirstUse(_) => u64::MAX,
        }
    }

    /// Check `policy`, with all other checks passed: records on first use.
    pub(super) fn appraise(
        &self,
        pcrs: &Pcrs,
        origin: &str,
        now_ms: u64,
    ) -> Result<PcrTrust, AppraisalError> {
        let store = match &self.0 {
            Kind::Pinned(profiles) => return Ok(compare_profiles(profiles.iter(), None, pcrs)?),
            Kind::Signed(policy) => return compare_signed(policy, pcrs, now_ms),
            Kind::FirstUse(store) => store,
        };
        if let Some(pin) = store.load(origin)? {
            return Ok(pin.compare(pcrs)?);
        }
        let profile = PcrProfile::of(pcrs).map_err(PinStoreError::new)?;
        let pin = Pin { profile, first_seen_ms: now_ms };
        let recorded = store.record(origin, &pin)?;
        if recorded == pin { Ok(PcrTrust::FirstUse) } else { Ok(recorded.compare(pcrs)?) }
    }

    /// Compares without recording anything: `None` when this would be the first use of the origin.
    ///
    /// `origin` matters to trust on first use only, and `now_ms`, in milliseconds since 1970, to
    /// signed policies.
    pub fn compare(
        &self,
        pcrs: &Pcrs,
        origin: &str,
        now_ms: u64,
    ) -> Result<Option<PcrTrust>, AppraisalError> {
        match &self.0 {
            Kind::Pinned(profiles) => Ok(Some(compare_profiles(profiles.iter(), None, pcrs)?)),
            Kind::Signed(policy) => compare_signed(policy, pcrs, now_ms).map(Some),
            Kind::FirstUse(store) => match store.load(origin)? {
                Some(pin) => Ok(Some(pin.compare(pcrs)?)),
                None => Ok(None),
            },
        }
    }
}

fn compare_signed(
    policy: &Arc<SignedPolicy>,
    pcrs: &Pcrs,
    now_ms: u64,
) -> Result<PcrTrust, AppraisalError> {
    if now_ms >= policy.expires_ms() {
        return Err(AppraisalError::PolicyExpired { policy: policy.clone(), now_ms });
    }
    let profiles = policy.profiles().iter().map(|labelled| &labelled.profile);
    Ok(compare_profiles(profiles, Some(policy), pcrs)?)
}

fn compare_profiles<'a>(
    profiles: impl Iterator<Item = &'a PcrProfile>,
    policy: Option<&Arc<SignedPolicy>>,
    pcrs: &Pcrs,
) -> Result<PcrTrust, PolicyMismatch> {
    let policy = policy.cloned();
    let mut mismatch = Vec::new();
    for (index, profile) in profiles.enumerate() {
        let differences = profile.differences(pcrs);
        if differences.is_empty() {
            let registers = registers(profile);
            return Ok(PcrTrust::Pinned { profile: index, registers, policy });
        }
        mismatch.push(differences);
    }
    Err(PolicyMismatch { first_seen_ms: None, policy, profiles: mismatch })
}

fn registers(profile: &PcrProfile) -> Vec<u8> {
    profile.values().map(|(index, _)| index).collect()
}

/// What was recorded for an origin on first use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The values to compare with.
    pub profile: PcrProfile,
    /// When they were recorded, in milliseconds since 1970.
    pub first_seen_ms: u64,
}

impl Pin {
    fn compare(&self, pcrs: &Pcrs) -> Result<PcrTrust, PolicyMismatch> {
        let first_seen_ms = self.first_seen_ms;
        let differences = self.profile.differences(pcrs);
        if differences.is_empty() {
            Ok(PcrTrust::KnownSince { first_seen_ms, registers: registers(&self.profile) })
        } else {
            let first_seen_ms = Some(first_seen_ms);
            Err(PolicyMismatch { first_seen_ms, policy: None, profiles: vec![differences] })
        }
    }
}

/// Durable memory for trust on first use, one pin per origin.
pub trait PinStore: Send + Sync {
    /// The pin recorded for `origin`, if there is one.
    ///
    /// An unreadable or damaged record is an error, not `None`.
    fn load(&self, origin: &str) -> Result<Option<Pin>, PinStoreError>;

    /// Records `pin` for `origin`, atomically, unless there is a record already; gives the pin that
    /// is on record afterwards.
    ///
    /// It must have reached durable storage on return. Where that takes asynchronous calls, the
    /// caller of the appraisal has to wait for them before it uses the verified enclave.
    fn record(&self, origin: &str, pin: &Pin) -> Result<Pin, PinStoreError>;
}

/// A store of pins cannot read or write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PinStoreError(String);

impl PinStoreError {
    /// An error with this reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// Why the measurements are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PcrTrust {
    /// They satisfy a profile of the policy.
    Pinned {
        /// Which one, counted from 0.
        profile: usize,
        /// The registers it names.
        registers: Vec<u8>,
        /// The policy, if it is a signed one.
        policy: Option<Arc<SignedPolicy>>,
    },
    /// Nothing vouches for them: they were recorded just now.
    FirstUse,
    /// They are those recorded before.
    KnownSince {
        /// When, in milliseconds since 1970.
        first_seen_ms: u64,
        /// The registers on record.
        registers: Vec<u8>,
    },
}

impl fmt::Display for PcrTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned { profile, registers, policy } => {
                match policy {
                    None => write!(f, "satisfies pinned profile {profile}: ")?,
                    Some(policy) => {
                        write!(f, "{policy}; satisfies {}: ", ProfileName(*profile, Some(policy)))?;
                    }
                }
                write_registers(f, registers)
            }
            Self::FirstUse => f.write_str("recorded on first use; nothing vouches for it"),
            Self::KnownSince { first_seen_ms, registers } => {
                let since = super::report::Time(*first_seen_ms);
                write!(f, "same as first seen at {since}: ")?;
                write_registers(f, registers)
            }
        }
    }
}

fn write_registers(f: &mut fmt::Formatter<'_>, registers: &[u8]) -> fmt::Result {
    registers.iter().enumerate().try_for_each(|(position, index)| {
        write!(f, "{}PCR{index}", if position == 0 { "" } else { ", " })
    })
}

/// Where the measurements differ from every profile there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMismatch {
    /// With trust on first use: when the one profile was recorded, in milliseconds since 1970.
    pub first_seen_ms: Option<u64>,
    /// The policy, if it is a signed one.
    pub policy: Option<Arc<SignedPolicy>>,
    /// For each profile, in the policy's order, the registers that differ.
    pub profiles: Vec<Vec<PcrDifference>>,
}

impl core::error::Error for PolicyMismatch {}

/// Profiles that a message describes; a policy can hold many.
const MAX_DESCRIBED: usize = 4;

impl fmt::Display for PolicyMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy.as_deref();
        if let Some(policy) = policy {
            write!(f, "{policy}, allows none of these measurements: ")?;
        }
        for (index, differences) in self.profiles.iter().take(MAX_DESCRIBED).enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match self.first_seen_ms {
                Some(ms) => write!(f, "recorded at {}: ", super::report::Time(ms))?,
                None => write!(f, "{}: ", ProfileName(index, policy))?,
            }
            for (position, difference) in differences.iter().enumerate() {
                write!(f, "{}{difference}", if position == 0 { "" } else { ", " })?;
            }
        }
        match self.profiles.len().saturating_sub(MAX_DESCRIBED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more profiles that differ"),
        }
    }
}

/// Number and label of a profile.
struct ProfileName<'a>(usize, Option<&'a SignedPolicy>);

impl fmt::Display for ProfileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {}", self.0)?;
        let labelled = self.1.and_then(|policy| policy.profiles().get(self.0));
        match labelled.and_then(|labelled| labelled.label.as_ref()) {
            Some(label) => write!(f, " \"{label}\""),
            None => Ok(()),
        }
    }
}
