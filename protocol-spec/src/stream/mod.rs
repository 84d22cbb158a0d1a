//! One direction of a stream: the order of frames, and the heads in them (SPEC.md, Sections 9.3 and
//! 15).
//!
//! The role is a type, so that a response head cannot be sent where a request belongs; an order of
//! frames that SPEC.md does not have is an error that ends the stream.

mod opener;
mod reset;
mod sealer;
mod shaped;

pub use opener::{Event, MessageOpener, StreamError};
pub use reset::ResetCode;
pub use sealer::{MessageSealer, SealError};

use crate::head::{BodyLength, HeadError, RequestHead, ResponseHead};
use bytes::Bytes;

/// Which kind of message a direction carries: [`Request`] or [`Response`].
pub trait Role: sealed::Sealed {
    /// The decoded head.
    type Head;
    /// Decodes the content of a HEAD frame.
    fn decode(content: Bytes) -> Result<Self::Head, HeadError>;
    /// True for a response head that is not the final one.
    fn is_informational(head: &Self::Head) -> bool;
    /// True for a head after which the stream carries another protocol, if both ends agree.
    fn upgrades(head: &Self::Head) -> bool;
    /// Errors unless such a head may come here. `asked` says that the peer asked for it.
    fn check_upgrade(asked: bool, fin: bool) -> Result<(), HeadError>;
    /// What the head promises about the length of the body.
    fn body_length(head: &Self::Head, to_head_request: bool) -> BodyLength;
}

/// Client to proxy.
pub enum Request {}

/// Proxy to client.
pub enum Response {}

impl Role for Request {
    type Head = RequestHead;

    fn decode(content: Bytes) -> Result<RequestHead, HeadError> {
        RequestHead::decode(content)
    }

    fn is_informational(_: &RequestHead) -> bool {
        false
    }

    fn upgrades(head: &RequestHead) -> bool {
        head.upgrade().is_some()
    }

    fn check_upgrade(_: bool, fin: bool) -> Result<(), HeadError> {
        if fin { Err(HeadError::Upgrade) } else { Ok(()) }
    }

    fn body_length(head: &RequestHead, _: bool) -> BodyLength {
        BodyLength::of_request(head)
    }
}

impl Role for Response {
    type Head = ResponseHead;

    fn decode(content: Bytes) -> Result<ResponseHead, HeadError> {
        ResponseHead::decode(content)
    }

    fn is_informational(head: &ResponseHead) -> bool {
        head.status() < 200 && head.status() != 101
    }

    fn upgrades(head: &ResponseHead) -> bool {
        head.status() == 101
    }

    fn check_upgrade(asked: bool, fin: bool) -> Result<(), HeadError> {
        if asked && !fin { Ok(()) } else { Err(HeadError::Status) }
    }

    fn body_length(head: &ResponseHead, to_head_request: bool) -> BodyLength {
        BodyLength::of_response(head, to_head_request)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request {}
    impl Sealed for super::Response {}
}

/// Where in its sequence of frames a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Body,
    Done,
    Failed,
}

#[cfg(test)]
mod shaped_tests;
#[cfg(test)]
mod tests;
