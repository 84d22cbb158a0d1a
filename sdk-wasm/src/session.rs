//! Handshake, session and streams.

use crate::appraisal::Enclave;
use crate::{milliseconds, rng};
use bytes::{Bytes, BytesMut};
use steve_protocol::handshake::ClientHandshake;
use steve_protocol::head::{Fields, encode_request};
use steve_protocol::session::{ClientSession, ClientStream};
use steve_protocol::stream::{self, ResetCode};
use steve_protocol::suite::Suite;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// Preferred where AES has no hardware support to call on, as in WebAssembly.
const SUITES: [Suite; 2] = [Suite::XWingChaCha20Poly1305, Suite::XWingAes256Gcm];

/// A handshake in progress.
#[wasm_bindgen]
pub struct Handshake {
    handshake: ClientHandshake,
    hello: Vec<u8>,
}

#[wasm_bindgen]
impl Handshake {
    /// Starts with a verified enclave.
    #[wasm_bindgen(constructor)]
    pub fn new(enclave: &Enclave, now_ms: f64) -> Result<Self, JsError> {
        let now_ms = milliseconds(now_ms);
        let (handshake, hello) = ClientHandshake::start(&enclave.0, &SUITES, now_ms, &mut rng())?;
        Ok(Self { handshake, hello })
    }

    /// The ClientHello to post.
    #[wasm_bindgen(js_name = clientHello)]
    pub fn client_hello(&self) -> Vec<u8> {
        self.hello.clone()
    }

    /// Verifies the ServerHello. Consumes the handshake.
    pub fn finish(self, server_hello: &[u8], now_ms: f64) -> Result<Session, JsError> {
        Ok(Session(self.handshake.finish(server_hello, milliseconds(now_ms))?))
    }
}

/// A session.
#[wasm_bindgen]
pub struct Session(ClientSession);

#[wasm_bindgen]
impl Session {
    /// Opens a stream; undefined when it is time for a new session.
    #[wasm_bindgen(js_name = openStream)]
    pub fn open_stream(&self) -> Option<Stream> {
        let stream = self.0.open_stream()?;
        let out = BytesMut::from(&stream.open.encode()[..]);
        Some(Stream { stream, out })
    }

    /// The value the app sees as `steve-session`, 32 bytes.
    pub fn binding(&self) -> Vec<u8> {
        self.0.binding().to_vec()
    }
}

/// One exchange. What is to be sent accumulates until `take`.
#[wasm_bindgen]
pub struct Stream {
    stream: ClientStream,
    out: BytesMut,
}

#[wasm_bindgen]
impl Stream {
    /// Seals the head. `fields` alternates names in lower case and values.
    pub fn head(
        &mut self,
        method: &str,
        authority: &str,
        path: &str,
        fields: Vec<String>,
        fin: bool,
    ) -> Result<(), JsError> {
        let (pairs, rest) = fields.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(JsError::new("a field without a value"));
        }
        let lines = pairs.iter().map(|[name, value]| (name.as_str(), value.as_bytes()));
        let head = encode_request(method, "https", authority, path, lines)?;
        if method == "HEAD" {
            self.stream.response.answers_head_request();
        }
        Ok(self.stream.request.head(&head, fin, &mut self.out)?)
    }

    /// Seals bytes of the body.
    pub fn data(&mut self, data: &[u8], fin: bool) -> Result<(), JsError> {
        Ok(self.stream.request.data(data, fin, &mut self.out)?)
    }

    /// Gives up.
    pub fn cancel(&mut self) -> Result<(), JsError> {
        Ok(self.stream.request.reset(ResetCode::CANCELLED, &mut self.out)?)
    }

    /// What is to be sent.
    pub fn take(&mut self) -> Vec<u8> {
        self.out.split().to_vec()
    }

    /// Adds bytes of the answer; call `next` until it gives undefined before adding more.
    pub fn push(&mut self, chunk: &[u8]) {
        self.stream.response.push(Bytes::copy_from_slice(chunk));
    }

    /// The next event; undefined when more bytes are needed.
    #[wasm_bindgen(js_name = next)]
    pub fn next_event(&mut self) -> Result<Option<Event>, JsError> {
        Ok(self.stream.response.next_event()?.map(Event))
    }

    /// To be called when the answer has ended: throws unless it was complete.
    pub fn end(&self) -> Result<(), JsError> {
        Ok(self.stream.response.end()?)
    }
}

type ResponseEvent = stream::Event<steve_protocol::head::ResponseHead>;

/// Something the app sent.
#[wasm_bindgen]
pub struct Event(ResponseEvent);

#[wasm_bindgen]
impl Event {
    /// "informational", "head", "data", "trailers" or "reset".
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        match self.0 {
            ResponseEvent::Informational(_) => "informational",
            ResponseEvent::Head { .. } => "head",
            ResponseEvent::Data { .. } => "data",
            ResponseEvent::Trailers(_) => "trailers",
            ResponseEvent::Reset(_) => "reset",
        }
        .into()
    }

    /// The message is complete.
    #[wasm_bindgen(getter)]
    pub fn fin(&self) -> bool {
        match self.0 {
            ResponseEvent::Head { fin, .. } | ResponseEvent::Data { fin, .. } => fin,
            ResponseEvent::Trailers(_) => true,
            ResponseEvent::Informational(_) | ResponseEvent::Reset(_) => false,
        }
    }

    /// Status of a head; code of a reset.
    #[wasm_bindgen(getter)]
    pub fn code(&self) -> Option<u16> {
        match &self.0 {
            ResponseEvent::Informational(head) | ResponseEvent::Head { head, .. } => {
                Some(head.status())
            }
            ResponseEvent::Reset(code) => Some(code.to_u16()),
            ResponseEvent::Data { .. } | ResponseEvent::Trailers(_) => None,
        }
    }

    /// Fields of a head or trailer section: names and values in turn.
    #[wasm_bindgen(getter)]
    pub fn fields(&self) -> Vec<String> {
        let fields: Option<&Fields> = match &self.0 {
            ResponseEvent::Informational(head) | ResponseEvent::Head { head, .. } => {
                Some(head.fields())
            }
            ResponseEvent::Trailers(trailers) => Some(trailers.fields()),
            ResponseEvent::Data { .. } | ResponseEvent::Reset(_) => None,
        };
        // As the Fetch standard does: one code unit per byte.
        let latin1 = |value: &Bytes| value.iter().copied().map(char::from).collect();
        fields
            .into_iter()
            .flat_map(Fields::iter)
            .flat_map(|line| [line.name().to_owned(), latin1(line.value())])
            .collect()
    }

    /// Bytes of the body.
    #[wasm_bindgen(getter)]
    pub fn data(&self) -> Vec<u8> {
        match &self.0 {
            ResponseEvent::Data { data, .. } => data.to_vec(),
            _ => Vec::new(),
        }
    }
}
