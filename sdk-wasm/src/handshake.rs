//! Handshake and session.

use crate::appraisal::Enclave;
use crate::fault::Fault;
use crate::stream::Stream;
use crate::{hex, milliseconds, rng};
use steve_protocol::handshake::{
    ClientHandshake, EarlyHandshake as ProtocolEarlyHandshake, EarlyOutcome,
};
use steve_protocol::session::ClientSession;
use steve_protocol::shaping::{Shaping, ShapingError};
use steve_protocol::suite::Suite;
use wasm_bindgen::prelude::wasm_bindgen;

/// A handshake in progress.
#[wasm_bindgen]
pub struct Handshake {
    handshake: ClientHandshake,
    hello: Vec<u8>,
    shaping: Shaping,
}

#[wasm_bindgen]
impl Handshake {
    /// Starts with a verified enclave. `suites` are the names allowed, in order of preference.
    /// `padding` says how streams are padded (SPEC.md, Section 9.8).
    #[wasm_bindgen(constructor)]
    pub fn new(
        enclave: &Enclave,
        suites: Vec<String>,
        now_ms: f64,
        padding: Option<String>,
    ) -> Result<Self, Fault> {
        let shaping = shaping(padding)?;
        let suites = known(&suites)?;
        let now_ms = milliseconds(now_ms);
        let (handshake, hello) = ClientHandshake::start(&enclave.0, &suites, now_ms, &mut rng())?;
        Ok(Self { handshake, hello, shaping })
    }

    /// The ClientHello to post.
    #[wasm_bindgen(js_name = clientHello)]
    pub fn client_hello(&self) -> Vec<u8> {
        self.hello.clone()
    }

    /// How long the answer is, in bytes.
    #[wasm_bindgen(js_name = serverHelloLength)]
    pub fn server_hello_length(&self) -> usize {
        self.handshake.server_hello_len()
    }

    /// Verifies the ServerHello. Consumes the handshake.
    pub fn finish(self, server_hello: &[u8], now_ms: f64) -> Result<Session, Fault> {
        let session = self.handshake.finish(server_hello, milliseconds(now_ms))?;
        Ok(Session(session, self.shaping))
    }
}

/// A handshake in progress whose ClientHello is followed by a request.
#[wasm_bindgen]
pub struct EarlyHandshake {
    handshake: ProtocolEarlyHandshake,
    stream: Option<Stream>,
    shaping: Shaping,
}

#[wasm_bindgen]
impl EarlyHandshake {
    /// Like the constructor of `Handshake`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        enclave: &Enclave,
        suites: Vec<String>,
        now_ms: f64,
        padding: Option<String>,
    ) -> Result<Self, Fault> {
        let shaping = shaping(padding)?;
        let suites = known(&suites)?;
        let now_ms = milliseconds(now_ms);
        let (handshake, hello, request) =
            ProtocolEarlyHandshake::start(&enclave.0, &suites, now_ms, &mut rng())?;
        let stream = Some(Stream::early(&hello, request, shaping));
        Ok(Self { handshake, stream, shaping })
    }

    /// Seals the request: what it gives to be sent begins with the ClientHello. Once; then undefined.
    pub fn stream(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    /// How long the beginning of the answer is that `finish` takes, in bytes.
    #[wasm_bindgen(js_name = serverHelloLength)]
    pub fn server_hello_length(&self) -> usize {
        self.handshake.server_hello_len()
    }

    /// Verifies the ServerHello. Afterwards the stream knows whether the request was accepted, and
    /// then opens its response. Consumes the handshake.
    pub fn finish(
        self,
        server_hello: &[u8],
        now_ms: f64,
        stream: &mut Stream,
    ) -> Result<Session, Fault> {
        let EarlyOutcome { session, response } =
            self.handshake.finish(server_hello, milliseconds(now_ms))?;
        stream.accept(response);
        Ok(Session(session, self.shaping))
    }
}

fn shaping(padding: Option<String>) -> Result<Shaping, Fault> {
    let invalid = |error| Fault::new("invalid-options", format_args!("padding: {error}"));
    match padding {
        Some(padding) => padding.parse().map_err(|error: ShapingError| invalid(error)),
        None => Ok(Shaping::default()),
    }
}

fn known(names: &[String]) -> Result<Vec<Suite>, Fault> {
    let known = |name: &String| {
        let unknown =
            || Fault::new("invalid-options", format_args!("there is no suite named \"{name}\""));
        Suite::from_name(name).ok_or_else(unknown)
    };
    names.iter().map(known).collect()
}

/// A session.
#[wasm_bindgen]
pub struct Session(ClientSession, Shaping);

#[wasm_bindgen]
impl Session {
    /// Opens a stream; undefined when it is time for a new session.
    #[wasm_bindgen(js_name = openStream)]
    pub fn open_stream(&self) -> Option<Stream> {
        self.0.open_stream().map(|stream| Stream::new(stream, self.1))
    }

    /// The value the app sees as `steve-session`: 32 bytes.
    pub fn binding(&self) -> Vec<u8> {
        self.0.binding().to_vec()
    }

    /// 32 hexadecimal digits. Not a secret.
    pub fn id(&self) -> String {
        hex(&self.0.id())
    }

    /// Name of the suite.
    pub fn suite(&self) -> String {
        self.0.suite().name().to_owned()
    }

    /// How long the session lives, in milliseconds.
    pub fn lifetime(&self) -> f64 {
        self.0.parameters().lifetime.as_millis() as f64
    }

    /// How long it lives without a frame, in milliseconds.
    #[wasm_bindgen(js_name = idleTimeout)]
    pub fn idle_timeout(&self) -> f64 {
        self.0.parameters().idle_timeout.as_millis() as f64
    }

    /// How many streams may be open at once.
    #[wasm_bindgen(js_name = maxStreams)]
    pub fn max_streams(&self) -> u16 {
        self.0.parameters().max_streams
    }
}
