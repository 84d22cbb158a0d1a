//! The app inside the enclave, spoken to in frames.

use crate::tunnel::{Source, websocket_echo};
use bytes::{Bytes, BytesMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use steve_protocol::head::{RequestHead, encode_response, encode_trailers};
use steve_protocol::session::ServerStream;
use steve_protocol::stream::{Event, MessageOpener, MessageSealer, Request, ResetCode, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What the app has seen.
#[derive(Default)]
pub(crate) struct App {
    /// Method and path of every request dispatched.
    pub(crate) requests: Mutex<Vec<String>>,
    /// How the bodies of requests ended.
    pub(crate) endings: Mutex<Vec<Ending>>,
    pub(crate) concurrent: AtomicUsize,
    pub(crate) most_concurrent: AtomicUsize,
    /// Names of the fields in trailers.
    pub(crate) trailers: Mutex<Vec<String>>,
    /// Rung by every POST.
    posted: tokio::sync::Notify,
    /// Bytes of request bodies received.
    pub(crate) received: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Reset(ResetCode),
    Truncated,
}

/// One request being served.
pub(crate) struct Exchange {
    pub(crate) head: RequestHead,
    request: MessageOpener<Request>,
    response: MessageSealer<Response>,
    incoming: Source,
    out: Sender<Bytes>,
    session: String,
    /// Names of the fields in the request's trailers.
    trailers: Vec<String>,
    over: bool,
}

impl Exchange {
    pub(crate) fn new(
        stream: ServerStream,
        incoming: Source,
        out: Sender<Bytes>,
        session: String,
    ) -> Self {
        let ServerStream { first, request, response, .. } = stream;
        let Ok(Event::Head { head, fin }) = first else { panic!("no head") };
        Self { head, request, response, incoming, out, session, trailers: Vec::new(), over: fin }
    }

    fn line(&self) -> String {
        format!("{} {}", self.head.method(), self.head.path())
    }

    /// The next bytes of the request body.
    async fn read(&mut self) -> Result<Option<Bytes>, Ending> {
        while !self.over {
            match self.request.next_event() {
                Ok(Some(Event::Data { data, fin })) => {
                    self.over = fin;
                    return Ok(Some(data));
                }
                Ok(Some(Event::Trailers(trailers))) => {
                    let names = trailers.fields().iter().map(|line| line.name().to_owned());
                    self.trailers.extend(names);
                    self.over = true;
                }
                Ok(Some(Event::Reset(code))) => return Err(Ending::Reset(code)),
                Ok(Some(event)) => panic!("{event:?}"),
                Ok(None) => match self.incoming.next().await {
                    Some(chunk) => self.request.push(chunk),
                    None => return Err(Ending::Truncated),
                },
                Err(error) => panic!("{error}"),
            }
        }
        Ok(None)
    }

    async fn send(&mut self, seal: impl FnOnce(&mut MessageSealer<Response>, &mut BytesMut)) {
        let mut out = BytesMut::new();
        seal(&mut self.response, &mut out);
        let _ = self.out.send(out.freeze()).await;
    }

    async fn head(&mut self, status: u16, fields: &[(&str, &[u8])], fin: bool) {
        let head = encode_response(status, fields.iter().copied()).unwrap();
        self.send(|sealer, out| sealer.head(&head, fin, out).unwrap()).await;
    }

    async fn informational(&mut self, status: u16, fields: &[(&str, &[u8])]) {
        let head = encode_response(status, fields.iter().copied()).unwrap();
        self.send(|sealer, out| sealer.informational(&head, out).unwrap()).await;
    }

    async fn data(&mut self, data: &[u8], fin: bool) {
        self.send(|sealer, out| sealer.data(data, fin, out).unwrap()).await;
    }

    pub(crate) async fn reset(&mut self, code: ResetCode) {
        self.send(|sealer, out| sealer.reset(code, out).unwrap()).await;
    }
}

impl App {
    pub(crate) async fn serve(&self, mut exchange: Exchange) {
        let concurrent = self.concurrent.fetch_add(1, SeqCst) + 1;
        self.most_concurrent.fetch_max(concurrent, SeqCst);
        let line = exchange.line();
        self.requests.lock().unwrap().push(line.clone());
        if line.starts_with("POST ") {
            self.posted.notify_one();
        }
        let ending = match self.answer(&mut exchange, &line).await {
            Ok(()) => Ending::Complete,
            Err(ending) => ending,
        };
        self.endings.lock().unwrap().push(ending);
        self.concurrent.fetch_sub(1, SeqCst);
    }

    async fn answer(&self, exchange: &mut Exchange, line: &str) -> Result<(), Ending> {
        match line {
            "GET /session" => {
                let session = exchange.session.clone();
                exchange.head(200, &[], false).await;
                exchange.data(session.as_bytes(), true).await;
            }
            "GET /slow" => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                exchange.head(204, &[], true).await;
            }
            "GET /fields" => {
                let mut text = String::new();
                for line in exchange.head.fields().iter() {
                    text += &format!("{}: {}\n", line.name(), line.value().escape_ascii());
                }
                let authority = exchange.head.authority().to_owned();
                exchange.head(200, &[("x-authority", authority.as_bytes())], false).await;
                exchange.data(text.as_bytes(), true).await;
            }
            "GET /after-a-post" => {
                self.posted.notified().await;
                exchange.head(204, &[], true).await;
            }
            "GET /redirect" => exchange.head(302, &[("location", b"/there")], true).await,
            "GET /unknown-status" => exchange.head(299, &[], true).await,
            "GET /not-implemented" => {
                exchange.head(501, &[("steve-error", b"not_implemented")], true).await;
            }
            "GET /not-modified" => exchange.head(304, &[("content-length", b"9")], true).await,
            "GET /hints" => {
                exchange.informational(103, &[("link", b"</a>"), ("link", b"</b>")]).await;
                exchange.informational(103, &[("link", b"</c>")]).await;
                exchange.head(204, &[], true).await;
            }
            "POST /continue" => {
                exchange.informational(100, &[]).await;
                self.echo(exchange).await?;
            }
            "POST /refused" => {
                exchange.head(417, &[], false).await;
                exchange.data(b"not that", true).await;
                while exchange.read().await?.is_some() {
                    self.received.fetch_add(1, SeqCst);
                }
            }
            "POST /silent" => {
                while let Some(data) = exchange.read().await? {
                    self.received.fetch_add(data.len(), SeqCst);
                }
                exchange.head(200, &[], true).await;
            }
            "GET /until-gone" => {
                exchange.out.closed().await;
                return Err(Ending::Truncated);
            }
            "GET /raw" | "GET /raw-resets" => {
                exchange.head(101, &[("x-protocol", b"raw")], false).await;
                while let Some(data) = exchange.read().await? {
                    exchange.data(&data, false).await;
                    if line == "GET /raw-resets" {
                        exchange.reset(ResetCode::APP_FAILED).await;
                        return Ok(());
                    }
                }
                // The other direction stays open for a while.
                exchange.data(b" and over", true).await;
            }
            "GET /websocket" => {
                let key = exchange.head.fields().all("sec-websocket-key").next().unwrap();
                let accept = derive_accept_key(key);
                let mut fields = vec![("sec-websocket-accept", accept.as_bytes())];
                if exchange.head.fields().all("sec-websocket-protocol").next().is_some() {
                    fields.push(("sec-websocket-protocol", b"two"));
                }
                exchange.head(101, &fields, false).await;
                let mut io = websocket_echo();
                let mut buffer = vec![0; 10_000];
                loop {
                    tokio::select! {
                        data = exchange.read() => match data? {
                            Some(data) => io.write_all(&data).await.unwrap(),
                            None => break,
                        },
                        read = io.read(&mut buffer) => match read.unwrap() {
                            0 => break,
                            len => exchange.data(&buffer[..len], false).await,
                        }
                    }
                }
                exchange.data(b"", true).await;
            }
            "GET /never" => std::future::pending().await,
            "GET /stalls" => {
                exchange.head(200, &[], false).await;
                exchange.data(b"half", false).await;
                std::future::pending().await
            }
            "GET /dies" => {
                exchange.head(200, &[("content-length", b"8")], false).await;
                exchange.data(b"half", false).await;
                exchange.reset(ResetCode::APP_FAILED).await;
            }
            "GET /endless" => {
                exchange.head(200, &[], false).await;
                while !exchange.out.is_closed() {
                    exchange.data(&[0; 60_000], false).await;
                }
                return Err(Ending::Truncated);
            }
            "GET /trailers" => {
                exchange.head(200, &[("set-cookie", b"a"), ("set-cookie", b"b")], false).await;
                exchange.data(b"body", false).await;
                let trailers = encode_trailers([("x-sum", &b"7"[..])].into_iter()).unwrap();
                exchange.send(|sealer, out| sealer.trailers(&trailers, out).unwrap()).await;
            }
            "HEAD /" => exchange.head(200, &[("content-length", b"1000")], true).await,
            "POST /ignored" => {
                exchange.head(413, &[], false).await;
                exchange.data(b"too much", true).await;
            }
            "POST /unread" => std::future::pending().await,
            _ => self.echo(exchange).await?,
        }
        Ok(())
    }

    /// Sends the request body back while it arrives.
    async fn echo(&self, exchange: &mut Exchange) -> Result<(), Ending> {
        let length = exchange.head.content_length().map(|length| length.to_string());
        let fields: &[_] = match &length {
            Some(length) => &[("x-length", length.as_bytes())],
            None => &[],
        };
        exchange.head(200, fields, false).await;
        while let Some(data) = exchange.read().await? {
            self.received.fetch_add(data.len(), SeqCst);
            exchange.data(&data, false).await;
        }
        self.trailers.lock().unwrap().append(&mut exchange.trailers);
        exchange.data(b"", true).await;
        Ok(())
    }
}
