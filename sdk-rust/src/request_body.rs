use crate::error::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a request: complete bytes, which can be sent again if a rule allows it, or a stream,
/// which cannot.
pub struct RequestBody(pub(crate) Kind);

pub(crate) enum Kind {
    Complete(Bytes),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Complete(Bytes::new()))
    }

    /// Takes any body. Those known to be complete stay so: `Full<Bytes>`, `Empty<Bytes>`, `String`
    /// and `RequestBody` itself.
    pub fn new<B>(mut body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let any: &mut dyn Any = &mut body;
        if let Some(body) = any.downcast_mut::<Self>() {
            return std::mem::take(body);
        }
        if let Some(body) = any.downcast_mut::<String>() {
            return Self::from(std::mem::take(body));
        }
        if any.is::<Empty<Bytes>>() {
            return Self::empty();
        }
        if let Some(full) = any.downcast_mut::<Full<Bytes>>() {
            return Self::from_full(full);
        }
        Self(Kind::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    fn from_full(full: &mut Full<Bytes>) -> Self {
        // A `Full` is ready at once and gives its bytes in one frame.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(full).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => Self::from(frame.into_data().unwrap_or_default()),
            _ => Self::empty(),
        }
    }

    /// A copy to send later, if the body is complete.
    pub(crate) fn replay(&self) -> Option<Self> {
        match &self.0 {
            Kind::Complete(bytes) => Some(Self(Kind::Complete(bytes.clone()))),
            Kind::Stream(_) => None,
        }
    }
}

impl Default for RequestBody {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Complete(bytes) => write!(f, "RequestBody({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("RequestBody(stream)"),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Complete(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Complete(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Complete(bytes) => bytes.is_empty(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Complete(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Complete(bytes))
    }
}

impl From<Vec<u8>> for RequestBody {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for RequestBody {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for RequestBody {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for RequestBody {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use std::convert::Infallible;

    #[test]
    fn complete_bodies_are_recognised() {
        let complete = |body: &RequestBody| match &body.0 {
            Kind::Complete(bytes) => Some(bytes.clone()),
            Kind::Stream(_) => None,
        };
        let body = RequestBody::new(Full::new(Bytes::from_static(b"full")));
        assert_eq!(complete(&body).as_deref(), Some(&b"full"[..]));
        assert_eq!(complete(&RequestBody::new(body)).as_deref(), Some(&b"full"[..]));
        assert_eq!(complete(&RequestBody::new("text".to_owned())).as_deref(), Some(&b"text"[..]));
        assert_eq!(complete(&RequestBody::new(Empty::new())).as_deref(), Some(&b""[..]));
        assert_eq!(complete(&RequestBody::new(Full::new(Bytes::new()))).as_deref(), Some(&b""[..]));

        let chunks = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))];
        let body = RequestBody::new(StreamBody::new(futures_util::stream::iter(chunks)));
        assert!(complete(&body).is_none());
        assert!(body.replay().is_none());
    }
}
