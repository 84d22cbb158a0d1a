//! Heads and trailer sections: Binary HTTP (RFC 9292) in known-length form, and the rules for what is
//! in them (SPEC.md, Section 10). Encoding and decoding hold to the same rules.

mod body_length;
mod error;
mod fields;
mod hop_by_hop;
mod rules;
mod upgrade;

pub use body_length::BodyLength;
pub use error::HeadError;
pub use fields::{FieldLine, Fields, MAX_FIELD_LINES};
pub use hop_by_hop::{HopByHop, is_reserved};

use crate::codec::{Reader, put_varint, put_varint_bytes};
use crate::frame::MAX_CONTENT_LEN;
use bytes::Bytes;
use std::fmt;

/// Names that a trailer section must not hold.
const NOT_IN_TRAILERS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "trailer", "connection", "te", "upgrade"];

/// A request without its body. Slices of the frame it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead {
    method: Bytes,
    scheme: Bytes,
    authority: Bytes,
    path: Bytes,
    fields: Fields,
    content_length: Option<u64>,
}

impl RequestHead {
    /// Decodes the content of a HEAD frame and checks every rule.
    pub fn decode(content: Bytes) -> Result<Self, HeadError> {
        if content.len() > MAX_CONTENT_LEN {
            return Err(HeadError::TooLarge);
        }
        let mut reader = Reader::new(&content);
        let mut part = || {
            reader
                .varint_bytes()
                .map(|part| content.slice_ref(part))
                .map_err(|_| HeadError::Encoding)
        };
        let (method, scheme, authority, path) = (part()?, part()?, part()?, part()?);
        if !rules::is_token(&method) {
            return Err(HeadError::Method);
        }
        if !rules::is_scheme(&scheme) {
            return Err(HeadError::Scheme);
        }
        if !rules::is_authority(&authority) {
            return Err(HeadError::Authority);
        }
        if !rules::is_path(&method, &path) {
            return Err(HeadError::Path);
        }
        let fields = Fields::decode(&content, content.len() - reader.remaining())?;
        let mut hosts = fields.all("host");
        let host_ok = hosts.next().is_none_or(|host| *host == authority) && hosts.next().is_none();
        if !host_ok {
            return Err(HeadError::Host);
        }
        let content_length = body_length::declared(&fields)?;
        drop(hosts);
        upgrade::check(&method, &fields, content_length)?;
        Ok(Self { method, scheme, authority, path, fields, content_length })
    }

    /// A token, for example GET; case matters.
    pub fn method(&self) -> &str {
        text(&self.method)
    }

    /// "http" or "https".
    pub fn scheme(&self) -> &str {
        text(&self.scheme)
    }

    /// Host and optional port.
    pub fn authority(&self) -> &str {
        text(&self.authority)
    }

    /// Path and query, or "*".
    pub fn path(&self) -> &str {
        text(&self.path)
    }

    /// The field section.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The length of the body, if declared.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The protocol that the request asks to change to, for example `websocket` (SPEC.md, Section
    /// 10.6).
    pub fn upgrade(&self) -> Option<&str> {
        self.fields.all("upgrade").next().map(text)
    }
}

/// Leaves out the path, which can hold secrets as field values can.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method())
            .field("scheme", &self.scheme())
            .field("authority", &self.authority())
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// A response without its body. Slices of the frame it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    status: u16,
    fields: Fields,
    content_length: Option<u64>,
}

impl ResponseHead {
    /// Decodes the content of a HEAD frame and checks every rule.
    pub fn decode(content: Bytes) -> Result<Self, HeadError> {
        if content.len() > MAX_CONTENT_LEN {
            return Err(HeadError::TooLarge);
        }
        let mut reader = Reader::new(&content);
        let status = reader.varint().map_err(|_| HeadError::Encoding)?;
        let status = u16::try_from(status).map_err(|_| HeadError::Status)?;
        check_status(status)?;
        let fields = Fields::decode(&content, content.len() - reader.remaining())?;
        let content_length = body_length::declared(&fields)?;
        if status < 200 && content_length.is_some() {
            return Err(HeadError::ContentLength);
        }
        Ok(Self { status, fields, content_length })
    }

    /// 100 to 599; below 200 it is informational, except 101.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The field section.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The length of the body, if declared.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }
}

/// A trailer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailers(Fields);

impl Trailers {
    /// Decodes the content of a TRAILERS frame and checks every rule.
    pub fn decode(content: Bytes) -> Result<Self, HeadError> {
        if content.len() > MAX_CONTENT_LEN {
            return Err(HeadError::TooLarge);
        }
        let fields = Fields::decode(&content, 0)?;
        if fields.iter().any(|line| NOT_IN_TRAILERS.contains(&line.name())) {
            return Err(HeadError::TrailerField);
        }
        Ok(Self(fields))
    }

    /// The field section.
    pub fn fields(&self) -> &Fields {
        &self.0
    }
}

/// Encodes a request head. Field names must be in lower case.
///
/// Errors when the result would break a rule: what this gives, [`RequestHead::decode`] takes.
pub fn encode_request<'a>(
    method: &str,
    scheme: &str,
    authority: &str,
    path: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<Bytes, HeadError> {
    let mut out = Vec::with_capacity(512);
    for part in [method, scheme, authority, path] {
        put_varint_bytes(&mut out, part.as_bytes());
    }
    fields::encode(&mut out, fields);
    let encoded = Bytes::from(out);
    RequestHead::decode(encoded.clone())?;
    Ok(encoded)
}

/// Encodes a response head. Errors as [`encode_request`] does.
pub fn encode_response<'a>(
    status: u16,
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<Bytes, HeadError> {
    let mut out = Vec::with_capacity(512);
    put_varint(&mut out, status.into());
    fields::encode(&mut out, fields);
    let encoded = Bytes::from(out);
    ResponseHead::decode(encoded.clone())?;
    Ok(encoded)
}

/// Encodes a trailer section. Errors as [`encode_request`] does.
pub fn encode_trailers<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<Bytes, HeadError> {
    let mut out = Vec::with_capacity(128);
    fields::encode(&mut out, fields);
    let encoded = Bytes::from(out);
    Trailers::decode(encoded.clone())?;
    Ok(encoded)
}

fn check_status(status: u16) -> Result<(), HeadError> {
    if (100..600).contains(&status) { Ok(()) } else { Err(HeadError::Status) }
}

/// Parts of a head are ASCII once they are checked.
fn text(part: &Bytes) -> &str {
    std::str::from_utf8(part).unwrap_or_default()
}

#[cfg(test)]
mod tests;
