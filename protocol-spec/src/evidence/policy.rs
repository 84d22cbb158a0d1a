//! Which enclaves a client accepts (SPEC.md, Section 7.1).

use super::{AppraisalError, PcrDifference, PcrProfile, Pcrs};
use core::fmt;
use std::sync::Arc;

/// A rule for the measurements of an enclave. It cannot be empty.
#[derive(Clone, Debug)]
pub struct Policy(Kind);

#[derive(Clone)]
enum Kind {
    Pinned(Arc<[PcrProfile]>),
    FirstUse(Arc<dyn PinStore>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(profiles) => f.debug_tuple("Pinned").field(profiles).finish(),
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

    /// The first enclave met under an origin is believed and recorded; later ones must match it.
    ///
    /// Nothing vouches for the first one: pin profiles wherever the values are to be had.
    pub fn trust_on_first_use(store: Arc<dyn PinStore>) -> Self {
        Self(Kind::FirstUse(store))
    }

    /// Check `policy`, with all other checks passed: records on first use.
    pub(super) fn appraise(
        &self,
        pcrs: &Pcrs,
        origin: &str,
        now_ms: u64,
    ) -> Result<PcrTrust, AppraisalError> {
        let store = match &self.0 {
            Kind::Pinned(profiles) => return Ok(compare_profiles(profiles, pcrs)?),
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
    /// `origin` matters to trust on first use only.
    pub fn compare(&self, pcrs: &Pcrs, origin: &str) -> Result<Option<PcrTrust>, AppraisalError> {
        match &self.0 {
            Kind::Pinned(profiles) => Ok(Some(compare_profiles(profiles, pcrs)?)),
            Kind::FirstUse(store) => match store.load(origin)? {
                Some(pin) => Ok(Some(pin.compare(pcrs)?)),
                None => Ok(None),
            },
        }
    }
}

fn compare_profiles(profiles: &[PcrProfile], pcrs: &Pcrs) -> Result<PcrTrust, PolicyMismatch> {
    let mut mismatch = Vec::with_capacity(profiles.len());
    for (index, profile) in profiles.iter().enumerate() {
        let differences = profile.differences(pcrs);
        if differences.is_empty() {
            return Ok(PcrTrust::Pinned { profile: index, registers: registers(profile) });
        }
        mismatch.push(differences);
    }
    Err(PolicyMismatch { first_seen_ms: None, profiles: mismatch })
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
            Err(PolicyMismatch { first_seen_ms, profiles: vec![differences] })
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
            Self::Pinned { profile, registers } => {
                write!(f, "satisfies pinned profile {profile}: ")?;
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
    /// For each profile, in the policy's order, the registers that differ.
    pub profiles: Vec<Vec<PcrDifference>>,
}

impl core::error::Error for PolicyMismatch {}

impl fmt::Display for PolicyMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, differences) in self.profiles.iter().enumerate() {
            match self.first_seen_ms {
                Some(ms) => write!(f, "recorded at {}: ", super::report::Time(ms))?,
                None if index == 0 => f.write_str("profile 0: ")?,
                None => write!(f, "; profile {index}: ")?,
            }
            for (position, difference) in differences.iter().enumerate() {
                write!(f, "{}{difference}", if position == 0 { "" } else { ", " })?;
            }
        }
        Ok(())
    }
}
