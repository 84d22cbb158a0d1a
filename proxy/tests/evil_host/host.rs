//! The host: an HTTP intermediary that does what its plan says, and remembers all it has seen.

use super::common::outer::{self, Body};
use super::common::{EVIDENCE, STREAM};
use super::fault::{Before, Editor, Fault, Kind, Piece, Route, Seen, What};
use super::replay::Recorded;
use super::sim;
use super::world::{Which, Wire, World};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

type Plan = Box<dyn FnMut(&Seen) -> Fault + Send>;
type Chunks = mpsc::Sender<io::Result<Bytes>>;

/// For how long the host waits for what it does not need.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The bodies of an exchange so far, as they were before the host touched them.
pub(super) type Bodies = Arc<Mutex<(Kind, [BytesMut; 2])>>;

pub struct Host {
    pub world: Arc<World>,
    plan: Mutex<Plan>,
    counts: Mutex<HashMap<Kind, usize>>,
    pub(super) recorded: Mutex<Vec<Bodies>>,
    pub(super) held: Mutex<Vec<(Kind, Bytes)>>,
    pub(super) honest: AtomicBool,
    /// Edits that were reached.
    edits: AtomicUsize,
    misled: AtomicBool,
    log: Mutex<Vec<String>>,
    began: Instant,
    tasks: Mutex<JoinSet<()>>,
}

