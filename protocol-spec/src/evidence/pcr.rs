//! Platform configuration registers and the profiles expected of them (SPEC.md, Section 7.1).

use super::hex::{self, Hex};
use core::fmt;
use std::collections::BTreeMap;

/// Length of a PCR value in bytes: SHA-384.
pub const PCR_LEN: usize = 48;

/// The registers that every profile must name: together they measure the whole image.
///
/// PCR0 alone is not enough: parts of an image can be moved between its sections under an equal PCR0.
pub(super) const MANDATORY: [u8; 3] = [0, 1, 2];

/// The value of one register. All zero means that nothing was measured into it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pcr([u8; PCR_LEN]);

/// Not the 48 bytes, or 96 hexadecimal digits, of a PCR value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PCR value is 48 bytes, or 96 hexadecimal digits")]
pub struct PcrFormatError;

impl Pcr {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; PCR_LEN] {
        &self.0
    }

    /// Whether every byte is zero.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; PCR_LEN]
    }
}

impl From<[u8; PCR_LEN]> for Pcr {
    fn from(bytes: [u8; PCR_LEN]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Pcr {
    type Error = PcrFormatError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self).map_err(|_| PcrFormatError)
    }
}

impl core::str::FromStr for Pcr {
    type Err = PcrFormatError;

    /// Parses 96 hexadecimal digits, as `nitro-cli` prints them.
    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        hex::decode(digits).map(Self).ok_or(PcrFormatError)
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcr({self})")
    }
}

/// Registers by index, as a document holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pcrs(BTreeMap<u8, Pcr>);

impl Pcrs {
    /// The register at `index`, if the document has it.
    pub fn get(&self, index: u8) -> Option<&Pcr> {
        self.0.get(&index)
    }

    /// All registers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &Pcr)> {
        self.0.iter().map(|(index, value)| (*index, value))
    }

    /// Number of registers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a register; `false` when it is there already.
    pub(super) fn insert(&mut self, index: u8, value: Pcr) -> bool {
        self.0.insert(index, value).is_none()
    }
}

impl FromIterator<(u8, Pcr)> for Pcrs {
    fn from_iter<T: IntoIterator<Item = (u8, Pcr)>>(registers: T) -> Self {
        Self(registers.into_iter().collect())
    }
}

/// Expected values: PCR0, PCR1 and PCR2 always, others as wanted. Complete by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrProfile(BTreeMap<u8, Pcr>);

/// Why values do not make a profile. Never to be treated as a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// One of the mandatory registers is not named.
    #[error("PCR{0} is missing: a profile names PCR0, PCR1 and PCR2")]
    Missing(u8),
    /// A value is all zero, which only enclaves in debug mode have.
    #[error("the value for PCR{0} is all zero")]
    Zero(u8),
    /// A register is named twice.
    #[error("PCR{0} is named twice")]
    Duplicate(u8),
    /// A register whose value means nothing for a policy.
    #[error("PCR{0} cannot be pinned: only 0, 1, 2, 3, 4, 8 and 16 to 31 can")]
    Unsupported(u8),
}

impl PcrProfile {
    /// A profile of these registers and values: 0, 1 and 2, and any of 3 (role of the parent
    /// instance), 4 (its id), 8 (signer of the image) and 16 to 31 (the application's own).
    pub fn new(values: impl IntoIterator<Item = (u8, Pcr)>) -> Result<Self, ProfileError> {
        let mut profile = BTreeMap::new();
        for (index, value) in values {
            if !matches!(index, 0..=4 | 8 | 16..=31) {
                return Err(ProfileError::Unsupported(index));
            }
            if value.is_zero() {
                return Err(ProfileError::Zero(index));
            }
            if profile.insert(index, value).is_some() {
                return Err(ProfileError::Duplicate(index));
            }
        }
        match MANDATORY.into_iter().find(|index| !profile.contains_key(index)) {
            Some(index) => Err(ProfileError::Missing(index)),
            None => Ok(Self(profile)),
        }
    }

