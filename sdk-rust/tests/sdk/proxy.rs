//! The outer HTTP server: an honest proxy, or one in the hands of whoever runs the host.

use crate::app::{App, Exchange};
use crate::enclave::Enclave;
use crate::tunnel::Source;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use steve_protocol::session::{Pending, ServerStream, StreamOpen};
use steve_protocol::stream::ResetCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// What happens to one outer request for a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// The app serves it; this is forged instead of its answer.
    ForgedAfterDispatch(u16),
    /// Forged without asking the app.
    ForgedBefore(u16),
    /// The proxy resets it before the app gets it.
    Reset(ResetCode),
    /// The app serves it; the answer ends cleanly after so many bytes.
    CutTo(usize),
    /// The app serves it; so many bytes are missing at the end of its answer.
    CutLast(usize),
    /// The app serves it; the connection breaks after so many bytes.
    BreakAt(usize),
    /// The app serves it; a bit in the head of its answer is flipped.
    FlipFirst,
    /// The app serves it; the last bit of its answer is flipped.
    FlipLast,
    /// Nobody answers.
    Silence,
    /// The answer to an earlier stream comes instead.
    AnswerOfAnother,
    /// An early request is delivered before its client's own copy.
    DeliveredTwice,
}

pub(crate) struct Proxy {
    pub(crate) enclave: Enclave,
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    /// Taken from the front, one for each stream; then all is well.
    pub(crate) fates: Mutex<VecDeque<Fate>>,
    /// Answers to handshakes, taken from the front; then all is well.
    pub(crate) forged_hellos: Mutex<VecDeque<Result<Vec<u8>, u16>>>,
    /// Everything the host sees: heads and bodies of outer requests and responses.
    pub(crate) seen: Mutex<Vec<u8>>,
    pub(crate) connections: AtomicUsize,
    /// Outer requests.
    pub(crate) requests: AtomicUsize,
    pub(crate) running: Mutex<Vec<AbortHandle>>,
    recorded: Mutex<Option<Vec<Bytes>>>,
}

/// A listener with what to do with its connections.
pub(crate) type Acceptor = Option<tokio_rustls::TlsAcceptor>;

