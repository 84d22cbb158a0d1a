use super::{Fields, HeadError, rules};
use bytes::Bytes;

/// Protocols that would change how the messages of the connection to the app are framed.
const NEVER: [&str; 3] = ["h2c", "http", "tls"];

/// Holds a request that asks for an upgrade to SPEC.md, Section 10.1.
pub(super) fn check(
    method: &[u8],
    fields: &Fields,
    content_length: Option<u64>,
) -> Result<(), HeadError> {
    let mut lines = fields.all("upgrade");
    let Some(protocol) = lines.next() else { return Ok(()) };
    let can_ask = lines.next().is_none() && method == b"GET" && content_length.is_none();
    if can_ask && is_protocol(protocol) { Ok(()) } else { Err(HeadError::Upgrade) }
}

/// `token ["/" token]` (RFC 9110, Section 7.8) with a name that may be asked for.
fn is_protocol(value: &Bytes) -> bool {
    let mut parts = value.splitn(2, |byte| *byte == b'/');
    let (name, version) = (parts.next().unwrap_or_default(), parts.next());
    rules::is_token(name)
        && version.is_none_or(rules::is_token)
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}
