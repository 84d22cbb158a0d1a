//! Cases that are not a request and its answer: event streams, WebSockets, sessions, first contact.

use crate::Result;
use crate::app::{EVENT_LEN, now_ns};
use crate::cases::{Plan, record};
use crate::channel::Target;
use crate::connection::Connection;
use crate::contenders::{Channel, Contender};
use crate::figures::Figures;
use crate::fleet::Fleet;
use crate::http::Io;
use crate::load::{Latencies, Slice};
use crate::request::{Expected, Request};
use crate::steve::policy;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use rand::seq::SliceRandom;
use std::time::{Duration, Instant};
use steve_sdk::Client;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

pub(crate) const EVENTS: &str = "events";
pub(crate) const WEBSOCKET: &str = "websocket";
pub(crate) const SESSIONS: &str = "sessions";
pub(crate) const FIRST: &str = "first";

pub(crate) const LIVE: [(&str, &str); 4] = [
    (EVENTS, "server-sent events, 1 stream, 1000 events a second"),
    (WEBSOCKET, "WebSocket echo of 64 bytes, 1 connection"),
    (SESSIONS, "new connection and session with one GET of 1 KiB, 8 at a time"),
    (FIRST, "first request of a fresh client, GET of 1 KiB (STEVE: SDK, with attestation)"),
];

const EVENT_RATE: u64 = 1000;
const AT_A_TIME: usize = 8;
const FIRST_REQUESTS: usize = 4;

/// Runs one of [`LIVE`], in turns.
pub(crate) async fn take_turns(
    fleet: &mut Fleet,
    contenders: &[Contender],
    case: &'static str,
    plan: Plan,
    figures: &mut Figures,
) -> Result<()> {
    let mut turns = Vec::new();
    let suits = |contender: &&Contender| contender.channel != Channel::Oblivious;
    for contender in contenders.iter().filter(suits) {
        let target = fleet.shared(*contender).await?;
        turns.push((*contender, target));
    }
    let mut rng = crate::steve::rng()?;
    for _ in 0..plan.rounds {
        turns.shuffle(&mut rng);
        for (contender, target) in &turns {
            let server = fleet.server(contender.product)?;
            let before;
            let slice = match case {
                EVENTS => {
                    let mut connection = Connection::open(target).await?;
                    before = server.cpu();
                    events(&mut connection, plan.slice).await?
                }
                WEBSOCKET => {
                    let fresh = Fresh::new(fleet, *contender).await?;
                    let mut socket = fresh.websocket().await?;
                    echo(&mut socket, Duration::from_millis(20)).await?;
                    before = fleet.server(contender.product)?.cpu();
                    echo(&mut socket, plan.slice).await?
                }
                SESSIONS => {
                    before = server.cpu();
                    sessions(target, plan.slice).await?
                }
                _ => {
                    let fresh = Fresh::new(fleet, *contender).await?;
                    before = fleet.server(contender.product)?.cpu();
                    first_requests(&fresh).await?
                }
            };
            let cpu = fleet.server(contender.product)?.cpu() - before;
            record(figures, case, *contender, &slice, cpu);
        }
    }
    Ok(())
}

/// Latency counts from when the app sent an event.
async fn events(connection: &mut Connection, duration: Duration) -> Result<Slice> {
    let count = EVENT_RATE * duration.as_millis() as u64 / 1000;
    let request = Request::get(&format!("/events/{EVENT_RATE}/{count}"), Expected::Any)?;
    let (latencies, begun) = (Latencies::new()?, Instant::now());
    let mut reading = connection.send(&request).await?;
    let (mut text, mut requests) = (Vec::new(), 0);
    while let Some(piece) = reading.next().await? {
        let now = now_ns();
        text.extend_from_slice(&piece);
        while let Some((event, rest)) = text.split_at_checked(EVENT_LEN) {
            let digits = std::str::from_utf8(event)?.trim().strip_prefix("data: ");
            let sent: u64 = digits.ok_or("not an event of the app's")?.parse()?;
            latencies.record(Duration::from_nanos(now.saturating_sub(sent)));
            requests += 1;
            text = rest.to_vec();
        }
    }
    if requests != count {
        return Err(format!("{requests} events of {count}").into());
    }
    Ok(Slice { requests, bytes: 0, took: begun.elapsed(), latencies })
}

