//! The CBOR of this protocol (RFC 8949): definite lengths, shortest integers, text keys that occur
//! once, no tags, nothing behind the item.
//!
//! Everything read is a slice of the input: nothing is allocated for a length that the input merely
//! claims.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// Not the CBOR that this protocol allows, or not the map that belongs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message")]
pub(crate) struct Malformed;

/// Reads one item after the other.
pub(crate) struct Reader<'a>(Decoder<'a>);

/// Reads the map that is the whole input. `entry` gets each key and must consume its value.
pub(crate) fn whole_map<'a>(
    input: &'a [u8],
    entry: impl FnMut(&'a str, &mut Reader<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader(Decoder::new(input));
    reader.map(entry)?;
    if reader.position() == input.len() { Ok(()) } else { Err(Malformed) }
}

/// Fills a field of a map, which must not be there twice.
pub(crate) fn once<T>(field: &mut Option<T>, value: T) -> Result<(), Malformed> {
    if field.replace(value).is_some() { Err(Malformed) } else { Ok(()) }
}

impl<'a> Reader<'a> {
    /// A map of text keys. `entry` gets each key and must consume its value; every call consumes
    /// input or fails, so that a large claimed length costs nothing.
    pub(crate) fn map(
        &mut self,
        mut entry: impl FnMut(&'a str, &mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let len = self.shortest(Decoder::map, |len| (len.unwrap_or_default(), 0))?;
        (0..len.ok_or(Malformed)?).try_for_each(|_| {
            let key = self.text()?;
            entry(key, self)
        })
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        self.shortest(Decoder::u64, |value| (*value, 0))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        self.shortest(Decoder::str, |text| (text.len() as u64, text.len()))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.shortest(Decoder::bytes, |bytes| (bytes.len() as u64, bytes.len()))
    }

    /// A byte string of exactly this length.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.0.datatype() {
            Ok(Type::Null) => self.0.null().map(|()| None).map_err(|_| Malformed),
            _ => self.bytes().map(Some),
        }
    }

    /// Bytes consumed so far.
    pub(crate) fn position(&self) -> usize {
        self.0.position()
    }

    /// Reads an item of which `parts` says the argument in its head and the bytes behind the head:
    /// what took more bytes was not in the shortest form.
    fn shortest<T>(
        &mut self,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, Error>,
        parts: impl FnOnce(&T) -> (u64, usize),
    ) -> Result<T, Malformed> {
        let start = self.position();
        let item = read(&mut self.0).map_err(|_| Malformed)?;
        let (argument, content) = parts(&item);
        let shortest = head_len(argument) + content;
        if self.position() - start == shortest { Ok(item) } else { Err(Malformed) }
    }
}

/// Length of the shortest head with this argument (RFC 8949, Section 3).
fn head_len(argument: u64) -> usize {
    match argument {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uint_of_a(input: &[u8]) -> Result<Option<u64>, Malformed> {
        let mut a = None;
        whole_map(input, |key, reader| match key {
            "a" => once(&mut a, reader.uint()?),
            _ => Err(Malformed),
        })?;
        Ok(a)
    }

    #[test]
    fn integers_and_lengths_have_one_form() {
        for (good, value) in [
            (&b"\xa1\x61a\x17"[..], 23),
            (b"\xa1\x61a\x18\x18", 24),
            (b"\xa1\x61a\x19\x01\x00", 256),
            (b"\xa1\x61a\x1a\x00\x01\x00\x00", 65_536),
            (b"\xa1\x61a\x1b\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32),
        ] {
            assert_eq!(uint_of_a(good), Ok(Some(value)), "{good:02x?}");
        }
        for bad in [
            &b"\xa1\x61a\x18\x17"[..],
            b"\xa1\x61a\x19\x00\xff",
            b"\xa1\x61a\x1a\x00\x00\xff\xff",
            b"\xa1\x61a\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\xb8\x01\x61a\x01",
            b"\xa1\x78\x01a\x01",
        ] {
            assert_eq!(uint_of_a(bad), Err(Malformed), "{bad:02x?}");
        }
    }

    #[test]
    fn refuses_what_is_not_plain() {
        for (what, bad) in [
            ("nothing", &b""[..]),
            ("no map", b"\x01"),
            ("a byte behind it", b"\xa1\x61a\x01\x00"),
            ("the same key twice", b"\xa2\x61a\x01\x61a\x01"),
            ("an unknown key", b"\xa1\x61b\x01"),
            ("a key that is no text", b"\xa1\x41a\x01"),
            ("an indefinite map", b"\xbf\x61a\x01\xff"),
            ("an indefinite key", b"\xa1\x7f\x61a\xff\x01"),
            ("a tag", b"\xc1\xa1\x61a\x01"),
            ("a tagged value", b"\xa1\x61a\xc1\x01"),
            ("a negative number", b"\xa1\x61a\x20"),
            ("a float", b"\xa1\x61a\xf9\x3c\x00"),
            ("a key that is not UTF-8", b"\xa1\x61\xff\x01"),
            ("an end too early", b"\xa1\x61a"),
            ("a huge map", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),
            ("a huge key", b"\xa1\x7b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ] {
            assert_eq!(uint_of_a(bad), Err(Malformed), "{what}");
        }
        assert_eq!(uint_of_a(b"\xa0"), Ok(None));
    }

    #[test]
    fn strings_and_null() {
        let read = |input: &[u8]| {
            let mut value = None;
            whole_map(input, |_, reader| {
                value = reader.bytes_or_null()?.map(<[u8]>::to_vec);
                Ok(())
            })?;
            Ok::<_, Malformed>(value)
        };
        assert_eq!(read(b"\xa1\x61a\xf6"), Ok(None));
        assert_eq!(read(b"\xa1\x61a\x40"), Ok(Some(vec![])));
        assert_eq!(read(b"\xa1\x61a\x42\x01\x02"), Ok(Some(vec![1, 2])));
        for bad in [&b"\xa1\x61a\xf7"[..], b"\xa1\x61a\x5f\x41\x01\xff", b"\xa1\x61a\x58\x01\x01"] {
            assert_eq!(read(bad), Err(Malformed), "{bad:02x?}");
        }
    }
}
