//! From an inner request head to a request for the app (SPEC.md, Section 10.2).
//!
//! hyper serialises it anew: what it cannot express is refused, not repaired (row 21).

use super::answer::AppError;
use super::inbound::Rest;
use crate::upstream::AppProtocol;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fmt;
use steve_protocol::head::{Fields, HopByHop, RequestHead, Trailers, is_reserved};
use steve_protocol::shaping::Shaping;

pub(crate) const SESSION: HeaderName = HeaderName::from_static("steve-session");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// What a response has to know about its request.
#[derive(Default)]
pub(super) struct RequestKind {
    /// The method is HEAD, or unknown.
    pub(super) is_head: bool,
    /// The protocol that it asks to change to.
    pub(super) upgrade: Option<String>,
    /// How the response is padded and coalesced.
    pub(super) shaping: Shaping,
}

/// What the app is to get.
pub(crate) struct AppHead {
    pub(crate) method: Method,
    pub(crate) authority: Authority,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
}

/// Shows nothing that the client wrote: it may be secret.
impl fmt::Debug for AppHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppHead").field("fields", &self.headers.len()).finish_non_exhaustive()
    }
}

impl AppHead {
    /// `complete` says that the request has no body; `binding` is the session's. Also gives what is
    /// to be known of the rest of the request.
    pub(crate) fn new(
        head: &RequestHead,
        complete: bool,
        binding: &[u8; 32],
        protocol: AppProtocol,
    ) -> Result<(Self, Rest), AppError> {
        if head.method() == "CONNECT" {
            return Err(AppError::NotImplemented);
        }
        let malformed = |_| AppError::MalformedRequest;
        let method = Method::from_bytes(head.method().as_bytes()).map_err(|_| malformed(()))?;
        let path = PathAndQuery::try_from(head.path()).map_err(|_| malformed(()))?;
        if path.as_str() != head.path() {
            return Err(AppError::MalformedRequest);
        }
        let connection: Vec<Bytes> = head.fields().all("connection").cloned().collect();
        let mut headers =
            end_to_end(head.fields(), &connection).ok_or(AppError::MalformedRequest)?;
        let authority = Authority::try_from(head.authority()).map_err(|_| malformed(()))?;
        headers.remove(HOST);
        if protocol == AppProtocol::Http1 {
            let host = HeaderValue::from_str(head.authority()).map_err(|_| malformed(()))?;
            headers.insert(HOST, host);
        }
        let mut encoded = [0; 43];
        let session = URL_SAFE_NO_PAD
            .encode_slice(binding, &mut encoded)
            .ok()
            .and_then(|len| HeaderValue::from_bytes(&encoded[..len]).ok());
        headers.insert(SESSION, session.ok_or(AppError::MalformedRequest)?);

        let declared = match protocol {
            AppProtocol::Http1 => frame(&mut headers, head, complete)?,
            AppProtocol::Http2 => None,
        };
        Ok((Self { method, authority, path, headers }, Rest { declared, connection, complete }))
    }
}

/// Adds what frames the request in HTTP/1.1. Gives the declared length of the body, if that frames it.
fn frame(
    headers: &mut HeaderMap,
    head: &RequestHead,
    complete: bool,
) -> Result<Option<u64>, AppError> {
    if let Some(protocol) = head.upgrade() {
        let protocol = HeaderValue::from_str(protocol).map_err(|_| AppError::MalformedRequest)?;
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return Ok(None);
    }
    // Only a chunked body can end in trailers, and only its end says that the message is complete
    // when no bytes are to come.
    let declared = head
        .content_length()
        .filter(|len| complete || (*len > 0 && !headers.contains_key(TRAILER)));
    if declared.is_none() {
        headers.remove(CONTENT_LENGTH);
        if !complete {
            headers.insert(TRANSFER_ENCODING, CHUNKED);
        }
    }
    Ok(declared)
}

/// The trailer section for the app. `connection` holds the values of that field in the head.
pub(super) fn trailers(trailers: &Trailers, connection: &[Bytes]) -> Option<HeaderMap> {
    end_to_end(trailers.fields(), connection)
}

/// The fields that pass: neither hop-by-hop nor in the namespace of the proxy (row 22).
fn end_to_end(fields: &Fields, connection: &[Bytes]) -> Option<HeaderMap> {
    let hop_by_hop = HopByHop::new(connection.iter().map(Bytes::as_ref));
    let mut headers = HeaderMap::with_capacity(fields.len() + 3);
    for line in fields.iter() {
        if is_reserved(line.name()) || hop_by_hop.drops(line.name(), line.value()) {
            continue;
        }
        let name = HeaderName::from_bytes(line.name().as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(line.value().clone()).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steve_protocol::head::encode_request;

    fn app_head(
        method: &str,
        path: &str,
        fields: &[(&str, &[u8])],
        complete: bool,
    ) -> Result<(AppHead, Rest), AppError> {
        let fields = fields.iter().copied();
        let encoded = encode_request(method, "https", "app.example", path, fields).unwrap();
        let head = RequestHead::decode(encoded).unwrap();
        AppHead::new(&head, complete, &[0; 32], AppProtocol::Http1)
    }

    #[test]
    fn row_22_only_the_proxy_sets_its_namespace() {
        let forged: &[(&str, &[u8])] = &[("steve-session", b"mine"), ("steve-admin", b"yes")];
        let headers = app_head("GET", "/", forged, true).unwrap().0.headers;
        assert_eq!(headers.get_all("steve-session").iter().count(), 1);
        assert_eq!(headers["steve-session"], "A".repeat(43).as_str());
        assert!(!headers.contains_key("steve-admin"));
        assert_eq!(headers["host"], "app.example");
    }

    #[test]
    fn row_21_framing_is_ours() {
        let fields: &[(&str, &[u8])] = &[
            ("transfer-encoding", b"gzip, chunked"),
            ("connection", b"close, x-secret"),
            ("x-secret", b"1"),
            ("content-length", b"5"),
        ];
        let (head, rest) = app_head("POST", "/", fields, false).unwrap();
        assert_eq!(rest.declared, Some(5));
        assert_eq!(head.headers["content-length"], "5");
        for dropped in ["transfer-encoding", "connection", "x-secret"] {
            assert!(!head.headers.contains_key(dropped), "{dropped}");
        }
    }

    #[test]
    fn a_body_that_may_fail_is_never_complete_in_the_head() {
        let zero: &[(&str, &[u8])] = &[("content-length", b"0")];
        let (head, rest) = app_head("GET", "/", zero, false).unwrap();
        assert_eq!((rest.declared, &head.headers["transfer-encoding"]), (None, &CHUNKED));
        assert!(!head.headers.contains_key("content-length"));
        let (_, rest) = app_head("GET", "/", zero, true).unwrap();
        assert_eq!(rest.declared, Some(0));
        let announced: &[(&str, &[u8])] = &[("content-length", b"5"), ("trailer", b"x-sum")];
        assert_eq!(app_head("POST", "/", announced, false).unwrap().1.declared, None);
    }

    #[test]
    fn refuses_what_hyper_cannot_say() {
        assert_eq!(app_head("CONNECT", "/", &[], true).unwrap_err(), AppError::NotImplemented);
        assert_eq!(app_head("GET", "/a<b", &[], true).unwrap_err(), AppError::MalformedRequest);
        assert_eq!(app_head("OPTIONS", "*", &[], true).unwrap().0.path.as_str(), "*");
        assert_eq!(app_head("GET", "//x/?a=b", &[], true).unwrap().0.path.as_str(), "//x/?a=b");
    }
}
