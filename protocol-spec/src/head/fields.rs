use super::HeadError;
use super::rules::{is_name, is_value};
use crate::codec::{Reader, put_varint, put_varint_bytes};
use bytes::Bytes;
use std::fmt;

/// Field lines a section may have.
pub const MAX_FIELD_LINES: usize = 256;

/// One field line: a name in lower case and a value, both valid.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldLine {
    name: Bytes,
    value: Bytes,
}

impl FieldLine {
    /// A token in lower case.
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// The value; need not be UTF-8.
    pub fn value(&self) -> &Bytes {
        &self.value
    }
}

/// Leaves out the value, which can be a secret.
impl fmt::Debug for FieldLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ({} bytes)", self.name(), self.value.len())
    }
}

/// A field section: ordered, with repetition. Slices of the frame it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<FieldLine>);

impl Fields {
    /// The lines in their order.
    pub fn iter(&self) -> impl Iterator<Item = &FieldLine> {
        self.0.iter()
    }

    /// The values of one field, in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.iter().filter(move |line| line.name() == name).map(FieldLine::value)
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without lines.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a known-length field section that takes up the rest of `content` from `start` on.
    pub(super) fn decode(content: &Bytes, start: usize) -> Result<Self, HeadError> {
        let mut outer = Reader::new(&content[start..]);
        let section = outer.varint_bytes().map_err(|_| HeadError::Encoding)?;
        outer.finish().map_err(|_| HeadError::Encoding)?;
        let mut reader = Reader::new(section);
        let mut lines = Vec::new();
        while !reader.is_empty() {
            if lines.len() == MAX_FIELD_LINES {
                return Err(HeadError::TooManyFields);
            }
            let name = reader.varint_bytes().map_err(|_| HeadError::Encoding)?;
            let value = reader.varint_bytes().map_err(|_| HeadError::Encoding)?;
            if !is_name(name) {
                return Err(HeadError::FieldName);
            }
            if !is_value(value) {
                return Err(HeadError::FieldValue);
            }
            lines
                .push(FieldLine { name: content.slice_ref(name), value: content.slice_ref(value) });
        }
        Ok(Self(lines))
    }
}

/// Appends a known-length field section.
pub(super) fn encode<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) {
    let len = fields
        .clone()
        .map(|(name, value)| varint_bytes_len(name.len()) + varint_bytes_len(value.len()))
        .sum::<usize>();
    put_varint(out, len as u64);
    for (name, value) in fields {
        put_varint_bytes(out, name.as_bytes());
        put_varint_bytes(out, value);
    }
}

fn varint_bytes_len(len: usize) -> usize {
    let prefix = match len {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    };
    prefix + len
}
