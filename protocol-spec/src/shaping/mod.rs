//! What a sender does against those who look at lengths and times (SPEC.md, Section 9.6).

mod padding;

pub use padding::{BlockLen, Padding};

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The field of a request head that asks for the shaping of the response.
pub const FIELD: &str = "steve-padding";

/// Padding and coalescing of one direction of a stream. The default is none of either.
///
/// As text: `none`, `padme` or `block=1024`, and optionally `, coalesce=50`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// To which lengths frames are padded.
    pub padding: Padding,
    /// How far apart the times are at which frames leave that are not full.
    pub coalesce: Option<Interval>,
}

/// Time between two ticks: 10 to 1000 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(u16);

/// The text is no [`Shaping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a padding policy: it must be none, padme or block=N with N from 16 to 16384 bytes, and \
     may end in `, coalesce=MS` with MS from 10 to 1000 milliseconds"
)]
pub struct ShapingError;

impl Interval {
    /// None outside the range.
    pub const fn from_millis(millis: u16) -> Option<Self> {
        if matches!(millis, 10..=1000) { Some(Self(millis)) } else { None }
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> u16 {
        self.0
    }

    /// The first tick that is later than `elapsed`; both are counted from the first one.
    pub fn tick_after(self, elapsed: Duration) -> Duration {
        let interval = u64::from(self.0);
        let passed = elapsed.as_millis() as u64 / interval;
        Duration::from_millis((passed + 1).saturating_mul(interval))
    }
}

impl Shaping {
    /// True if everything leaves as it comes.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// This, made to hide all that `minimum` hides: its padding unless the own one
    /// [covers](Padding::covers) it, and the longer interval.
    pub fn at_least(self, minimum: Self) -> Self {
        let padding =
            if self.padding.covers(minimum.padding) { self.padding } else { minimum.padding };
        Self { padding, coalesce: self.coalesce.max(minimum.coalesce) }
    }
}

impl From<Padding> for Shaping {
    fn from(padding: Padding) -> Self {
        Self { padding, coalesce: None }
    }
}

impl FromStr for Shaping {
    type Err = ShapingError;

    fn from_str(text: &str) -> Result<Self, ShapingError> {
        let (padding, coalesce) = match text.split_once(',') {
            Some((padding, rest)) => {
                let millis = rest.trim_start_matches(' ').strip_prefix("coalesce=");
                let interval = millis.and_then(number).and_then(Interval::from_millis);
                (padding.trim_end_matches(' '), Some(interval.ok_or(ShapingError)?))
            }
            None => (text, None),
        };
        let padding = match padding.strip_prefix("block=") {
            Some(len) => Padding::Block(number(len).and_then(BlockLen::new).ok_or(ShapingError)?),
            None if padding == "padme" => Padding::Padme,
            None if padding == "none" => Padding::None,
            None => return Err(ShapingError),
        };
        Ok(Self { padding, coalesce })
    }
}

/// Decimal digits without leading zeros.
fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

impl fmt::Display for Shaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.padding {
            Padding::None => f.write_str("none")?,
            Padding::Padme => f.write_str("padme")?,
            Padding::Block(len) => write!(f, "block={}", len.get())?,
        }
        match self.coalesce {
            Some(interval) => write!(f, ", coalesce={}", interval.as_millis()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
