//! Strict CBOR (RFC 8949) on top of `minicbor`: bounded, borrowing, in one pass.
//!
//! Arrays and maps may have definite or indefinite length, strings must have definite length
//! (SPEC.md, Section 7). Nothing is allocated for a length that the input merely claims.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// Arrays, maps and tags inside each other, the outermost one included (SPEC.md, Section 14).
pub(super) const MAX_DEPTH: usize = 8;

/// Reads an array; `element` must consume exactly one item.
pub(super) fn array<'a, E: From<Error>>(
    decoder: &mut Decoder<'a>,
    element: impl FnMut(&mut Decoder<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let len = decoder.array()?;
    repeat(decoder, len, element)
}

/// Reads a map; `entry` must consume exactly one key and its value.
pub(super) fn map<'a, E: From<Error>>(
    decoder: &mut Decoder<'a>,
    entry: impl FnMut(&mut Decoder<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let len = decoder.map()?;
    repeat(decoder, len, entry)
}

/// Calls `each` once per entry. Every call consumes input or fails, so a large `len` costs nothing.
fn repeat<'a, E: From<Error>>(
    decoder: &mut Decoder<'a>,
    len: Option<u64>,
    mut each: impl FnMut(&mut Decoder<'a>) -> Result<(), E>,
) -> Result<(), E> {
    match len {
        Some(len) => (0..len).try_for_each(|_| each(decoder)),
        None => {
            while decoder.datatype()? != Type::Break {
                each(decoder)?;
            }
            decoder.set_position(decoder.position() + 1);
            Ok(())
        }
    }
}

/// A byte string, null or nothing: how the NSM encodes what was not asked for.
pub(super) fn bytes_or_null<'a>(decoder: &mut Decoder<'a>) -> Result<Option<&'a [u8]>, Error> {
    match decoder.datatype()? {
        Type::Null => decoder.null().map(|()| None),
        _ => decoder.bytes().map(Some),
    }
}

/// Skips one well-formed item that may still nest `depth` arrays, maps or tags.
pub(super) fn skip(decoder: &mut Decoder<'_>, depth: usize) -> Result<(), Error> {
    let inner = depth.checked_sub(1).ok_or(Error::message("nested too deeply"));
    match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => {
            let inner = inner?;
            array(decoder, |decoder| skip(decoder, inner))
        }
        Type::Map | Type::MapIndef => {
            let inner = inner?;
            map(decoder, |decoder| {
                skip(decoder, inner)?;
                skip(decoder, inner)
            })
        }
        Type::Tag => {
            decoder.tag()?;
            skip(decoder, inner?)
        }
        Type::String => decoder.str().map(drop),
        Type::Bytes => decoder.bytes().map(drop),
        Type::BytesIndef | Type::StringIndef | Type::Break | Type::Unknown(_) => {
            Err(Error::message("not allowed here"))
        }
        Type::Simple => match (decoder.position(), decoder.simple()?) {
            // RFC 8949, Section 3.3: two bytes are for those that do not fit into one.
            (start, 0..32) if decoder.position() - start > 1 => {
                Err(Error::message("simple value in two bytes that fits into one"))
            }
            _ => Ok(()),
        },
        _ => decoder.skip(),
    }
}

/// Whether the whole input has been consumed.
pub(super) fn at_end(decoder: &Decoder<'_>) -> bool {
    decoder.position() == decoder.input().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skips(input: &[u8]) -> bool {
        let mut decoder = Decoder::new(input);
        skip(&mut decoder, MAX_DEPTH - 1).is_ok() && at_end(&decoder)
    }

    #[test]
    fn skips_every_kind_of_item() {
        for item in [
            &[0x00][..],
            &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x42, 1, 2],
            &[0x62, b'a', b'b'],
            &[0x82, 1, 0x81, 2],
            &[0x9f, 1, 2, 0xff],
            &[0xa1, 1, 2],
            &[0xbf, 1, 0x9f, 0xff, 0xff],
            &[0xc2, 0x41, 1],
            &[0xf4],
            &[0xf6],
            &[0xf7],
            &[0xf8, 0x20],
            &[0xf9, 0x3c, 0x00],
            &[0xfa, 0, 0, 0, 0],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(skips(item), "{item:02x?}");
            assert!(!skips(&item[..item.len() - 1]), "truncated {item:02x?}");
        }
    }

    #[test]
    fn row_18_bombs_do_not_go_off() {
        for depth in 0..=MAX_DEPTH {
            let fits = depth < MAX_DEPTH;
            for (open, close) in [(0x81, None), (0x9f, Some(0xff)), (0xc1, None)] {
                let mut nested = vec![open; depth];
                nested.push(0);
                nested.extend(close.into_iter().cycle().take(depth));
                assert_eq!(skips(&nested), fits, "{open:02x} {depth}");
            }
        }
        for bomb in [
            &[0x81; 16384][..],
            &[0x9f; 16384],
            &[0xbf; 16384],
            &[0xc1; 16384],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5f, 0x41, 0, 0xff],
            &[0x7f, 0x61, b'a', 0xff],
            &[0xff],
            &[0x1c],
            &[0xf8, 0x16],
            &[0xf8, 0x1f],
            &[0xfc],
        ] {
            assert!(!skips(bomb), "{:02x?}", &bomb[..bomb.len().min(12)]);
        }
    }
}
