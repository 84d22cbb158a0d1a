//! From a request that was opened to the app, and its response back to the plaintext of an answer.

use super::buffer::{Buffer, Full};
use super::inner::{self, AppRequest, BODY_HEAD};
use crate::body::AppBody;
use crate::limits::Share;
use crate::metrics::Record;
use crate::server::Proxy;
use crate::stream::{AppError, AppHead, end_to_end};
use crate::upstream::{AppResponse, SendError};
use bytes::Bytes;
use http::header::CONNECTION;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use steve_protocol::head::{RequestHead, encode_request};
use tokio::time::timeout;

/// Longest body of a response in bytes.
pub(super) const MAX_RESPONSE_BODY: usize = 32 << 20;
/// Longest head of a response in bytes: with it, the longest body and 512 bytes for the envelope, an
/// answer is as long as clients take.
const MAX_RESPONSE_HEAD: usize = 64 * 1024 - 512;

/// Why the app's response is not what the client gets. It learns so inside the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    App(AppError),
    /// The response broke off.
    BrokenOff,
    /// The response's body is longer than this protocol can carry.
    ResponseTooLarge,
    /// There is no memory for the response. The app has executed the request.
    NoRoom,
}

impl Failure {
    pub(super) fn parts(self) -> (u16, &'static str) {
        match self {
            Self::App(error) => error.parts(),
            Self::BrokenOff => (502, "app_failed"),
            Self::ResponseTooLarge => (502, "app_response_too_large"),
            Self::NoRoom => (503, "no_room_for_response"),
        }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        match full {
            Full::TooLarge => Self::ResponseTooLarge,
            Full::NoRoom => Self::NoRoom,
        }
    }
}

/// Sends the request, whose parts are slices of `plaintext`, and gives the plaintext of the answer.
/// `binding` tells the app which session it comes from.
pub(super) async fn forward(
    proxy: &Proxy,
    share: &Share,
    request: &AppRequest<'_>,
    plaintext: &Bytes,
    binding: &[u8; 32],
    record: &Record,
) -> Result<Content, Failure> {
    let is_head = request.method == "HEAD";
    let request = app_request(proxy, request, plaintext, binding)?;
    let exchange = proxy.upstream.send(request, |_, _| ());
    let response = match timeout(proxy.limits.app_response_timeout, exchange).await {
        Ok(Ok(response)) => response,
        Ok(Err(SendError::Unreachable)) => return Err(AppError::Unreachable.into()),
        Ok(Err(SendError::Malformed)) => return Err(AppError::MalformedResponse.into()),
        Ok(Err(_)) => return Err(Failure::BrokenOff),
        Err(_elapsed) => return Err(AppError::Timeout.into()),
    };
    record.app_answered();
    collect(proxy, share, response, is_head).await
}

/// By the rules for our own protocol: what those refuse is refused here.
fn app_request(
    proxy: &Proxy,
    request: &AppRequest<'_>,
    plaintext: &Bytes,
    binding: &[u8; 32],
) -> Result<Request<AppBody>, AppError> {
    let AppRequest { method, path, headers, body } = request;
    let lengths = headers.iter().map(|(name, value)| name.len() + value.len());
    let head_len = method.len() + path.len() + lengths.sum::<usize>();
    if head_len > proxy.limits.max_head_size as usize {
        return Err(AppError::HeadTooLarge);
    }
    if headers.len() > proxy.limits.max_head_fields {
        return Err(AppError::TooManyFields);
    }
    if !path.starts_with('/') {
        return Err(AppError::MalformedRequest);
    }
    let body_len = body.map(|body| body.len().to_string());
    let mut authority = proxy.upstream.authority().as_str();
    let mut fields = Vec::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        match name.to_ascii_lowercase().as_str() {
            // No connection is to change its protocol.
            "upgrade" => continue,
            "content-length" if body_len.as_deref().unwrap_or("0") != *value => {
                return Err(AppError::MalformedRequest);
            }
            "content-length" => continue,
            "host" => authority = value,
            _ => {}
        }
        fields.push((name.to_ascii_lowercase(), field_value(value)?));
    }
    if let Some(len) = body_len {
        fields.push(("content-length".into(), len.into()));
    }
    let lines = fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let head = RequestHead::decode(encode_request(method, "https", authority, path, lines)?)?;
    let (head, _) = AppHead::new(&head, true, binding, proxy.upstream.protocol())?;

    let body = body.filter(|body| !body.is_empty());
    let body = body.map_or(AppBody::Empty, |body| AppBody::Opened(plaintext.slice_ref(body)));
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() =
        proxy.upstream.uri(head.authority, head.path).map_err(|_| AppError::MalformedRequest)?;
    *request.headers_mut() = head.headers;
    Ok(request)
}

/// A value's characters become the bytes with the same numbers, as in requests of a web page.
fn field_value(value: &str) -> Result<Vec<u8>, AppError> {
    let bytes = value.chars().map(u8::try_from);
    bytes.collect::<Result<_, _>>().map_err(|_| AppError::MalformedRequest)
}

/// The plaintext of an answer.
pub(super) struct Content {
    buffer: Buffer,
    start: usize,
}

impl Content {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

/// Waits for all of the response. Redirects are responses like others.
async fn collect(
    proxy: &Proxy,
    share: &Share,
    response: AppResponse,
    is_head: bool,
) -> Result<Content, Failure> {
    let (parts, mut body) = response.into_parts();
    if !(200..600).contains(&parts.status.as_u16()) {
        return Err(AppError::MalformedResponse.into());
    }
    let fields = end_to_end(&parts.headers, parts.headers.get_all(CONNECTION).iter());
    let head = inner::response_head(parts.status.as_u16(), &fields);
    if head.len() > MAX_RESPONSE_HEAD {
        return Err(AppError::MalformedResponse.into());
    }
    let prefix = head.len() + BODY_HEAD;
    let mut buffer = Buffer::new(share, prefix + MAX_RESPONSE_BODY);
    buffer.append(&head)?;
    buffer.append_zeros(BODY_HEAD)?;
    let idle = proxy.limits.stream_idle_timeout;
    while let Some(frame) = timeout(idle, body.frame()).await.map_err(|_| AppError::Timeout)? {
        // Trailers have no place in this protocol.
        if let Ok(data) = frame.map_err(|_| Failure::BrokenOff)?.into_data() {
            buffer.append(&data)?;
        }
    }
    let is_null = is_head
        || matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
    let body_head = if is_null && buffer.len() == prefix {
        inner::null()
    } else {
        inner::body_head(buffer.len() - prefix)
    };
    // The length of the body is known only now: what is before it moves up to it.
    let start = BODY_HEAD - body_head.len();
    buffer.copy_within(..head.len(), start);
    buffer[prefix - body_head.len()..prefix].copy_from_slice(&body_head);
    Ok(Content { buffer, start })
}
