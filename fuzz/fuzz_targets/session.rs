//! Sessions, with a host that delivers what it likes, a client that seals what it likes, and a model
//! that knows every genuine frame: of a stream exactly the frames sealed for it are released, in
//! their order; each stream id is accepted once; order, end and key usage are those of SPEC.md.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use steve_fuzz::order::{Piece, Seen};
use steve_fuzz::seldom::Seldom;
use steve_fuzz::wire::{C2S, Reader, S2C, Sealed, Step, Writer, view};
use steve_fuzz::world::{NOW_MS, PARAMETERS, SUITES, enclave, keys, rng};
use steve_protocol::MAX_SESSION_BYTES;
use steve_protocol::frame::FrameSealer;
use steve_protocol::handshake::{ClientHandshake, ClientHello, ServerHandshake};
use steve_protocol::schedule::SessionSecrets;
use steve_protocol::session::{
    ClientSession, ClientStream, MAX_STREAM_ID, Pending, PendingStream, ServerSession,
    ServerStream, SessionId, StreamOpen,
};
use steve_protocol::suite::Suite;

/// Ids that are told apart below the largest one.
const WINDOW: u64 = 1024;
const ID: SessionId = [9; 16];

#[derive(Arbitrary, Debug)]
struct Input {
    aes: bool,
    /// How much the keys are used at the beginning, in each direction.
    used: Seldom<[Used; 2]>,
    actions: Vec<Action>,
}

#[derive(Arbitrary, Debug)]
enum Used {
    No,
    Half(u8),
    Full(u8),
}

#[derive(Arbitrary, Debug)]
enum Action {
    /// The client opens so many streams and uses the last one.
    Open { skipped: u16, head: bool, upgrade: bool },
    /// A client without rules uses any id.
    Raw { id: Id },
    /// A client seals a frame.
    Seal { flow: u8, piece: Piece, padding: u8 },
    /// Somebody claims a stream.
    Connect { id: Id },
    /// The host hands bytes to the server.
    Request { connection: u8, bytes: Delivery },
    /// The server seals a frame.
    Respond { connection: u8, piece: Piece },
    /// The host hands bytes to the client.
    Response { stream: u8, bytes: Delivery },
}

#[derive(Arbitrary, Debug)]
enum Id {
    Of(u8),
    Small(u16),
    Below(u16),
    Any(u64),
}

#[derive(Arbitrary, Debug)]
struct Delivery {
    /// What comes next, or something else.
    instead: Seldom<What>,
    /// Length of the pieces it comes in.
    chunk: u8,
}

#[derive(Arbitrary, Debug)]
enum What {
    /// A part of what comes next. The rest may never come.
    Part(u8),
    /// The next one with a bit flipped.
    Flipped(u16),
    /// Any frame of this session.
    Any(u8),
    Junk(Vec<u8>),
}

/// Of one handshake for each suite.
static SECRETS: LazyLock<[(Suite, Box<SessionSecrets>); 2]> = LazyLock::new(|| {
    let keys = keys(1, 0);
    let enclave = enclave(&keys);
    SUITES.map(|suite| {
        let (client, hello) = ClientHandshake::start(&enclave, &[suite], NOW_MS, &mut rng(1))
            .expect("the enclave has the suite");
        let hello = ClientHello::decode(&hello).expect("the client made it");
        let server = ServerHandshake::receive([&keys], &hello).expect("the client made it");
        let (_, hello) = server.reply(PARAMETERS, &mut rng(2)).expect("the keys are valid");
        let session = client.finish(&hello, NOW_MS).expect("the server made it");
        (suite, Box::new(session.dangerous_secrets().clone()))
    })
});

enum Flow {
    Raw(FrameSealer, Writer),
    Stream(Box<ClientStream>, Writer, Reader),
}

impl Flow {
    fn id(&self) -> u64 {
        match self {
            Self::Raw(_, writer) | Self::Stream(_, writer, _) => writer.id,
        }
    }
}

enum State {
    Pending(Box<PendingStream>),
    Open(Box<ServerStream>, Writer),
    Refused,
}

struct World {
    suite: Suite,
    secrets: &'static SessionSecrets,
    client: ClientSession,
    server: Arc<ServerSession>,
    sealed: Sealed,
    flows: Vec<Flow>,
    connections: Vec<(State, Reader)>,
    opened: u64,
    /// Bytes that each end counts, in each direction.
    client_used: [u64; 2],
    server_used: [u64; 2],
    accepted: HashSet<u64>,
    largest: u64,
}

