use super::guard::StreamGuard;
use super::hold::Verdict;
use super::source::Source;
use super::upload::Link;
use crate::error::{ChannelError, Error};
use crate::fields;
use crate::informational::OnInformational;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use steve_protocol::head::ResponseHead;
use steve_protocol::stream::{Event, MessageOpener, Response, StreamError};

/// A response while it arrives. Dropping it cancels the exchange.
pub(crate) struct Incoming {
    source: Source,
    opener: MessageOpener<Response>,
    guard: Arc<StreamGuard>,
    upload: Option<Link>,
}

/// A piece of a response's body.
pub(crate) enum Item {
    Data { data: Bytes, fin: bool },
    Trailers(HeaderMap),
}

impl Incoming {
    pub(crate) fn new(
        source: Source,
        opener: MessageOpener<Response>,
        guard: Arc<StreamGuard>,
        upload: Option<Link>,
    ) -> Self {
        Self { source, opener, guard, upload }
    }

    /// The final head, and whether the message is complete with it.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        on_informational: Option<&OnInformational>,
    ) -> Poll<Result<(ResponseHead, bool), Error>> {
        loop {
            match ready!(self.poll_event(cx))? {
                Event::Head { head, fin } => {
                    let success = head.status() < 300;
                    self.decide(if success { Verdict::Send } else { Verdict::Refuse });
                    return Poll::Ready(Ok((head, fin)));
                }
                Event::Informational(head) => {
                    let status = StatusCode::from_u16(head.status()).unwrap_or_default();
                    if status == StatusCode::CONTINUE {
                        self.decide(Verdict::Send);
                    }
                    if let Some(callback) = on_informational {
                        callback.call(status, &fields::to_header_map(head.fields())?);
                    }
                }
                event => return Poll::Ready(Err(unexpected(event))),
            }
        }
    }

    /// The next piece of the body. Not to be called after FIN or an error.
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Error>> {
        Poll::Ready(match ready!(self.poll_event(cx))? {
            Event::Data { data, fin } => {
                self.guard.sizes.add_response(data.len());
                Ok(Item::Data { data, fin })
            }
            Event::Trailers(trailers) => {
                fields::to_header_map(trailers.fields()).map(Item::Trailers)
            }
            event => Err(unexpected(event)),
        })
    }

    /// The response is complete: what is left of the request is given up.
    pub(crate) fn finish(self) {
        if let (Some(upload), Source::Answer(answer)) = (self.upload, self.source) {
            upload.finish(answer);
        }
    }

    /// What to report for `error`; ends the session if that calls for it.
    pub(crate) fn cause(&self, error: Error) -> Error {
        let error = self.guard.cause(error);
        if crate::retry::ends_session(&error) {
            self.guard.session.end();
        }
        error
    }

    /// Settles whether a body that is held back will be sent.
    fn decide(&mut self, verdict: Verdict) {
        if let Some(upload) = &mut self.upload {
            upload.decide(verdict);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event<ResponseHead>, Error>> {
        loop {
            if let Some(event) = self.opener.next_event()? {
                self.guard.session.touch();
                return Poll::Ready(Ok(event));
            }
            self.poll_upload(cx)?;
            match ready!(self.source.poll_chunk(cx)) {
                Some(chunk) => self.opener.push(chunk),
                None => {
                    let truncated = StreamError::Truncated.into();
                    return Poll::Ready(Err(self.source.refusal().unwrap_or(truncated)));
                }
            }
        }
    }

    /// Fails when the request cannot be completed.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.upload.as_mut().is_some_and(|upload| upload.poll_over(cx).is_ready()) {
            self.upload = None;
            return self.guard.upload_error().map_or(Ok(()), Err);
        }
        Ok(())
    }
}

/// A reset, or what the opener does not give here.
fn unexpected(event: Event<ResponseHead>) -> Error {
    match event {
        Event::Reset(code) => ChannelError::Reset { code }.into(),
        _ => StreamError::OutOfOrder.into(),
    }
}
