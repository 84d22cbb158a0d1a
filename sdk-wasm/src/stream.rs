//! One exchange: seals the request, opens the response.

use crate::fault::Fault;
use bytes::{Bytes, BytesMut};
use js_sys::Uint8Array;
use steve_protocol::head::{Fields, HopByHop, ResponseHead, encode_request, encode_trailers};
use steve_protocol::session::ClientStream;
use steve_protocol::shaping::{FIELD, Shaping};
use steve_protocol::stream::{
    Event, MessageOpener, MessageSealer, Request, ResetCode, Response, StreamError,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// One exchange. What is to be sent accumulates until `take`; what came last is looked at until
/// `next`.
#[wasm_bindgen]
pub struct Stream {
    id: u64,
    request: MessageSealer<Request>,
    /// None for an early request that has not been accepted.
    response: Option<MessageOpener<Response>>,
    answers_head_request: bool,
    out: BytesMut,
    event: Option<Event<ResponseHead>>,
    /// Values of the request's `connection` fields: they take fields away from its trailers too.
    connection: Vec<Vec<u8>>,
    shaping: Shaping,
}

/// What came.
#[wasm_bindgen]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// More bytes are needed.
    None,
    /// An informational head; the final one is still to come.
    Informational,
    /// The head.
    Head,
    /// Bytes of the body.
    Data,
    /// Trailers; the message is complete.
    Trailers,
    /// The message ends incomplete.
    Reset,
}

#[wasm_bindgen]
impl Stream {
    /// The stream's number in its session.
    pub fn id(&self) -> f64 {
        self.id as f64
    }

    /// Seals the head. `fields` alternates names in lower case and values of one code unit a byte;
    /// those that end at a hop are left out. `upgrade` names a protocol to change to.
    #[allow(clippy::too_many_arguments, reason = "a head has these parts")]
    pub fn head(
        &mut self,
        method: &str,
        scheme: &str,
        authority: &str,
        path: &str,
        fields: Vec<String>,
        upgrade: Option<String>,
        fin: bool,
    ) -> Result<(), Fault> {
        let fields = pairs(fields)?;
        let connection = |(name, _): &&(String, Vec<u8>)| name == "connection";
        self.connection =
            fields.iter().filter(connection).map(|(_, value)| value.clone()).collect();
        let hop_by_hop = self.hop_by_hop();
        let wish = (!self.shaping.is_none()).then(|| self.shaping.to_string());
        let wish_line = wish.as_deref().map(|wish| (FIELD, wish.as_bytes()));
        let upgrade_line = upgrade.as_deref().map(|value| ("upgrade", value.as_bytes()));
        let lines = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .filter(|(name, value)| !hop_by_hop.drops(name, value))
            .chain(wish_line)
            .chain(upgrade_line);
        let head = encode_request(method, scheme, authority, path, lines)?;
        self.answers_head_request = method == "HEAD";
        if let Some(response) = &mut self.response {
            if self.answers_head_request {
                response.answers_head_request();
            }
            if upgrade.is_some() {
                response.answers_upgrade_request();
            }
        }
        Ok(self.request.head(&head, fin, &mut self.out)?)
    }

    /// Seals bytes of the body.
    pub fn data(&mut self, data: &[u8], fin: bool) -> Result<(), Fault> {
        Ok(self.request.data(data, fin, &mut self.out)?)
    }

    /// Seals trailers, names and values in turn, which complete the request.
    pub fn trailers(&mut self, fields: Vec<String>) -> Result<(), Fault> {
        let fields = pairs(fields)?;
        let hop_by_hop = self.hop_by_hop();
        let lines = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .filter(|(name, value)| !hop_by_hop.drops(name, value));
        let trailers = encode_trailers(lines)?;
        Ok(self.request.trailers(&trailers, &mut self.out)?)
    }

    /// Gives up.
    pub fn cancel(&mut self) -> Result<(), Fault> {
        Ok(self.request.reset(ResetCode::CANCELLED, &mut self.out)?)
    }

    /// True unless this is an early request that the enclave has not accepted.
    #[wasm_bindgen(js_name = isOpen)]
    pub fn is_open(&self) -> bool {
        self.response.is_some()
    }

    /// What is to be sent, as whole frames. It begins with the plain beginning of the stream, 25
    /// bytes, or with the ClientHello.
    pub fn take(&mut self) -> Result<Vec<u8>, Fault> {
        self.request.settle(&mut self.out)?;
        Ok(std::mem::take(&mut self.out).into())
    }

    /// Adds bytes of the answer; call `next` until it gives `None` before adding more.
    pub fn push(&mut self, chunk: Vec<u8>) {
        if let Some(response) = &mut self.response {
            response.push(Bytes::from(chunk));
        }
    }

