//! Everything that is not STEVE: refused (row 9), except what the configuration, which clients see
//! attested, lets pass in plaintext.

use super::{Refusal, answers, refuse};
use crate::body::{AppBody, OuterBody};
use crate::server::Proxy;
use crate::upstream::{AppProtocol, SendError};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use steve_protocol::head::{HopByHop, is_reserved};
use steve_protocol::shaping::Shaping;
use tokio::time::timeout;

/// Forwards the request if that is allowed, and refuses it otherwise.
pub(super) async fn serve(proxy: &Proxy, mut parts: Parts, body: Incoming) -> Response<OuterBody> {
    let answer = if is_allowed(proxy, &parts, &body) {
        forward(proxy, parts, body).await
    } else {
        refuse(proxy, &mut parts, body, Refusal::E2eRequired).await
    };
    answer.unwrap_or_else(|refusal| {
        proxy.metrics.refused(refusal);
        refusal.response()
    })
}

fn is_allowed(proxy: &Proxy, parts: &Parts, body: &Incoming) -> bool {
    let reads = matches!(parts.method, Method::GET | Method::HEAD) && body.is_end_stream();
    let path = parts.uri.path();
    parts.method != Method::CONNECT
        && (proxy.allow_plaintext_fallback
            || (reads && is_bootstrap(proxy, parts))
            || (reads && proxy.public_paths.iter().any(|public| public == path)))
}

#[cfg(feature = "e2p-v2")]
fn is_bootstrap(proxy: &Proxy, parts: &Parts) -> bool {
    proxy.e2p_v2.is_some() && crate::e2p_v2::is_bootstrap(parts)
}

#[cfg(not(feature = "e2p-v2"))]
fn is_bootstrap(_: &Proxy, _: &Parts) -> bool {
    false
}

async fn forward(
    proxy: &Proxy,
    parts: Parts,
    body: Incoming,
) -> Result<Response<OuterBody>, Refusal> {
    let budget = proxy.budget.stream(Shaping::default()).ok_or(Refusal::Unavailable)?;
    let path = parts.uri.path_and_query().cloned();
    let path = path.unwrap_or(PathAndQuery::from_static("/"));
    let mut headers = end_to_end(&parts.headers);
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(Refusal::Malformed);
    }
    let host = headers.remove(HOST).or_else(|| {
        let authority = parts.uri.authority()?;
        HeaderValue::from_str(authority.as_str()).ok()
    });
    let host = host.ok_or(Refusal::Malformed)?;
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| Refusal::Malformed)?;
    let is_chunked = !body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH);
    if proxy.upstream.protocol() == AppProtocol::Http1 {
        headers.insert(HOST, host);
        if is_chunked {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    let body = if body.is_end_stream() { AppBody::Empty } else { AppBody::Plain(body) };
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = proxy.upstream.uri(authority, path).map_err(|_| Refusal::Malformed)?;
    *request.headers_mut() = headers;

    let sent =
        timeout(proxy.limits.app_response_timeout, proxy.upstream.send(request, |_, _| ())).await;
    Ok(match sent {
        Ok(Ok(response)) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
            let (mut parts, body) = response.into_parts();
            parts.headers = end_to_end(&parts.headers);
            Response::from_parts(parts, OuterBody::Plain { body, budget })
        }
        Ok(Err(SendError::Unreachable)) => {
            answers::json(StatusCode::BAD_GATEWAY, r#"{"error":"app_unreachable"}"#)
        }
        // What is left are failures half-way, and those of requests with a key, which this is not.
        Ok(_) => answers::json(StatusCode::BAD_GATEWAY, r#"{"error":"app_malformed_response"}"#),
        Err(_) => answers::json(StatusCode::GATEWAY_TIMEOUT, r#"{"error":"app_timeout"}"#),
    })
}

/// The fields that pass: neither hop-by-hop nor in the namespace of the proxy (row 22).
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let hop_by_hop = HopByHop::new(headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes));
    let passes = |name: &str, value: &[u8]| !is_reserved(name) && !hop_by_hop.drops(name, value);
    headers
        .iter()
        .filter(|(name, value)| passes(name.as_str(), value.as_bytes()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
