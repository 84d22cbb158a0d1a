//! From the app's response head to an inner one (SPEC.md, Section 10.3).

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, StatusCode};
use steve_protocol::head::{HeadError, HopByHop, encode_response, encode_trailers, is_reserved};

/// Encodes the head with the fields that pass.
pub(super) fn head(status: StatusCode, headers: &HeaderMap) -> Result<Bytes, HeadError> {
    let passing = end_to_end(headers, headers.get_all(CONNECTION).iter());
    encode_response(status.as_u16(), passing.iter().copied())
}

/// Encodes the trailer section with the fields that pass. `connection` holds the values of that
/// field in the head.
pub(super) fn trailers(
    headers: &HeaderMap,
    connection: &[HeaderValue],
) -> Result<Bytes, HeadError> {
    encode_trailers(end_to_end(headers, connection.iter()).iter().copied())
}

/// The fields that pass: neither hop-by-hop nor in the namespace of the proxy (row 22).
pub(crate) fn end_to_end<'a>(
    headers: &'a HeaderMap,
    connection: impl Iterator<Item = &'a HeaderValue>,
) -> Vec<(&'a str, &'a [u8])> {
    let hop_by_hop = HopByHop::new(connection.map(HeaderValue::as_bytes));
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, value)| !is_reserved(name) && !hop_by_hop.drops(name, value))
        .collect()
}
