//! A client's connection to a contender: plain, through TLS, OHTTP or STEVE.

use crate::Result;
use crate::channel::Target;
use crate::http::{Http, Io};
use crate::oblivious::Oblivious;
use crate::pattern::Checker;
use crate::request::{Expected, Request};
use crate::steve;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use steve_protocol::session::ClientSession;
use steve_protocol::stream::{Event, MessageOpener, MessageSealer, Response};

/// A kept-alive connection that has one exchange at a time.
pub(crate) struct Connection {
    http: Http,
    security: Security,
}

enum Security {
    /// None, or that of the transport below.
    Transport,
    Oblivious(Box<Oblivious>),
    Steve(Arc<ClientSession>),
}

/// The answer that is being read.
enum Answer {
    Transport,
    Oblivious(Option<Bytes>),
    Steve(Box<MessageOpener<Response>>),
}

impl Connection {
    /// Connects, with a new session.
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let mut http = Http::new(target.connect().await?);
        let security = match target {
            Target::Plain(_) | Target::Tls(..) => Security::Transport,
            Target::Oblivious(_, key) => Security::Oblivious(Box::new(Oblivious::new(key)?)),
            Target::Steve(_, suite, enclave) => {
                let session = steve::handshake(&mut http, enclave, *suite).await?;
                Security::Steve(Arc::new(session))
            }
        };
        Ok(Self { http, security })
    }

    /// Starts another session on this connection, and uses it from now on.
    pub(crate) async fn renew(&mut self, target: &Target) -> Result<Arc<ClientSession>> {
        let Target::Steve(_, suite, enclave) = target else {
            return Err("only STEVE has sessions beside connections".into());
        };
        let session = Arc::new(steve::handshake(&mut self.http, enclave, *suite).await?);
        self.use_session(session.clone());
        Ok(session)
    }

    /// Uses a session that was made on another connection.
    pub(crate) fn use_session(&mut self, session: Arc<ClientSession>) {
        self.security = Security::Steve(session);
    }

    pub(crate) fn into_io(self) -> Box<dyn Io> {
        self.http.into_io()
    }

    /// Sends a request and checks every byte of the answer; gives how many bytes of bodies moved.
    pub(crate) async fn exchange(&mut self, request: &Request) -> Result<u64> {
        let mut reading = self.send(request).await?;
        let mut checker = Checker::default();
        let mut text = BytesMut::new();
        while let Some(piece) = reading.next().await? {
            match request.expected {
                Expected::Pattern(_) if !checker.accepts(&piece) => {
                    return Err(format!("{}: other bytes than the app's", request.path).into());
                }
                Expected::Count(_) => text.extend_from_slice(&piece),
                _ => {}
            }
        }
        let arrived = match request.expected {
            Expected::Pattern(length) => checker.count() == length,
            Expected::Count(length) => text == length.to_string().as_bytes(),
            Expected::Any => true,
        };
        if !arrived {
            return Err(format!("{}: not the answer that was expected", request.path).into());
        }
        Ok(checker.count() + request.upload)
    }

    /// Sends a request, and reads the head of the answer, which must be a 200.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<Reading<'_>> {
        let answer = match &mut self.security {
            Security::Transport => {
                self.http.write(&request.plain).await?;
                if !request.is_one_piece() {
                    for piece in request.pieces() {
                        self.http.write(&piece).await?;
                    }
                }
                Answer::Transport
            }
            Security::Oblivious(oblivious) => {
                let sealed = oblivious.request(request)?;
                let answer = self.http.post("/gateway", sealed).await?;
                return Ok(Reading {
                    answer: Answer::Oblivious(Some(oblivious.response(&answer)?)),
                    http: &mut self.http,
                });
            }
            Security::Steve(session) => {
                let stream = session.open_stream().ok_or("the session is used up")?;
                let mut out = BytesMut::from(&request.outer[..]);
                out.extend_from_slice(&stream.open.encode());
                seal(stream.request, request, &mut out, &mut self.http).await?;
                Answer::Steve(Box::new(stream.response))
            }
        };
        self.http.flush().await?;
        match self.http.head().await? {
            200 => Ok(Reading { http: &mut self.http, answer }),
            status => Err(format!("{}: status {status}", request.path).into()),
        }
    }
}

async fn seal(
    mut sealer: MessageSealer<steve_protocol::stream::Request>,
    request: &Request,
    out: &mut BytesMut,
    http: &mut Http,
) -> Result<()> {
    sealer.head(&request.inner, request.upload == 0, out)?;
    let mut left = request.upload;
    for piece in request.pieces() {
        left -= piece.len() as u64;
        sealer.data(&piece, left == 0, out)?;
        if !request.is_one_piece() {
            http.write(out).await?;
            out.clear();
        }
    }
    http.write(out).await
}

/// An answer with status 200 whose body is being read.
pub(crate) struct Reading<'a> {
    http: &'a mut Http,
    answer: Answer,
}

impl Reading<'_> {
    /// The next piece of the body, none at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match &mut self.answer {
            Answer::Transport => self.http.chunk().await,
            Answer::Oblivious(body) => Ok(body.take()),
            Answer::Steve(opener) => loop {
                match opener.next_event()? {
                    Some(Event::Head { head, .. }) if head.status() != 200 => {
                        return Err(format!("inner status {}", head.status()).into());
                    }
                    Some(Event::Data { data, .. }) => return Ok(Some(data)),
                    Some(Event::Reset(code)) => return Err(format!("reset: {code}").into()),
                    Some(_) => {}
                    None => match self.http.chunk().await? {
                        Some(piece) => opener.push(piece),
                        None => {
                            opener.end()?;
                            return Ok(None);
                        }
                    },
                }
            },
        }
    }
}
