//! What random input has seldom, so that most of it gets past the first rule.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Mostly none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seldom<T>(pub Option<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Seldom<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(match u8::arbitrary(u)? {
            ..230 => None,
            _ => Some(T::arbitrary(u)?),
        }))
    }
}

impl<T> Seldom<T> {
    /// True if it is there.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}
