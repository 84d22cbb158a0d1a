//! Requests of a real client, and what must hold of each.

use super::app::{Record, expected, greeting, request_body};
use super::host::Host;
use super::world::World;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steve_sdk::{Body, Client, ClientBuilder, RequestBody, Suite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// The time limits of the client, and how much more is allowed.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(25);
pub const IDLE_LIMIT: Duration = Duration::from_secs(8);
const MARGIN: Duration = Duration::from_millis(100);
/// Evidence, a handshake, and both once more: 30 seconds each, three times with pauses between.
const SETUP_LIMIT: Duration = Duration::from_secs(3 * 121);
/// How long the test waits for an upgraded connection, which has no limits of its own.
const UPGRADED_LIMIT: Duration = Duration::from_secs(5);
/// A client sends a request that may be repeated three times at most.
const MAX_SENDINGS: u32 = 3;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Get,
    /// GET with a response that comes in pieces and has trailers.
    Streamed,
    Post,
    /// POST that the caller allows to be repeated.
    Idempotent,
    /// POST that may go along with a handshake.
    EarlyPost,
    /// POST with a body that comes in pieces, and such a response.
    Upload,
    Upgrade,
    Verify,
    Binding,
}

impl Op {
    /// At most once, whatever happens.
    fn is_unsafe(self) -> bool {
        matches!(self, Self::Post | Self::EarlyPost | Self::Upload | Self::Upgrade)
    }

    fn is_request(self) -> bool {
        !matches!(self, Self::Verify | Self::Binding)
    }

    fn path(self) -> &'static str {
        if matches!(self, Self::Streamed | Self::Upload) { "/streamed" } else { "/whole" }
    }
}

/// A client, what it has sent, and what was wrong about it.
pub struct Caller {
    client: Client,
    host: Arc<Host>,
    name: String,
    sent: Mutex<Vec<(Op, String)>>,
    violations: Mutex<Vec<String>>,
    /// Nothing may be repeated, not even what may: to see that the harness would notice.
    strict: bool,
}

