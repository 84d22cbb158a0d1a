//! The presentation language of SPEC.md, Section 2 (RFC 8446, Section 3).

/// The input ends early, has bytes left over, or holds a value out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed encoding")]
pub struct DecodeError;

/// Reads fields off the front of a slice; borrows, never allocates.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(DecodeError)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// `opaque x<0..2^16-1>`, of at most `max` bytes.
    pub(crate) fn vec16(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(self.u16()?);
        if len > max {
            return Err(DecodeError);
        }
        self.bytes(len)
    }

    /// A variable-length integer of RFC 9000, Section 16.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let first = self.u8()?;
        let mut value = u64::from(first & 0x3f);
        for byte in self.bytes((1 << (first >> 6)) - 1)? {
            value = value << 8 | u64::from(*byte);
        }
        Ok(value)
    }

    /// A varint length and that many bytes.
    pub(crate) fn varint_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.varint()?).map_err(|_| DecodeError)?;
        self.bytes(len)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError) }
    }
}

/// Appends `opaque x<0..2^16-1>`.
///
/// Errors when `bytes` is longer than the prefix can say.
pub(crate) fn put_vec16(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), DecodeError> {
    let len = u16::try_from(bytes.len()).map_err(|_| DecodeError)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a varint in its shortest form. Values of 2^62 and more do not occur: callers encode lengths.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => {
            debug_assert!(value < 1 << 62);
            out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes());
        }
    }
}

/// Appends a varint length and the bytes.
pub(crate) fn put_varint_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_rfc9000_appendix_a1() {
        for (encoded, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(Reader::new(encoded).varint(), Ok(value));
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, encoded);
        }
        assert_eq!(Reader::new(&[0x40, 0x25]).varint(), Ok(37), "longer than needed");
    }

    #[test]
    fn never_reads_past_the_end() {
        assert_eq!(Reader::new(&[0x40]).varint(), Err(DecodeError));
        assert_eq!(Reader::new(&[5, 1]).varint_bytes(), Err(DecodeError));
        assert_eq!(Reader::new(&[0xff; 8]).varint_bytes(), Err(DecodeError));
        assert_eq!(Reader::new(&[0, 2, 1]).vec16(16), Err(DecodeError));
        assert_eq!(Reader::new(&[0, 2, 1, 1]).vec16(1), Err(DecodeError));
        assert_eq!(Reader::new(&[1]).finish(), Err(DecodeError));
    }
}
