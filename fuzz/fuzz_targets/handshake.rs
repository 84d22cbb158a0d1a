//! Handshakes and early requests between clients, a server whose keys rotate, and a host that mixes
//! and changes their messages. The model: a client has a session only with whoever answered exactly
//! its hello; of all copies of an early request one is answered, in each generation of keys and for
//! as long as those live; a client is told "rejected" only if the server never dispatches.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use rand::rngs::StdRng;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use steve_fuzz::seldom::Seldom;
use steve_fuzz::world::{NOW_MS, PARAMETERS, SUITES, enclave, keys, rng};
use steve_protocol::evidence::VerifiedEnclave;
use steve_protocol::handshake::{
    ClientHandshake, ClientHello, EarlyHandshake, EarlyProgress, EarlyReply, EarlyRequest,
    EnclaveKeys, HandshakeError, PendingEarly, ServerHandshake,
};
use steve_protocol::head::encode_request;
use steve_protocol::session::{ClientSession, ServerSession};
use steve_protocol::stream::{Event, MessageOpener, MessageSealer, Request, Response};

const GENERATIONS: usize = 3;
/// Handshakes take their time.
const MAX_CLIENTS: usize = 4;
const MAX_SERVERS: usize = 8;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Early requests that each generation has room for.
    room: [u8; GENERATIONS],
    actions: Vec<Action>,
}

#[derive(Arbitrary, Debug)]
enum Action {
    Start {
        generation: u8,
        aes: bool,
        early: bool,
        late: Seldom<()>,
    },
    /// The server gets a hello, perhaps with a changed byte.
    Receive {
        client: u8,
        change: Seldom<(u16, u8)>,
    },
    /// The server answers without a look at what follows.
    Reply {
        server: u8,
    },
    /// The server gets the early frame of this client or another.
    Early {
        server: u8,
        of: Seldom<u8>,
        change: Seldom<u16>,
        cut: Seldom<u8>,
    },
    /// The server answers an early request whose frame was authentic.
    Answer {
        server: u8,
    },
    /// The client, or another, gets an answer, perhaps with a changed byte.
    Finish {
        client: Seldom<u8>,
        server: u8,
        change: Seldom<(u16, u8)>,
        late: Seldom<()>,
    },
    Erase {
        generation: u8,
    },
}

static ENCLAVES: LazyLock<[VerifiedEnclave; GENERATIONS]> =
    LazyLock::new(|| [1, 2, 3].map(|epoch| enclave(&keys(epoch, 0))));

enum Started {
    Plain(ClientHandshake),
    Early(EarlyHandshake),
    Done,
}

struct Client {
    generation: usize,
    hello: Vec<u8>,
    /// The early request.
    frame: Bytes,
    started: Started,
}

enum Stage {
    Received(Box<ServerHandshake>),
    Pending(Box<PendingEarly>),
    Open(Box<EarlyRequest>),
    Done,
}

struct Answered {
    hello: Vec<u8>,
    session: Arc<ServerSession>,
    dispatched: bool,
}

struct Server {
    /// Whose hello it is, perhaps changed.
    client: usize,
    generation: usize,
    hello: ClientHello,
    /// What was received, which need not be what any client sent.
    encoded: Vec<u8>,
    early: Vec<u8>,
    stage: Stage,
    answered: Option<Answered>,
}

struct World {
    rng: StdRng,
    room: [u8; GENERATIONS],
    /// None: erased.
    keys: [Option<EnclaveKeys>; GENERATIONS],
    /// `enc` of the early requests that were answered: they count, if there was room.
    recorded: [HashSet<Vec<u8>>; GENERATIONS],
    clients: Vec<Client>,
    servers: Vec<Server>,
}

fn changed(mut bytes: Vec<u8>, change: Option<(u16, u8)>) -> Vec<u8> {
    if let Some((at, xor)) = change {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= xor;
    }
    bytes
}

impl World {
    fn act(&mut self, action: &Action) {
        match action {
            Action::Start { generation, aes, early, late } => {
                let generation = usize::from(*generation) % GENERATIONS;
                self.start(generation, *aes, *early, late.is_some());
            }
            Action::Receive { client, change } => self.receive((*client).into(), change.0),
            Action::Reply { server } => self.reply((*server).into()),
            Action::Early { server, of, change, cut } => {
                self.early((*server).into(), of.0, change.0, cut.0.unwrap_or(0));
            }
            Action::Answer { server } => self.answer((*server).into()),
            Action::Finish { client, server, change, late } => {
                self.finish(client.0, (*server).into(), change.0, late.is_some());
            }
            Action::Erase { generation } => {
                self.keys[usize::from(*generation) % GENERATIONS] = None;
            }
        }
    }

