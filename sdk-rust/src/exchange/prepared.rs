use crate::error::InvalidRequest;
use crate::origin::Origin;
use crate::request_body::RequestBody;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, request};
use http_body::Body;
use steve_protocol::head::{self, BodyLength, RequestHead};

/// A request's head, encoded: what every attempt at it sends.
pub(crate) struct Prepared {
    head: Bytes,
    method: Method,
    body_length: BodyLength,
}
