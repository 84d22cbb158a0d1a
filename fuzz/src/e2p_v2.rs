//! The parsers of E2P v2, which are private to the proxy.

#[path = "../../proxy/src/e2p_v2/cbor.rs"]
mod cbor;
#[rustfmt::skip]
#[path = "../../proxy/src/e2p_v2/inner.rs"]
#[allow(dead_code, reason = "the proxy uses the rest")]
mod inner;
#[path = "../../proxy/src/e2p_v2/messages.rs"]
#[allow(dead_code, reason = "the proxy uses the rest")]
mod messages;

use std::ops::Range;

/// Length of what a session request that decodes holds.
pub fn session_request(input: &[u8]) -> Option<usize> {
    let request = messages::SessionRequest::decode(input).ok()?;
    Some(request.key_exchange.len() + request.client_key_material.len())
}

/// Where the ciphertext of an envelope is, and what an encoder puts before it.
pub fn envelope(input: &[u8]) -> Option<(Range<usize>, Vec<u8>)> {
    let envelope = messages::Envelope::decode(input).ok()?;
    let len = envelope.ciphertext.len();
    let head = messages::Envelope::head(&envelope.session_id, envelope.sequence, len);
    Some((envelope.ciphertext, head))
}

/// Names of the fields of a request that decodes, and its body.
pub fn request(input: &[u8]) -> Option<(Vec<&str>, Option<&[u8]>)> {
    let request = inner::AppRequest::decode(input).ok()?;
    Some((request.headers.iter().map(|(name, _)| *name).collect(), request.body))
}
