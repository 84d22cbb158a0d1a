//! Hexadecimal, lower case (SPEC.md, Section 2).

use core::fmt::{self, Write};

/// The digits.
const DIGITS: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Displays bytes in hexadecimal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| {
            f.write_char(DIGITS[usize::from(byte >> 4)])?;
            f.write_char(DIGITS[usize::from(byte & 15)])
        })
    }
}

/// Exactly `N` bytes from `2 * N` digits of either case; `None` for anything else.
pub(super) fn decode<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        assert_eq!(decode::<3>("00fFa5"), Some([0, 0xff, 0xa5]));
        assert_eq!(Hex(&[0, 0xff, 0xa5]).to_string(), "00ffa5");
        for bad in ["", "00ffa", "00ffa5a", "00ffa500", "00ffag", "+0ffa5", "0€a5"] {
            assert_eq!(decode::<3>(bad), None, "{bad}");
        }
    }
}