/// A client of the host; `change` has the last word.
pub fn client(
    world: &World,
    host: &Arc<Host>,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Client {
    let (policy, root) = world.trust();
    let host = host.clone();
    let builder = Client::builder("http://enclave.test")
        .policy(policy)
        .dangerous_attestation_root(root)
        .suites([Suite::X25519Aes256Gcm])
        .request_timeout(REQUEST_LIMIT)
        .idle_timeout(IDLE_LIMIT)
        // Simulated time runs ahead of the wall clock that the client begins with.
        .max_clock_skew(Duration::from_secs(365 * 86_400))
        .dial_with(move |_| {
            let io = host.accept();
            async { Ok(io) }
        });
    change(builder).build().unwrap()
}

impl Caller {
    /// `name` makes its requests' ids different from those of others.
    pub fn new(client: Client, host: &Arc<Host>, name: impl Into<String>) -> Self {
        let (sent, violations) = Default::default();
        Self { client, host: host.clone(), name: name.into(), sent, violations, strict: false }
    }

    pub fn strict(self) -> Self {
        Self { strict: true, ..self }
    }

    fn violated(&self, what: String) {
        self.host.note(format!("VIOLATION: {what}"));
        self.violations.lock().unwrap().push(what);
    }

    /// Does one thing. An error is fine, as long as it comes in time.
    pub async fn call(&self, op: Op) -> Result<(), String> {
        let id = {
            let mut sent = self.sent.lock().unwrap();
            let id = format!("{}-{}-{:05}", super::app::CANARY, self.name, sent.len());
            sent.push((op, id.clone()));
            id
        };
        self.host.note(format!("-> {op:?} {id}"));
        let limit = if op.is_request() { REQUEST_LIMIT } else { SETUP_LIMIT };
        let result = match op {
            Op::Upgrade => self.upgrade(&id).await,
            Op::Verify => self.within(limit, op, self.client.verify()).await.map(drop),
            Op::Binding => self.within(limit, op, self.client.session_binding()).await.map(drop),
            _ => match self.within(limit, op, self.send(op, &id)).await {
                Ok(response) => self.read(op, &id, response).await,
                Err(error) => Err(error),
            },
        };
        self.host.note(match &result {
            Ok(()) => format!("<- {op:?} {id}"),
            Err(error) => format!("<- {op:?} {id}: {error}"),
        });
        result
    }

    /// What a call of the client gives, which must not take longer.
    async fn within<T>(
        &self,
        limit: Duration,
        op: Op,
        call: impl Future<Output = Result<T, steve_sdk::Error>>,
    ) -> Result<T, String> {
        match timeout(limit + MARGIN, call).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => {
                self.violated(format!("{op:?} takes longer than {limit:?}"));
                Err("hangs".into())
            }
        }
    }

    async fn send(&self, op: Op, id: &str) -> Result<Response<Body>, steve_sdk::Error> {
        let pieces = match op {
            Op::Upload => 4,
            Op::Get | Op::Streamed => 0,
            _ => 1,
        };
        let method = if pieces == 0 { Method::GET } else { Method::POST };
        let request = self
            .client
            .method(method, &format!("{}?{id}", op.path()))
            .header("x-id", id)
            .header("x-pieces", pieces)
            .header("te", "trailers");
        let body = request_body(id, pieces);
        match op {
            Op::Upload => request.body(in_pieces(body)),
            Op::Idempotent => request.body(body.concat()).idempotent(),
            Op::EarlyPost => request.body(body.concat()).early(true),
            _ => request.body(body.concat()),
        }
        .send()
        .await
    }

    /// Compares a response with the app's.
    async fn read(&self, op: Op, id: &str, response: Response<Body>) -> Result<(), String> {
        let field = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap_or_default().to_owned())
        };
        let execution = field("x-execution").and_then(|number| number.parse().ok()).unwrap_or(0);
        let expected = expected(op.path(), id, execution);
        let known = ["x-field", "x-execution", "content-length", "date", "trailer"];
        let executed = self.record(id).executed;
        if response.status().as_u16() != expected.status
            || field("x-field").as_deref() != Some(&expected.field)
            || !(1..=executed).contains(&execution)
            || response.headers().keys().any(|name| !known.contains(&name.as_str()))
        {
            self.violated(format!("{op:?} {id}: the app gave no such head: {response:?}"));
        }
        let whole = expected.pieces.concat();
        let mut body = response.into_body();
        let (mut received, mut trailer) = (Vec::new(), None);
        loop {
            let frame = async { body.frame().await.transpose() };
            let Some(frame) = self.within(IDLE_LIMIT, op, frame).await? else { break };
            match frame.into_data() {
                Ok(data) => received.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    trailer =
                        trailers.get("x-end").and_then(|end| Some(end.to_str().ok()?.to_owned()));
                }
            }
            if !whole.starts_with(&received) {
                self.violated(format!("{op:?} {id}: the app sent another body"));
                return Err("another body".into());
            }
        }
        if received.len() != whole.len() || trailer != expected.trailer {
            self.violated(format!("{op:?} {id}: the response ends in order, but early"));
        }
        Ok(())
    }

    async fn upgrade(&self, id: &str) -> Result<(), String> {
        let request = Request::get(format!("/upgrade?{id}"))
            .header("upgrade", "websocket")
            .header("x-id", id)
            .body(())
            .unwrap();
        let asking = self.client.upgrade(request);
        let asked = timeout(REQUEST_LIMIT + MARGIN, asking).await;
        let Ok(asked) = asked else {
            self.violated(format!("upgrade {id} takes longer than {REQUEST_LIMIT:?}"));
            return Err("hangs".into());
        };
        let (_, mut connection) = asked.map_err(|error| error.to_string())?;
        let sent = request_body(id, 2).concat();
        let mut received = Vec::new();
        let exchange = async {
            connection.write_all(&sent).await?;
            connection.shutdown().await?;
            let mut chunk = [0; 100];
            loop {
                match connection.read(&mut chunk).await? {
                    0 => return Ok::<_, io::Error>(()),
                    len => received.extend_from_slice(&chunk[..len]),
                }
            }
        };
        let result = timeout(UPGRADED_LIMIT, exchange).await;
        let whole = [greeting(id).into_bytes(), sent.clone()].concat();
        let is_complete = matches!(result, Ok(Ok(())));
        if !whole.starts_with(&received) || (is_complete && received.len() != whole.len()) {
            self.violated(format!("upgrade {id}: the app sent other bytes"));
        }
        match result {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("nothing comes".into()),
        }
    }

    pub fn record(&self, id: &str) -> Record {
        self.host.world.app.record(id)
    }

    /// The last request that was sent.
    pub fn last(&self) -> Record {
        let sent = self.sent.lock().unwrap();
        sent.last().map(|(_, id)| self.record(id)).unwrap_or_default()
    }

    /// Requests that the app executed more than once.
    pub fn repeated(&self) -> usize {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(_, id)| self.record(id).executed > 1).count()
    }

    /// After the host has stopped: everything works again, and nothing was done twice. Only a client
    /// whose session has an end at the proxy needs a request that can be repeated `first`.
    pub async fn conclude(&self, first: Op) -> Vec<String> {
        for op in [first, Op::Post] {
            if let Err(error) = self.call(op).await {
                self.violated(format!("{op:?} fails although nobody interferes: {error}"));
            }
        }
        self.check()
    }

    /// All violations so far.
    pub fn check(&self) -> Vec<String> {
        let mut violations = self.violations.lock().unwrap().clone();
        for (op, id) in self.sent.lock().unwrap().iter() {
            let record = self.record(id);
            let limit = if op.is_unsafe() || self.strict { 1 } else { MAX_SENDINGS };
            if record.seen.max(record.executed) > limit {
                violations.push(format!("{op:?} {id} reached the app too often: {record:?}"));
            }
        }
        violations.extend(self.host.world.app.violations());
        if self.host.world.leaked.load(std::sync::atomic::Ordering::Relaxed) {
            violations.push("the host has seen plaintext".into());
        }
        violations
    }

    /// Fails with all that is known if anything was violated.
    pub fn assert(&self, violations: &[String], how_to_repeat: &str) {
        assert!(
            violations.is_empty(),
            "{}\n\n{}\n\n{how_to_repeat}",
            violations.join("\n"),
            self.host.log().join("\n")
        );
    }
}

fn in_pieces(pieces: Vec<Bytes>) -> RequestBody {
    let pieces = futures_util::stream::unfold(pieces.into_iter(), |mut pieces| async {
        let piece = pieces.next()?;
        sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, io::Error>(Frame::data(piece)), pieces))
    });
    RequestBody::new(StreamBody::new(Box::pin(pieces)))
}
