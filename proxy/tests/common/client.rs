//! Inner exchanges.

use super::{AUTHORITY, STREAM, outer};
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;
use steve_protocol::head::{Fields, encode_request, encode_trailers};
use steve_protocol::session::{ClientSession, ClientStream};
use steve_protocol::stream::{Event, MessageOpener, ResetCode, Response as Inbound, StreamError};

/// An inner request.
#[derive(Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub fields: Vec<(String, String)>,
    pub body: Option<Bytes>,
    pub trailers: Vec<(String, String)>,
}

/// A complete inner response.
#[derive(Debug)]
pub struct Inner {
    pub interim: Vec<u16>,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Bytes,
    pub trailers: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Refused outside the channel.
    Outer(StatusCode),
    Reset(ResetCode),
    Stream(StreamError),
}

impl Call {
    pub fn new(method: &str, path: &str) -> Self {
        let (fields, body, trailers) = Default::default();
        Self { method: method.into(), path: path.into(), fields, body, trailers }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Self { body: Some(body.into()), ..Self::new("POST", path) }
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// The encoded head.
    pub fn head(&self) -> Bytes {
        encode_request(&self.method, "https", AUTHORITY, &self.path, lines(&self.fields)).unwrap()
    }

    /// All frames, after the StreamOpen.
    pub fn seal(&self, stream: &mut ClientStream) -> Bytes {
        let mut out = BytesMut::from(&stream.open.encode()[..]);
        let request = &mut stream.request;
        let trailers = (!self.trailers.is_empty()).then_some(&self.trailers);
        request.head(&self.head(), self.body.is_none() && trailers.is_none(), &mut out).unwrap();
        if let Some(body) = &self.body {
            request.data(body, trailers.is_none(), &mut out).unwrap();
        }
        if let Some(trailers) = trailers {
            request.trailers(&encode_trailers(lines(trailers)).unwrap(), &mut out).unwrap();
        }
        out.freeze()
    }

    pub async fn send(&self, at: SocketAddr, session: &ClientSession) -> Result<Inner, Failure> {
        let mut stream = session.open_stream().unwrap();
        let body = outer::whole(self.seal(&mut stream));
        let response = outer::post(at, STREAM, body).await;
        if self.method == "HEAD" {
            stream.response.answers_head_request();
        }
        read(stream.response, response).await
    }
}

pub fn lines(fields: &[(String, String)]) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// Reads the whole response.
pub async fn read(
    opener: MessageOpener<Inbound>,
    response: Response<Incoming>,
) -> Result<Inner, Failure> {
    let mut reader = Reader::new(opener, response)?;
    let (mut interim, mut body, mut trailers) = (Vec::new(), BytesMut::new(), Vec::new());
    let mut head = None;
    while let Some(event) = reader.next().await? {
        match event {
            Event::Informational(head) => interim.push(head.status()),
            Event::Head { head: received, .. } => head = Some(received),
            Event::Data { data, .. } => body.extend_from_slice(&data),
            Event::Trailers(section) => trailers = texts(section.fields()),
            Event::Reset(code) => return Err(Failure::Reset(code)),
        }
    }
    let head = head.unwrap();
    let fields = texts(head.fields());
    Ok(Inner { interim, status: head.status(), fields, body: body.freeze(), trailers })
}

fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|line| (line.name().to_owned(), text(line.value()))).collect()
}

impl Inner {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The code of a response that the proxy made itself to a request it could not read.
    pub fn bodiless_error(&self) -> (u16, &str) {
        assert_eq!(self.text(), "");
        (self.status, self.field("steve-error").unwrap_or_default())
    }

    /// The code of a response that the proxy made itself.
    pub fn error(&self) -> (u16, &str) {
        let code = self.field("steve-error").unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(self.text()).unwrap();
        assert_eq!(body["error"], code);
        (self.status, code)
    }
}

/// Reads a response event by event.
pub struct Reader {
    opener: MessageOpener<Inbound>,
    body: Incoming,
}

pub type Received = Event<steve_protocol::head::ResponseHead>;

impl Reader {
    pub fn new(
        opener: MessageOpener<Inbound>,
        response: Response<Incoming>,
    ) -> Result<Self, Failure> {
        if response.status() != StatusCode::OK {
            return Err(Failure::Outer(response.status()));
        }
        Ok(Self { opener, body: response.into_body() })
    }

    /// None when the message is over.
    pub async fn next(&mut self) -> Result<Option<Received>, Failure> {
        loop {
            if let Some(event) = self.opener.next_event().map_err(Failure::Stream)? {
                return Ok(Some(event));
            }
            if self.opener.is_over() {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.opener.push(frame.into_data().unwrap_or_default()),
                _ => self.opener.end().map_err(Failure::Stream)?,
            }
        }
    }
}