impl Proxy {
    pub(crate) async fn start(tls: Acceptor) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Arc::new(Self {
            enclave: Enclave::new(),
            app: App::default(),
            address: listener.local_addr().unwrap(),
            fates: Mutex::default(),
            forged_hellos: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            running: Mutex::default(),
            recorded: Mutex::default(),
        });
        tokio::spawn(proxy.clone().accept(listener, tls));
        proxy
    }

    pub(crate) fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }

    pub(crate) fn cut_connections(&self) {
        for connection in self.running.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, tls: Acceptor) {
        while let Ok((tcp, _)) = listener.accept().await {
            self.connections.fetch_add(1, SeqCst);
            tcp.set_nodelay(true).unwrap();
            let connection = tokio::spawn(self.clone().connection(tcp, tls.clone()));
            self.running.lock().unwrap().push(connection.abort_handle());
        }
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream, tls: Acceptor) {
        match tls {
            None => self.serve(tcp).await,
            Some(tls) => {
                if let Ok(tls) = tls.accept(tcp).await {
                    self.serve(tls).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let service = service_fn(move |request| {
            let proxy = self.clone();
            async move { Ok::<_, Infallible>(proxy.answer(request).await) }
        });
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection_with_upgrades(TokioIo::new(io), service).await;
    }

    pub(crate) fn see(&self, bytes: &[u8]) {
        let mut seen = self.seen.lock().unwrap();
        if seen.len() < 10_000_000 {
            seen.extend_from_slice(bytes);
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        self.requests.fetch_add(1, SeqCst);
        self.see(format!("{:?} {:?}", request.uri(), request.headers()).as_bytes());
        let answer = match request.uri().path() {
            "/.well-known/steve/v3/evidence" => {
                let challenge = request.into_body().collect().await.unwrap().to_bytes();
                Ok(whole(200, self.enclave.evidence(&challenge)))
            }
            "/.well-known/steve/v3/tunnel" => Ok(self.clone().tunnel(request)),
            "/.well-known/steve/v3/stream" => self.clone().stream(request.into_body()).await,
            _ => Err(StatusCode::NOT_FOUND),
        };
        let answer = answer.unwrap_or_else(|status| error(status.as_u16()));
        self.see(format!("{:?} {:?}", answer.status(), answer.headers()).as_bytes());
        answer
    }

    async fn stream(self: Arc<Self>, mut incoming: Incoming) -> Result<Answer, StatusCode> {
        let mut begin = BytesMut::new();
        while begin.len() < StreamOpen::LEN {
            begin.extend_from_slice(&self.read(&mut incoming).await?);
        }
        if begin[0] == 1 {
            while let Ok(more) = self.read(&mut incoming).await {
                begin.extend_from_slice(&more);
            }
            let forged = self.forged_hellos.lock().unwrap().pop_front();
            return match forged {
                Some(Ok(bytes)) => Ok(whole(200, bytes)),
                Some(Err(status)) => Ok(error(status)),
                None => self.hello(&begin, incoming).await,
            };
        }
        let fate = self.fates.lock().unwrap().pop_front();
        if let Some(Fate::ForgedBefore(status)) = fate {
            return Ok(error(status));
        }
        if let Some(Fate::Silence) = fate {
            std::future::pending::<()>().await;
        }
        let unrecognized = StatusCode::UNPROCESSABLE_ENTITY;
        let open = begin.split_to(StreamOpen::LEN);
        let open = StreamOpen::decode(open.as_ref().try_into().unwrap())
            .map_err(|_| StatusCode::BAD_REQUEST)?;
        let session = self.enclave.session(&open.session_id).ok_or(unrecognized)?;
        let binding = BASE64_URL_SAFE_NO_PAD.encode(session.binding());
        let mut pending = session.pending_stream(open.stream_id);
        let mut chunk = begin.freeze();
        let stream = loop {
            match pending.accept(chunk).map_err(|_| unrecognized)? {
                Pending::Open(stream) => break stream,
                Pending::NeedMore(more) => pending = more,
            }
            chunk = self.read(&mut incoming).await?;
        };
        Ok(self.dispatch(*stream, incoming, binding, fate, Bytes::new()).await)
    }

    async fn hello(
        self: Arc<Self>,
        message: &[u8],
        incoming: Incoming,
    ) -> Result<Answer, StatusCode> {
        let (mut hello, mut stream) = self.enclave.handshake(message)?;
        let Some(early) = stream.take() else { return Ok(whole(200, hello)) };
        let fate = self.fates.lock().unwrap().pop_front();
        if let Some(Fate::Silence) = fate {
            std::future::pending::<()>().await;
        }
        let binding = BASE64_URL_SAFE_NO_PAD.encode(early.session.binding());
        if let Some(Fate::DeliveredTwice) = fate {
            self.clone()
                .dispatch(*early, incoming, binding, Some(Fate::CutTo(0)), Bytes::new())
                .await;
            (hello, stream) = self.enclave.handshake(message)?;
            assert!(stream.is_none());
            return Ok(whole(200, hello));
        }
        Ok(self.dispatch(*early, incoming, binding, fate, hello.into()).await)
    }

    async fn read(&self, incoming: &mut Incoming) -> Result<Bytes, StatusCode> {
        let frame = incoming.frame().await.ok_or(StatusCode::BAD_REQUEST)?;
        let data = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data().unwrap();
        self.see(&data);
        Ok(data)
    }

    async fn dispatch(
        self: Arc<Self>,
        stream: ServerStream,
        incoming: Incoming,
        binding: String,
        fate: Option<Fate>,
        server_hello: Bytes,
    ) -> Answer {
        let (out, sealed) = mpsc::channel(1);
        if !server_hello.is_empty() {
            out.send(server_hello).await.unwrap();
        }
        let mut exchange = Exchange::new(stream, Source::Body(incoming), out, binding);
        if let Some(Fate::Reset(code)) = fate {
            tokio::spawn(async move { exchange.reset(code).await });
            return self.forward(sealed, None).await;
        }
        let proxy = self.clone();
        tokio::spawn(async move { proxy.app.serve(exchange).await });
        self.forward(sealed, fate).await
    }

    /// Passes the answer on, or what the host makes of it.
    async fn forward(
        self: Arc<Self>,
        mut sealed: mpsc::Receiver<Bytes>,
        fate: Option<Fate>,
    ) -> Answer {
        let Some(fate) = fate else {
            let chunks = unfold((self, sealed), |(proxy, mut sealed)| async move {
                let chunk = sealed.recv().await?;
                proxy.see(&chunk);
                Some((Ok(Frame::data(chunk)), (proxy, sealed)))
            });
            return streamed(StreamBody::new(chunks).boxed_unsync());
        };
        let mut chunks = Vec::new();
        while let Some(chunk) = sealed.recv().await {
            chunks.push(chunk);
        }
        let earlier = self.recorded.lock().unwrap().replace(chunks.clone());
        let mut all = chunks.concat();
        let mut broken = false;
        match fate {
            Fate::ForgedAfterDispatch(status) => return error(status),
            Fate::CutTo(len) => all.truncate(len),
            Fate::CutLast(missing) => all.truncate(all.len() - missing),
            Fate::BreakAt(len) => {
                all.truncate(len);
                broken = true;
            }
            Fate::FlipFirst => all[4] ^= 1,
            Fate::FlipLast => *all.last_mut().unwrap() ^= 1,
            Fate::AnswerOfAnother => all = earlier.unwrap_or_default().concat(),
            Fate::ForgedBefore(_) | Fate::Reset(_) | Fate::Silence | Fate::DeliveredTwice => {
                unreachable!()
            }
        }
        let mut frames = vec![Ok(Frame::data(Bytes::from(all)))];
        if broken {
            frames.push(Err(std::io::Error::other("cut")));
        }
        streamed(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
    }
}

pub(crate) fn whole(status: u16, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

fn error(status: u16) -> Answer {
    let code = if status == 422 { "unrecognized" } else { "unavailable" };
    whole(status, format!(r#"{{"error":"{code}"}}"#))
}

fn streamed(body: UnsyncBoxBody<Bytes, std::io::Error>) -> Answer {
    Response::new(body)
}