    /// Goes on to what came next.
    #[wasm_bindgen(js_name = next)]
    pub fn next_event(&mut self) -> Result<EventKind, Fault> {
        self.event = self.response.as_mut().map(MessageOpener::next_event).transpose()?.flatten();
        Ok(match self.event {
            None => EventKind::None,
            Some(Event::Informational(_)) => EventKind::Informational,
            Some(Event::Head { .. }) => EventKind::Head,
            Some(Event::Data { .. }) => EventKind::Data,
            Some(Event::Trailers(_)) => EventKind::Trailers,
            Some(Event::Reset(_)) => EventKind::Reset,
        })
    }

    /// To be called when the answer has ended: throws unless it was complete.
    pub fn end(&self) -> Result<(), Fault> {
        let response = self.response.as_ref().ok_or(StreamError::Truncated)?;
        Ok(response.end()?)
    }

    /// The message is complete with what came.
    pub fn fin(&self) -> bool {
        match self.event {
            Some(Event::Head { fin, .. } | Event::Data { fin, .. }) => fin,
            Some(Event::Trailers(_)) => true,
            Some(Event::Informational(_) | Event::Reset(_)) | None => false,
        }
    }

    /// Status of the head that came; 0 for anything else.
    pub fn status(&self) -> u16 {
        match &self.event {
            Some(Event::Informational(head) | Event::Head { head, .. }) => head.status(),
            _ => 0,
        }
    }

    /// Fields of the head or trailers that came: names and values in turn, a code unit for a byte.
    pub fn fields(&self) -> Vec<String> {
        let fields = match &self.event {
            Some(Event::Informational(head) | Event::Head { head, .. }) => Some(head.fields()),
            Some(Event::Trailers(trailers)) => Some(trailers.fields()),
            _ => None,
        };
        let latin1 = |value: &Bytes| value.iter().copied().map(char::from).collect();
        fields
            .into_iter()
            .flat_map(Fields::iter)
            .flat_map(|line| [line.name().to_owned(), latin1(line.value())])
            .collect()
    }

    /// Bytes of the body that came.
    #[wasm_bindgen(js_name = bytes)]
    pub fn body_bytes(&self) -> Uint8Array {
        match &self.event {
            Some(Event::Data { data, .. }) => Uint8Array::from(&data[..]),
            _ => Uint8Array::new_with_length(0),
        }
    }

    /// Number of the code of the reset that came.
    #[wasm_bindgen(js_name = resetCode)]
    pub fn reset_code(&self) -> Option<u16> {
        self.reset().map(ResetCode::to_u16)
    }

    /// Name of the code of the reset that came.
    #[wasm_bindgen(js_name = resetName)]
    pub fn reset_name(&self) -> Option<String> {
        self.reset().map(|code| code.name().to_owned())
    }
}

impl Stream {
    pub(crate) fn new(stream: ClientStream, shaping: Shaping) -> Self {
        let ClientStream { open, request, response } = stream;
        Self {
            id: open.stream_id,
            response: Some(response),
            ..Self::early(&open.encode(), request, shaping)
        }
    }

    /// Stream 0, behind a ClientHello.
    pub(crate) fn early(
        hello: &[u8],
        mut request: MessageSealer<Request>,
        shaping: Shaping,
    ) -> Self {
        request.set_shaping(shaping);
        Self {
            id: 0,
            request,
            response: None,
            answers_head_request: false,
            out: BytesMut::from(hello),
            event: None,
            connection: Vec::new(),
            shaping,
        }
    }

    /// Takes what opens the response to an early request, unless that is rejected.
    pub(crate) fn accept(&mut self, response: Option<MessageOpener<Response>>) {
        self.response = response;
        if let Some(response) = &mut self.response
            && self.answers_head_request
        {
            response.answers_head_request();
        }
    }

    fn hop_by_hop(&self) -> HopByHop<'_> {
        HopByHop::new(self.connection.iter().map(Vec::as_slice))
    }

    fn reset(&self) -> Option<ResetCode> {
        match self.event {
            Some(Event::Reset(code)) => Some(code),
            _ => None,
        }
    }
}

/// The HTTP status that the code of a tunnel's Close frame stands for, if it stands for one.
#[wasm_bindgen(js_name = closeStatus)]
pub fn close_status(code: u16) -> Option<u16> {
    steve_protocol::tunnel::close_status(code)
}

/// Names, and values as bytes.
fn pairs(fields: Vec<String>) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let invalid =
        |what| Fault::new("invalid-request", format_args!("the request is not valid: {what}"));
    let (pairs, rest) = fields.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(invalid("a field without a value"));
    }
    let byte = |unit: char| u8::try_from(unit).map_err(|_| invalid("a field value is not Latin-1"));
    pairs
        .iter()
        .map(|[name, value]| Ok((name.clone(), value.chars().map(byte).collect::<Result<_, _>>()?)))
        .collect()
}