impl World {
    fn new(aes: bool, used: [u64; 2]) -> Self {
        let (suite, secrets) = &SECRETS[usize::from(aes)];
        let client =
            ClientSession::dangerous_standalone(*suite, ID, secrets.clone(), PARAMETERS, used);
        let server =
            ServerSession::dangerous_standalone(*suite, ID, secrets.clone(), PARAMETERS, used);
        Self {
            suite: *suite,
            secrets,
            client,
            server: server.into(),
            sealed: Sealed::default(),
            flows: Vec::new(),
            connections: Vec::new(),
            opened: 0,
            client_used: used,
            server_used: used,
            accepted: HashSet::new(),
            largest: 0,
        }
    }

    fn id(&self, id: &Id) -> u64 {
        match id {
            Id::Of(flow) if !self.flows.is_empty() => {
                self.flows[usize::from(*flow) % self.flows.len()].id()
            }
            Id::Of(small) => (*small).into(),
            Id::Small(small) => (*small).into(),
            Id::Below(distance) => self.largest.saturating_sub((*distance).into()),
            Id::Any(any) => *any,
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Open { skipped, head, upgrade } => {
                // Mostly few, for each has keys to be set up.
                let many = skipped % 16 == 15 && self.opened < 2 * WINDOW;
                let skipped = if many { skipped % 2000 } else { skipped % 4 };
                self.open(skipped.into(), *head, *upgrade);
            }
            Action::Raw { id } => {
                let id = self.id(id);
                let sealer = FrameSealer::dangerous_standalone(self.suite, &self.secrets.c2s, id);
                self.flows.push(Flow::Raw(sealer, Writer::new(C2S, id)));
            }
            Action::Seal { flow, piece, padding } => self.seal(*flow, *piece, *padding),
            Action::Connect { id } => self.connect(self.id(id)),
            Action::Request { connection, bytes } => self.request(*connection, bytes),
            Action::Respond { connection, piece } => self.respond(*connection, *piece),
            Action::Response { stream, bytes } => self.response(*stream, bytes),
        }
    }

    fn open(&mut self, skipped: u64, head: bool, upgrade: bool) {
        let half = MAX_SESSION_BYTES / 2;
        let fresh = self.client_used.iter().all(|used| *used <= half);
        for _ in 0..skipped {
            self.opened += u64::from(self.client.open_stream().is_some());
        }
        let stream = self.client.open_stream();
        assert_eq!(stream.is_some(), fresh);
        let Some(mut stream) = stream else { return };
        self.opened += 1;
        let id = stream.open.stream_id;
        assert_eq!(id, self.opened, "ids never repeat");
        let (writer, mut reader) = (Writer::new(C2S, id), Reader::new(S2C, id));
        (reader.order.to_head, reader.order.to_upgrade) = (head, upgrade);
        if head {
            stream.response.answers_head_request();
        }
        if upgrade {
            stream.response.answers_upgrade_request();
        }
        self.flows.push(Flow::Stream(stream.into(), writer, reader));
    }

    fn seal(&mut self, flow: u8, piece: Piece, padding: u8) {
        let Some(flow) = pick(&mut self.flows, flow) else { return };
        match flow {
            Flow::Raw(sealer, writer) => {
                let mut out = BytesMut::new();
                let (bytes, padding) = (piece.bytes(false), padding.into());
                sealer
                    .seal(piece.frame_type(), piece.fin, &bytes, padding, &mut out)
                    .expect("few frames");
                writer.add(&mut self.sealed, out, piece);
            }
            Flow::Stream(stream, writer, _) => {
                writer.seal(
                    &mut stream.request,
                    piece,
                    &mut self.sealed,
                    &mut self.client_used[C2S],
                );
            }
        }
    }

    fn connect(&mut self, stream_id: u64) {
        let open = StreamOpen { session_id: self.server.id(), stream_id };
        let decoded = StreamOpen::decode(&open.encode());
        assert_eq!(decoded.is_ok(), (1..=MAX_STREAM_ID).contains(&stream_id));
        if let Ok(open) = decoded {
            let pending = self.server.pending_stream(open.stream_id);
            self.connections.push((State::Pending(pending), Reader::new(C2S, open.stream_id)));
        }
    }