    fn start(&mut self, generation: usize, aes: bool, early: bool, late: bool) {
        if self.clients.len() == MAX_CLIENTS {
            return;
        }
        let enclave = &ENCLAVES[generation];
        let now_ms = if late { enclave.valid_until_ms() } else { NOW_MS };
        let allowed = [SUITES[usize::from(aes)]];
        let mut frame = BytesMut::new();
        let started = if early {
            EarlyHandshake::start(enclave, &allowed, now_ms, &mut self.rng).map(
                |(handshake, hello, mut sealer)| {
                    seal(&mut sealer, self.clients.len(), &mut frame);
                    (Started::Early(handshake), hello)
                },
            )
        } else {
            ClientHandshake::start(enclave, &allowed, now_ms, &mut self.rng)
                .map(|(handshake, hello)| (Started::Plain(handshake), hello))
        };
        assert_eq!(late, matches!(started, Err(HandshakeError::EvidenceExpired)));
        if let Ok((started, hello)) = started {
            self.clients.push(Client { generation, hello, frame: frame.freeze(), started });
        }
    }

    fn receive(&mut self, client: usize, change: Option<(u16, u8)>) {
        if self.clients.is_empty() || self.servers.len() == MAX_SERVERS {
            return;
        }
        let index = client % self.clients.len();
        let client = &self.clients[index];
        let encoded = changed(client.hello.clone(), change);
        let Ok(hello) = ClientHello::decode(&encoded) else { return };
        assert_eq!(hello.encode(), encoded);
        let result = ServerHandshake::receive(self.keys.iter().flatten(), &hello);
        let alive = self.keys[client.generation].is_some();
        if encoded == client.hello {
            assert_eq!(result.is_ok(), alive, "a genuine hello, whose keys may be erased");
        }
        let Ok(handshake) = result else { return };
        assert!(alive, "nothing but a hello to living keys is received");
        assert_eq!(handshake.offers_early(), hello.early_data);
        self.servers.push(Server {
            client: index,
            generation: client.generation,
            hello,
            encoded,
            early: Vec::new(),
            stage: Stage::Received(handshake.into()),
            answered: None,
        });
    }

    /// Whether an early request is answered, and whether it can be accepted.
    fn record(&mut self, generation: usize, enc: &[u8]) -> Option<bool> {
        self.keys[generation].as_ref()?;
        let recorded = &mut self.recorded[generation];
        if recorded.contains(enc) {
            return None;
        }
        let room = recorded.len() < usize::from(self.room[generation] % 3);
        if room {
            recorded.insert(enc.to_vec());
        }
        Some(room)
    }

    fn reply(&mut self, index: usize) {
        let Some(server) = pick(&mut self.servers, index) else { return };
        let Stage::Received(handshake) = std::mem::replace(&mut server.stage, Stage::Done) else {
            return;
        };
        let (generation, enc) = (server.generation, server.hello.enc.clone());
        let offered = server.hello.early_data;
        let result = handshake.reply(PARAMETERS, &mut self.rng);
        let answered = !offered || self.record(generation, &enc).is_some();
        let Some(server) = pick(&mut self.servers, index) else { return };
        assert_eq!(result.is_ok(), answered, "of all copies one is answered");
        if let Ok((session, hello)) = result {
            let session = Arc::new(session);
            server.answered = Some(Answered { hello, session, dispatched: false });
        }
    }

