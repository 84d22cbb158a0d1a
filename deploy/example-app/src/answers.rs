//! Answers.

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt::Display;
use tokio::sync::broadcast::{self, error::RecvError};

type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;
pub(crate) type Reply = Result<Answer, BoxError>;

/// Bytes of one piece of a long body; a multiple of 8.
const PIECE: u64 = 64 << 10;

pub(crate) fn arrived(request: &Request<Incoming>) -> Reply {
    let fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let target = request.uri().to_string();
    json(&json!({ "method": request.method().as_str(), "target": target, "fields": fields }))
}

pub(crate) fn json(value: &Value) -> Reply {
    whole("application/json", format!("{value}\n"))
}

pub(crate) fn text_of(text: std::io::Result<String>) -> Reply {
    whole("text/plain", text?)
}

pub(crate) fn refused(status: StatusCode) -> Reply {
    let mut answer = whole("text/plain", format!("{status}\n"))?;
    *answer.status_mut() = status;
    Ok(answer)
}

pub(crate) fn failed(error: &dyn Display) -> Answer {
    let mut answer = Response::new(body(Full::from(format!("{error}\n"))));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

pub(crate) fn streamed(incoming: Incoming) -> Reply {
    Ok(Response::new(body(incoming)))
}

/// The first `size` bytes of the numbers from 0 on.
pub(crate) fn numbers(size: u64) -> Reply {
    let pieces = stream::unfold(0, move |from: u64| async move {
        let length = PIECE.min(size - from);
        let numbers = from / 8..(from + length).div_ceil(8);
        let mut piece: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        piece.truncate(usize::try_from(length).unwrap_or(piece.len()));
        (length > 0).then(|| (Ok::<_, BoxError>(Frame::data(Bytes::from(piece))), from + length))
    });
    let answer = Response::builder()
        .header(CONTENT_TYPE, "application/octet-stream")
        .header("content-length", size);
    Ok(answer.body(body(StreamBody::new(pieces)))?)
}

pub(crate) async fn digest(mut incoming: Incoming) -> Reply {
    let (mut length, mut hash) = (0, Sha256::new());
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame?.into_data() {
            length += data.len();
            hash.update(&data);
        }
    }
    let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    json(&json!({ "length": length, "sha256": sha256 }))
}

pub(crate) fn events(posted: broadcast::Receiver<String>) -> Reply {
    let events = stream::unfold(posted, |mut posted| async move {
        loop {
            match posted.recv().await {
                Ok(text) => {
                    let lines: String =
                        text.lines().map(|line| format!("data: {line}\n")).collect();
                    let event = Bytes::from(lines + "\n");
                    return Some((Ok::<_, BoxError>(Frame::data(event)), posted));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let answer = Response::builder().header(CONTENT_TYPE, "text/event-stream");
    Ok(answer.body(body(StreamBody::new(events)))?)
}

/// The whole body; none if it is longer than `limit` bytes, broken off or not UTF-8.
pub(crate) async fn text(incoming: Incoming, limit: usize) -> Option<String> {
    let bytes = Limited::new(incoming, limit).collect().await.ok()?.to_bytes();
    String::from_utf8(bytes.into()).ok()
}

fn whole(kind: &str, content: impl Into<Bytes>) -> Reply {
    Ok(Response::builder().header(CONTENT_TYPE, kind).body(body(Full::new(content.into())))?)
}

pub(crate) fn body<B>(body: B) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}