trait Socket: Stream<Item = std::result::Result<Message, SocketError>> + MessageSink {}
trait MessageSink: Sink<Message, Error = SocketError> + Unpin + Send {}
impl<T: Sink<Message, Error = SocketError> + Unpin + Send> MessageSink for T {}
impl<T: Stream<Item = std::result::Result<Message, SocketError>> + MessageSink> Socket for T {}

async fn echo(socket: &mut Box<dyn Socket>, duration: Duration) -> Result<Slice> {
    let (latencies, begun) = (Latencies::new()?, Instant::now());
    let mut requests: u64 = 0;
    while begun.elapsed() < duration {
        let sent = Instant::now();
        let message = Message::binary([requests.to_be_bytes(); 8].concat());
        socket.send(message.clone()).await?;
        if socket.next().await.ok_or("the WebSocket ended")?? != message {
            return Err("another message came back".into());
        }
        latencies.record(sent.elapsed());
        requests += 1;
    }
    Ok(Slice { requests, bytes: 0, took: begun.elapsed(), latencies })
}

async fn sessions(target: &Target, duration: Duration) -> Result<Slice> {
    let (latencies, begun) = (Latencies::new()?, Instant::now());
    let mut tasks = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (target, latencies) = (target.clone(), latencies.clone());
        tasks.spawn(async move {
            let request = Request::down(1024)?;
            let mut count = 0;
            while begun.elapsed() < duration {
                let sent = Instant::now();
                Connection::open(&target).await?.exchange(&request).await?;
                latencies.record(sent.elapsed());
                count += 1;
            }
            Ok::<u64, crate::Failure>(count)
        });
    }
    let mut requests = 0;
    while let Some(done) = tasks.join_next().await {
        requests += done??;
    }
    Ok(Slice { requests, bytes: 0, took: begun.elapsed(), latencies })
}

/// What makes clients that have never spoken to a contender.
enum Fresh {
    Core(Target),
    /// URL, development root and suite.
    Sdk(String, String, steve_sdk::Suite),
}

impl Fresh {
    async fn new(fleet: &mut Fleet, contender: Contender) -> Result<Self> {
        if let Channel::Steve(suite) = contender.channel {
            let (url, root) = fleet.sdk(contender.product)?;
            return Ok(Self::Sdk(url, root, suite));
        }
        Ok(Self::Core(fleet.shared(contender).await?))
    }

    async fn websocket(&self) -> Result<Box<dyn Socket>> {
        match self {
            Self::Core(target) => {
                let io: Box<dyn Io> = target.connect().await?;
                Ok(Box::new(client_async("ws://localhost/ws", io).await?.0))
            }
            Self::Sdk(url, root, suite) => {
                let (socket, _) = sdk(url, root, *suite)?.websocket("/ws").await?;
                Ok(Box::new(socket))
            }
        }
    }

    async fn request(&self) -> Result<()> {
        match self {
            Self::Core(target) => {
                let request = Request::down(1024)?;
                Connection::open(target).await?.exchange(&request).await?;
            }
            Self::Sdk(url, root, suite) => {
                let response = sdk(url, root, *suite)?.get("/bytes/1024").send().await?;
                let mut body = response.into_body();
                let mut checker = crate::pattern::Checker::default();
                while let Some(chunk) = body.chunk().await? {
                    if !checker.accepts(&chunk) {
                        return Err("other bytes than the app's".into());
                    }
                }
                if checker.count() != 1024 {
                    return Err("not the whole answer".into());
                }
            }
        }
        Ok(())
    }
}

fn sdk(url: &str, root: &str, suite: steve_sdk::Suite) -> Result<Client> {
    let builder = Client::builder(url).policy(policy()?).suites([suite]);
    Ok(builder.dangerous_attestation_root(root).build()?)
}

async fn first_requests(fresh: &Fresh) -> Result<Slice> {
    let (latencies, begun) = (Latencies::new()?, Instant::now());
    for _ in 0..FIRST_REQUESTS {
        let sent = Instant::now();
        fresh.request().await?;
        latencies.record(sent.elapsed());
    }
    let requests = FIRST_REQUESTS as u64;
    Ok(Slice { requests, bytes: 0, took: begun.elapsed(), latencies })
}