    /// PCR0, PCR1 and PCR2 as found in a document: what trust on first use records.
    pub fn of(pcrs: &Pcrs) -> Result<Self, ProfileError> {
        Self::new(pcrs.iter().filter(|(index, _)| MANDATORY.contains(index)).map(|(i, v)| (i, *v)))
    }

    /// The expected values in ascending order of index.
    pub fn values(&self) -> impl Iterator<Item = (u8, &Pcr)> {
        self.0.iter().map(|(index, value)| (*index, value))
    }

    /// Whether the profile names this register.
    pub fn names(&self, index: u8) -> bool {
        self.0.contains_key(&index)
    }

    /// Where `pcrs` does not satisfy the profile; empty when it does.
    pub fn differences(&self, pcrs: &Pcrs) -> Vec<PcrDifference> {
        self.values()
            .map(|(index, expected)| PcrDifference {
                index,
                expected: *expected,
                found: pcrs.get(index).copied(),
            })
            .filter(|difference| difference.found != Some(difference.expected))
            .collect()
    }
}

/// A register that does not have its expected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrDifference {
    /// Which register.
    pub index: u8,
    /// The profile's value.
    pub expected: Pcr,
    /// The document's value; `None` when the document does not have the register.
    pub found: Option<Pcr>,
}

impl fmt::Display for PcrDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, expected, found } = self;
        match found {
            Some(found) => write!(f, "PCR{index} expected {expected}, found {found}"),
            None => write!(f, "PCR{index} expected {expected}, found nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcr(byte: u8) -> Pcr {
        Pcr::from([byte; PCR_LEN])
    }

    #[test]
    fn values_are_48_bytes_or_96_digits() {
        assert_eq!("ab".repeat(48).parse(), Ok(pcr(0xab)));
        assert_eq!(pcr(0xab).to_string(), "ab".repeat(48));
        assert_eq!("ab".repeat(47).parse::<Pcr>(), Err(PcrFormatError));
        assert_eq!("ab".repeat(32).parse::<Pcr>(), Err(PcrFormatError));
        assert_eq!(Pcr::try_from(&[1; 47][..]), Err(PcrFormatError));
        assert_eq!(Pcr::try_from(&[1; 49][..]), Err(PcrFormatError));
    }

    #[test]
    fn rows_10_and_11_a_profile_is_complete_or_an_error() {
        let base = [(0, pcr(1)), (1, pcr(2)), (2, pcr(3))];
        assert!(PcrProfile::new(base).is_ok());
        assert_eq!(PcrProfile::new([]), Err(ProfileError::Missing(0)));
        assert_eq!(PcrProfile::new([base[0]]), Err(ProfileError::Missing(1)));
        assert_eq!(PcrProfile::new([base[0], base[1]]), Err(ProfileError::Missing(2)));
        assert_eq!(PcrProfile::new([base[1], base[2]]), Err(ProfileError::Missing(0)));
        let with = |more| PcrProfile::new(base.into_iter().chain([more]));
        for index in 0..=255 {
            let expected = match index {
                0..=2 => Some(ProfileError::Duplicate(index)),
                3 | 4 | 8 | 16..=31 => None,
                _ => Some(ProfileError::Unsupported(index)),
            };
            assert_eq!(with((index, pcr(9))).err(), expected, "{index}");
        }
        assert_eq!(with((8, pcr(0))), Err(ProfileError::Zero(8)));
        assert_eq!(PcrProfile::new([(0, pcr(0))]), Err(ProfileError::Zero(0)));
    }

    #[test]
    fn row_11_an_absent_register_is_a_difference() {
        let profile = PcrProfile::new((0..=4).map(|i| (i, pcr(i + 1)))).unwrap();
        let found: Pcrs = (0..=2).map(|i| (i, pcr(if i == 1 { 9 } else { i + 1 }))).collect();
        let lines: Vec<_> =
            profile.differences(&found).iter().map(PcrDifference::to_string).collect();
        let [two, nine, four, five] = [2, 9, 4, 5].map(|byte| pcr(byte).to_string());
        assert_eq!(
            lines,
            [
                format!("PCR1 expected {two}, found {nine}"),
                format!("PCR3 expected {four}, found nothing"),
                format!("PCR4 expected {five}, found nothing"),
            ]
        );
    }
}