    fn request(&mut self, connection: u8, delivery: &Delivery) {
        let Some((state, reader)) = pick(&mut self.connections, connection) else { return };
        for chunk in bytes(delivery, reader, &self.sealed) {
            reader.received.extend_from_slice(&chunk);
            let used = &mut self.server_used[C2S];
            *state = match std::mem::replace(state, State::Refused) {
                State::Refused => State::Refused,
                State::Open(mut stream, writer) => {
                    stream.request.push(chunk);
                    reader.drain(&mut stream.request, &self.sealed, used);
                    State::Open(stream, writer)
                }
                State::Pending(pending) => {
                    let is_new = !self.accepted.contains(&reader.id)
                        && (reader.id > self.largest || self.largest - reader.id < WINDOW);
                    if !is_new {
                        assert!(pending.accept(chunk).is_err(), "a used id is looked at");
                        *state = State::Refused;
                        continue;
                    }
                    match (pending.accept(chunk), reader.step(&self.sealed, used)) {
                        (Ok(Pending::NeedMore(pending)), Step::NeedMore) => State::Pending(pending),
                        (Err(_), Step::Bad) => State::Refused,
                        (Ok(Pending::Open(mut stream)), Step::Authentic(seen, _)) => {
                            self.accepted.insert(reader.id);
                            self.largest = self.largest.max(reader.id);
                            match &stream.first {
                                Ok(event) => assert_eq!(view(event), seen),
                                Err(_) => assert_eq!(seen, Seen::Refused),
                            }
                            reader.drain(&mut stream.request, &self.sealed, used);
                            State::Open(stream, Writer::new(S2C, reader.id))
                        }
                        (_, step) => panic!("{step:?} is expected of a first frame"),
                    }
                }
            };
        }
    }

    fn respond(&mut self, connection: u8, piece: Piece) {
        let Some((State::Open(stream, writer), _)) = pick(&mut self.connections, connection) else {
            return;
        };
        let used = &mut self.server_used[S2C];
        writer.seal(&mut stream.response, piece, &mut self.sealed, used);
    }

    fn response(&mut self, stream: u8, delivery: &Delivery) {
        let Some(Flow::Stream(stream, _, reader)) = pick(&mut self.flows, stream) else { return };
        for chunk in bytes(delivery, reader, &self.sealed) {
            reader.received.extend_from_slice(&chunk);
            stream.response.push(chunk);
            reader.drain(&mut stream.response, &self.sealed, &mut self.client_used[S2C]);
        }
    }
}

fn pick<T>(all: &mut [T], index: u8) -> Option<&mut T> {
    let count = all.len();
    all.get_mut(usize::from(index) % count.max(1))
}

/// What the host delivers, in the pieces in which it comes.
fn bytes(delivery: &Delivery, reader: &Reader, sealed: &Sealed) -> Vec<Bytes> {
    let next = sealed.frames.get(&(reader.direction, reader.id, reader.number));
    let next = next.and_then(|frames| frames.last()).map(|(frame, _)| frame.clone());
    let mut bytes = match &delivery.instead.0 {
        None => next.unwrap_or_default().to_vec(),
        Some(What::Part(len)) => {
            let frame = next.unwrap_or_default();
            let rest = frame.get(reader.received.len()..).unwrap_or_default();
            rest[..rest.len().min((*len).into())].to_vec()
        }
        Some(What::Flipped(bit)) => {
            let mut frame = next.unwrap_or_default().to_vec();
            let bits = frame.len() * 8;
            if bits > 0 {
                let bit = usize::from(*bit) % bits;
                frame[bit / 8] ^= 1 << (bit % 8);
            }
            frame
        }
        Some(What::Any(index)) if !sealed.all.is_empty() => {
            sealed.all[usize::from(*index) % sealed.all.len()].to_vec()
        }
        Some(What::Any(_)) => Vec::new(),
        Some(What::Junk(junk)) => junk.clone(),
    };
    let chunk = if delivery.chunk == 0 { bytes.len().max(1) } else { delivery.chunk.into() };
    // As in the proxy, where what is received is sometimes shared.
    if delivery.chunk.is_multiple_of(2) {
        let bytes = Bytes::from(std::mem::take(&mut bytes));
        return (0..bytes.len())
            .step_by(chunk)
            .map(|start| bytes.slice(start..bytes.len().min(start + chunk)))
            .collect();
    }
    bytes.chunks(chunk).map(Bytes::copy_from_slice).collect()
}

fuzz_target!(|input: Input| {
    let used = input.used.0.map_or([0; 2], |both| {
        both.map(|used| match used {
            Used::No => 0,
            Used::Half(below) => MAX_SESSION_BYTES / 2 - u64::from(below),
            Used::Full(below) => MAX_SESSION_BYTES - u64::from(below) * 4,
        })
    });
    let mut world = World::new(input.aes, used);
    for action in &input.actions {
        world.act(action);
    }
    let exhausted = world.server_used.iter().any(|used| *used > MAX_SESSION_BYTES);
    assert_eq!(world.server.is_exhausted(), exhausted);
});
