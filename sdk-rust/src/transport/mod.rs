//! The outer HTTP: one connection pool, two URLs, and nothing of the inner requests.

mod connector;
mod dial;
mod limited;
mod pem;
mod read_first;
mod route;
mod tunnel;

pub(crate) use dial::{Dial, dial};
pub(crate) use limited::{read_exact, read_first, read_nothing};
pub(crate) use pem::certificates;
pub(crate) use route::Route;
pub(crate) use tunnel::{TunnelReader, TunnelWriter, Tunnels};

use crate::error::{BuildError, Error, Stage};
use crate::exchange::OuterBody;
use crate::origin::Origin;
use bytes::Bytes;
use connector::Connector;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use std::time::Duration;

const EVIDENCE_PATH: &str = "/.well-known/steve/v3/evidence";
const STREAM_PATH: &str = "/.well-known/steve/v3/stream";
const TUNNEL_PATH: &str = "/.well-known/steve/v3/tunnel";
const STREAM_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.steve.stream");
const CHALLENGE_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

const MAX_ERROR_LEN: usize = 1024;
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const POOL_MAX_IDLE: usize = 64;
/// HTTP/2 flow control windows in bytes. That of a connection is so large that the streams' own
/// windows are what counts: responses that nobody reads hold up no others.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Finds out that the other end is gone, also while nothing is sent.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Sends outer requests.
pub(crate) struct Transport {
    client: Client<Connector, OuterBody>,
    evidence: Uri,
    stream: Uri,
    pub(crate) tunnels: Tunnels,
}

impl Transport {
    pub(crate) fn new(
        origin: &Origin,
        roots: Vec<CertificateDer<'static>>,
        connect_timeout: Duration,
        dial: Option<Dial>,
    ) -> Result<Self, BuildError> {
        let connector = Connector::new(roots.clone(), connect_timeout, dial.clone(), true)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE)
            .pool_timer(TokioTimer::new())
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .timer(TokioTimer::new())
            // A stream id is sent once (SPEC.md, Section 9.1); a new attempt is a new stream.
            .retry_canceled_requests(false)
            .build(connector);
        let uri = |scheme, path| {
            Uri::builder()
                .scheme(scheme)
                .authority(origin.authority())
                .path_and_query(path)
                .build()
                .unwrap_or_default()
        };
        let scheme = origin.scheme();
        let socket_scheme = if scheme == "https" { "wss" } else { "ws" };
        let tunnels = Tunnels {
            connector: Connector::new(roots, connect_timeout, dial, false)?,
            uri: uri(scheme, TUNNEL_PATH),
            socket: uri(socket_scheme, TUNNEL_PATH),
        };
        let (evidence, stream) = (uri(scheme, EVIDENCE_PATH), uri(scheme, STREAM_PATH));
        Ok(Self { client, evidence, stream, tunnels })
    }

    /// Posts a challenge; gives the encoded evidence, and the route to who made it.
    pub(crate) async fn evidence(
        &self,
        challenge: &[u8; 32],
        limit: usize,
    ) -> Result<(Bytes, Route), Error> {
        let body = OuterBody::whole(Bytes::copy_from_slice(challenge));
        let uri = self.evidence.clone();
        let response = self.post(uri, CHALLENGE_TYPE, body, Stage::Evidence).await?;
        let route = Route::beside_evidence(response.headers());
        let evidence = limited::read_up_to(response.into_body(), limit, Stage::Evidence).await?;
        Ok((evidence, route))
    }

    /// Posts a stream body; gives the body of a successful answer.
    pub(crate) async fn stream(
        &self,
        body: OuterBody,
        route: &Route,
        stage: Stage,
    ) -> Result<Incoming, Error> {
        let uri = route.append_to(&self.stream);
        self.post(uri, STREAM_TYPE, body, stage).await.map(Response::into_body)
    }

    async fn post(
        &self,
        uri: Uri,
        content_type: HeaderValue,
        body: OuterBody,
        stage: Stage,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| Error::transport(stage, error.is_connect(), error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => {
                let code = limited::read_up_to(response.into_body(), MAX_ERROR_LEN, stage)
                    .await
                    .ok()
                    .and_then(|body| error_code(&body));
                Err(Error::Outer { stage, status, code })
            }
        }
    }
}

/// The code in `{"error":"<code>"}`, if it is one that can be shown to a person.
fn error_code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    plain_code(body.get("error")?.as_str()?)
}

fn plain_code(code: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    ((1..=40).contains(&code.len()) && code.bytes().all(plain)).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::error_code;

    #[test]
    fn shows_codes_and_nothing_else() {
        assert_eq!(error_code(br#"{"error":"unrecognized"}"#).as_deref(), Some("unrecognized"));
        for body in
            ["", "{}", "[]", r#"{"error":1}"#, r#"{"error":""}"#, "{\"error\":\"\\u001b[31m\"}"]
        {
            assert_eq!(error_code(body.as_bytes()), None, "{body}");
        }
    }
}