impl Host {
    pub fn new(world: &Arc<World>, plan: impl FnMut(&Seen) -> Fault + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            plan: Mutex::new(Box::new(plan)),
            counts: Mutex::default(),
            recorded: Mutex::default(),
            held: Mutex::default(),
            honest: AtomicBool::new(false),
            edits: AtomicUsize::new(0),
            misled: AtomicBool::new(false),
            log: Mutex::default(),
            began: Instant::now(),
            tasks: Mutex::default(),
        })
    }

    /// What happened so far, one line each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn note(&self, what: impl AsRef<str>) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.log.lock().unwrap().push(format!("{seconds:9.3} s  {}", what.as_ref()));
    }

    pub fn plan(&self, plan: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// True if the client may have a session with another proxy.
    pub fn misled(&self) -> bool {
        self.misled.load(Relaxed)
    }

    /// How many edits were reached so far.
    pub fn edits(&self) -> usize {
        self.edits.load(Relaxed)
    }

    pub(super) fn edited(&self, editor: &Editor) {
        if editor.is_reached() {
            self.edits.fetch_add(1, Relaxed);
        }
    }

    /// Connects a client.
    pub fn accept(self: &Arc<Self>) -> DuplexStream {
        let (client, wire) = self.world.pair();
        let host = self.clone();
        self.spawn(async move { host.connection(wire).await });
        client
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Cuts every connection.
    pub fn hang_up(&self) {
        self.tasks.lock().unwrap().abort_all();
    }

    /// What the plan says about an exchange.
    pub(super) fn decide(&self, kind: Kind) -> Fault {
        if self.honest.load(Relaxed) {
            self.note(format!("{kind:?}"));
            return Fault::default();
        }
        let nth = {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.entry(kind).or_default();
            *count += 1;
            *count - 1
        };
        let fault = (self.plan.lock().unwrap())(&Seen { kind, nth });
        self.note(format!("{kind:?} {nth}: {fault:?}"));
        self.misled.fetch_or(matches!(fault.route, Route::Other), Relaxed);
        fault
    }

    pub(super) async fn prepare(self: &Arc<Self>, before: Vec<Before>) {
        for before in before {
            match before {
                Before::Wait(time) => sleep(time).await,
                Before::Restart => self.world.restart().await,
                Before::Replay(n) => {
                    let recorded = self.recorded();
                    let one = recorded.get(n % recorded.len().max(1)).cloned();
                    if let Some(Recorded { kind, request, .. }) = one {
                        let _ = timeout(PATIENCE, self.deliver(kind, request)).await;
                    }
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, wire: Wire) {
        let Some(wire) = self.clone().tunnel(wire).await else { return };
        let service = service_fn(move |request| {
            let host = self.clone();
            async move { host.exchange(request).await }
        });
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(wire), service).await;
    }

    pub(super) async fn connect(self: &Arc<Self>, which: Which) -> Option<SendRequest<Body>> {
        let wire = self.world.connect(which).await?;
        let (sender, connection) = handshake(TokioIo::new(wire)).await.ok()?;
        self.spawn(async { drop(connection.await) });
        Some(sender)
    }

    /// Sends a request to a proxy; gives the answer's head.
    pub(super) async fn send(
        self: &Arc<Self>,
        which: Which,
        kind: Kind,
        body: Body,
    ) -> io::Result<Response<Incoming>> {
        let mut sender = self.connect(which).await.ok_or(io::ErrorKind::ConnectionRefused)?;
        let response = sender.send_request(post(kind, body)).await.map_err(io::Error::other)?;
        Ok(response)
    }

    async fn exchange(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        let first = next(&mut body).await?.unwrap_or_default();
        let kind = match (path.as_str(), first.first(), first.get(5)) {
            (EVIDENCE, ..) => Kind::Evidence,
            (_, Some(1), Some(1)) => Kind::Early,
            (_, Some(1), _) => Kind::Hello,
            _ => Kind::Stream,
        };
        let bodies: Bodies = Arc::new(Mutex::new((kind, Default::default())));
        let fault = self.decide(kind);
        self.recorded.lock().unwrap().push(bodies.clone());
        self.prepare(fault.before).await;
        match fault.route {
            Route::Forge(status, code) => return Ok(forged(status, code)),
            Route::Reflect => {
                return Ok(Response::new(outer::whole(rest(first, &mut body, &bodies).await?)));
            }
            Route::Hold(answer) => {
                let host = self.clone();
                self.spawn(async move {
                    if let Ok(whole) = rest(first, &mut body, &bodies).await {
                        host.held.lock().unwrap().push((kind, whole));
                    }
                });
                return match answer {
                    Some((status, code)) => Ok(forged(status, code)),
                    None => pending().await,
                };
            }
            Route::Twice { at_once, answer } => {
                let whole = rest(first, &mut body, &bodies).await?;
                let answers = if at_once {
                    let copies = [self.deliver(kind, whole.clone()), self.deliver(kind, whole)];
                    futures_util::future::join_all(copies).await
                } else {
                    let first = self.deliver(kind, whole.clone()).await;
                    vec![first, self.deliver(kind, whole).await]
                };
                let answer = answers.into_iter().nth(answer % 2).unwrap_or(Ok((502, Bytes::new())));
                let (status, body) = answer?;
                bodies.lock().unwrap().1[1].extend_from_slice(&body);
                return Ok(Response::builder().status(status).body(outer::whole(body)).unwrap());
            }
            _ => {}
        }
        let which = if matches!(fault.route, Route::Other) { Which::Other } else { Which::Current };
        let (sender, forwarded) = outer::channel();
        let editor = Editor::new(fault.request);
        self.spawn(self.clone().pump(0, Some(first), body, editor, bodies.clone(), sender));
        let response = if kind == Kind::Evidence {
            let whole = forwarded.collect().await?.to_bytes();
            // The attester works in a thread of its own.
            let _working = sim::freeze();
            self.send(which, kind, outer::whole(whole)).await?
        } else {
            self.send(which, kind, forwarded).await?
        };
        let (parts, body) = response.into_parts();
        let (sender, answer) = outer::channel();
        let editor = Editor::new(fault.response);
        let pump = self.clone().pump(1, None, body, editor, bodies, sender);
        match fault.route {
            Route::Mask(..) | Route::Swallow | Route::Swap(_) => {
                self.spawn(pump);
                let _ = timeout(PATIENCE, answer.collect()).await;
            }
            _ => {
                self.spawn(pump);
                return Ok(Response::builder().status(parts.status).body(answer).unwrap());
            }
        }
        match fault.route {
            Route::Mask(status, code) => Ok(forged(status, code)),
            Route::Swap(n) => Ok(Response::new(outer::whole(self.recorded_body(kind, 1, n)))),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Passes a body on.
    async fn pump(
        self: Arc<Self>,
        direction: usize,
        mut first: Option<Bytes>,
        mut body: Incoming,
        mut editor: Editor,
        bodies: Bodies,
        to: Chunks,
    ) {
        let kind = bodies.lock().unwrap().0;
        loop {
            let chunk = match first.take() {
                Some(first) => first,
                None => match next(&mut body).await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => return,
                    Err(error) => return drop(to.send(Err(error)).await),
                },
            };
            let begin = {
                let mut bodies = bodies.lock().unwrap();
                bodies.1[direction].extend_from_slice(&chunk);
                bodies.1[direction].len() - chunk.len()
            };
            let mut at = begin;
            let pieces = editor.apply(chunk);
            self.edited(&editor);
            for piece in pieces {
                let replaced = match piece {
                    Piece::Data(bytes) => {
                        at += bytes.len();
                        if to.send(Ok(bytes)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Piece::Do(What::Wait(time)) => {
                        sleep(time).await;
                        continue;
                    }
                    Piece::Do(What::Restart) => {
                        self.world.restart().await;
                        continue;
                    }
                    Piece::Do(What::Splice(n)) => self.recorded_body(kind, direction, n),
                    Piece::Do(What::Reflect) => {
                        bodies.lock().unwrap().1[1 - direction].clone().freeze()
                    }
                    Piece::Do(What::Stall) => {
                        // Until the client, or the proxy, has had enough.
                        to.closed().await;
                        return;
                    }
                    Piece::Do(What::Break) => {
                        return drop(to.send(Err(io::ErrorKind::ConnectionReset.into())).await);
                    }
                    Piece::Do(_) => return,
                };
                let tail = replaced.slice(at.min(replaced.len())..);
                return drop(to.send(Ok(tail)).await);
            }
        }
    }
}

pub(super) fn post(kind: Kind, body: Body) -> Request<Body> {
    let path = if kind == Kind::Evidence { EVIDENCE } else { STREAM };
    Request::post(path).header("host", "enclave.test").body(body).unwrap()
}

pub(super) fn forged(status: u16, code: &str) -> Response<Body> {
    let body = format!("{{\"error\":\"{code}\"}}");
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(outer::whole(body)).unwrap()
}

async fn next(body: &mut Incoming) -> io::Result<Option<Bytes>> {
    match body.frame().await {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(io::Error::other(error)),
    }
}

/// All of a body.
async fn rest(first: Bytes, body: &mut Incoming, bodies: &Bodies) -> io::Result<Bytes> {
    let mut whole = BytesMut::from(&first[..]);
    while let Some(chunk) = next(body).await? {
        whole.extend_from_slice(&chunk);
    }
    bodies.lock().unwrap().1[0] = whole.clone();
    Ok(whole.freeze())
}