    fn early(&mut self, index: usize, of: Option<u8>, change: Option<u16>, cut: u8) {
        let Some(server) = pick(&mut self.servers, index) else { return };
        let of = of.map_or(server.client, usize::from) % self.clients.len();
        let mut frame = self.clients[of].frame.to_vec();
        if let (Some(bit), false) = (change, frame.is_empty()) {
            let bit = usize::from(bit) % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        frame.truncate(frame.len().saturating_sub(cut.into()));
        let Some(server) = pick(&mut self.servers, index) else { return };
        let pending = match std::mem::replace(&mut server.stage, Stage::Done) {
            Stage::Received(handshake) => {
                let pending = handshake.early();
                assert_eq!(pending.is_some(), server.hello.early_data);
                match pending {
                    Some(pending) => pending,
                    None => return,
                }
            }
            Stage::Pending(pending) => pending,
            other => {
                server.stage = other;
                return;
            }
        };
        server.early.extend_from_slice(&frame);
        let sender = self.clients.iter().find(|client| client.hello == server.encoded);
        let genuine = sender.is_some_and(|client| server.early.starts_with(&client.frame));
        server.stage = match pending.accept(frame.into()) {
            Ok(EarlyProgress::Open(request)) => {
                assert!(genuine, "only the frame that was sealed for this hello opens");
                Stage::Open(request)
            }
            Ok(EarlyProgress::NeedMore(pending)) => {
                assert!(!genuine);
                Stage::Pending(pending)
            }
            Err(_) => {
                assert!(!genuine);
                Stage::Done
            }
        };
    }

    fn answer(&mut self, index: usize) {
        let Some(server) = pick(&mut self.servers, index) else { return };
        let request = match std::mem::replace(&mut server.stage, Stage::Done) {
            Stage::Open(request) => request,
            other => {
                server.stage = other;
                return;
            }
        };
        let (generation, enc) = (server.generation, server.hello.enc.clone());
        let result = request.answer(PARAMETERS, &mut self.rng);
        let expected = self.record(generation, &enc);
        let Some(server) = pick(&mut self.servers, index) else { return };
        assert_eq!(result.is_ok(), expected.is_some());
        let Ok(EarlyReply { session, server_hello, stream }) = result else { return };
        assert_eq!(stream.is_some(), expected == Some(true));
        if let Some(stream) = &stream {
            let Ok(Event::Head { head, fin: true }) = &stream.first else {
                panic!("the client sealed a whole request");
            };
            let client = self.clients.iter().position(|client| client.hello == server.encoded);
            assert_eq!(head.path(), format!("/{}", client.expect("the hello is genuine")));
        }
        let mut hello = server_hello;
        let dispatched = stream.is_some();
        if let Some(mut stream) = stream {
            let mut frame = BytesMut::new();
            let head = steve_protocol::head::encode_response(204, [].into_iter());
            stream.response.head(&head.expect("valid"), true, &mut frame).expect("the first frame");
            hello.extend_from_slice(&frame);
        }
        server.answered = Some(Answered { hello, session, dispatched });
    }

    fn finish(&mut self, client: Option<u8>, server: usize, change: Option<(u16, u8)>, late: bool) {
        let Some(server) = pick(&mut self.servers, server) else { return };
        let client = client.map_or(server.client, usize::from);
        let Some(client) = pick(&mut self.clients, client) else { return };
        let Some(answered) = &server.answered else { return };
        let length = match &client.started {
            Started::Plain(handshake) => handshake.server_hello_len(),
            Started::Early(handshake) => handshake.server_hello_len(),
            Started::Done => return,
        };
        let (hello, rest) = answered.hello.split_at(length);
        let received = changed(hello.to_vec(), change);
        let genuine = received == hello && server.encoded == client.hello && !late;
        let now_ms = if late { ENCLAVES[0].valid_until_ms() } else { NOW_MS };
        match std::mem::replace(&mut client.started, Started::Done) {
            Started::Plain(handshake) => {
                let session = handshake.finish(&received, now_ms);
                assert_eq!(session.is_ok(), genuine);
                if let Ok(session) = session {
                    same(&session, &answered.session);
                }
            }
            Started::Early(handshake) => {
                let outcome = handshake.finish(&received, now_ms);
                assert_eq!(outcome.is_ok(), genuine);
                if let Ok(outcome) = outcome {
                    same(&outcome.session, &answered.session);
                    assert_eq!(outcome.response.is_some(), answered.dispatched);
                    if let Some(response) = outcome.response {
                        opens(response, rest);
                    }
                }
            }
            Started::Done => {}
        }
    }
}

fn pick<T>(all: &mut [T], index: usize) -> Option<&mut T> {
    let count = all.len();
    all.get_mut(index % count.max(1))
}

/// Seals a request that names its client.
fn seal(sealer: &mut MessageSealer<Request>, client: usize, out: &mut BytesMut) {
    let path = format!("/{client}");
    let head = encode_request("GET", "https", "app.example", &path, [].into_iter());
    sealer.head(&head.expect("valid"), true, out).expect("the first frame");
}

fn same(client: &ClientSession, server: &ServerSession) {
    assert_eq!(client.id(), server.id());
    assert_eq!(client.binding(), server.binding());
    assert_eq!(client.parameters(), server.parameters());
    assert_eq!(client.suite(), server.suite());
}

fn opens(mut response: MessageOpener<Response>, frame: &[u8]) {
    response.push(Bytes::copy_from_slice(frame));
    let event = response.next_event();
    assert!(matches!(event, Ok(Some(Event::Head { fin: true, .. }))), "{event:?}");
}

fuzz_target!(|input: Input| {
    let capacity = |epoch: usize| usize::from(input.room[epoch] % 3);
    let mut world = World {
        rng: rng(7),
        room: input.room,
        keys: [0, 1, 2].map(|at| Some(keys(at as u64 + 1, capacity(at)))),
        recorded: Default::default(),
        clients: Vec::new(),
        servers: Vec::new(),
    };
    for action in &input.actions {
        world.act(action);
    }
});
