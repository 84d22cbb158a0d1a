//! From the app's response head to an inner one (SPEC.md, Section 10.3).

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, StatusCode};
use steve_protocol::head::{
    HeadError, HopByHop, encode_response, encode_trailers, is_reserved,
};

/// Encodes the head with the fields that pass.
pub(super) fn head(status: StatusCode, headers: &HeaderMap) -> Result<Bytes, HeadError> {
    let hop_by_hop = HopByHop::new(headers.get_all(CONNECTION).iter().map(|v| v.as_bytes()));
    encode_response(status.as_u16(), end_to_end(headers, &hop_by_hop).iter().copied())
}

/// Encodes the trailer section with the fields that pass.
pub(super) fn trailers(headers: &HeaderMap) -> Result<Bytes, HeadError> {
    encode_trailers(end_to_end(headers, &HopByHop::default()).iter().copied())
}

fn end_to_end<'a>(
    headers: &'a HeaderMap,
    hop_by_hop: &HopByHop,
) -> Vec<(&'a str, &'a [u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, value)| !is_reserved(name) && !hop_by_hop.drops(name, value))
        .collect()
}
