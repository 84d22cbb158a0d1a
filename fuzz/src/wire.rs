//! What the host has to deliver, and a model of both ends of one direction of a stream: which bytes
//! are genuine, what they must be read as, and what may be sealed next.

use crate::order::{Order, Piece, Seen};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use steve_protocol::MAX_SESSION_BYTES;
use steve_protocol::frame::{MAX_CONTENT_LEN, OVERHEAD};
use steve_protocol::stream::{Event, MessageOpener, MessageSealer, ResetCode, Role};

/// From client to server.
pub const C2S: usize = 0;
/// Back.
pub const S2C: usize = 1;

/// Every frame that was sealed, by direction, stream and number. A client without rules can make
/// several.
#[derive(Default)]
pub struct Sealed {
    /// The frame, or several, in each place.
    pub frames: HashMap<(usize, u64, usize), Vec<(Bytes, Piece)>>,
    /// The same in the order in which they were sealed.
    pub all: Vec<Bytes>,
}

impl Sealed {
    /// One more.
    pub fn add(&mut self, direction: usize, id: u64, number: usize, frame: Bytes, piece: Piece) {
        self.all.push(frame.clone());
        self.frames.entry((direction, id, number)).or_default().push((frame, piece));
    }
}

/// What becomes of the next bytes.
#[derive(Debug)]
pub enum Step {
    /// Nothing yet, or ever.
    NeedMore,
    /// Not authentic, or the key is used up.
    Bad,
    /// What the receiver sees of a frame.
    Authentic(Seen, Piece),
}

/// What one end must make of the bytes it gets.
pub struct Reader {
    /// Which way.
    pub direction: usize,
    /// Which stream.
    pub id: u64,
    /// Bytes that are not a frame yet.
    pub received: Vec<u8>,
    /// How many frames were genuine.
    pub number: usize,
    /// What they add up to.
    pub order: Order,
    dead: bool,
}

impl Reader {
    /// Before the first byte.
    pub fn new(direction: usize, id: u64) -> Self {
        let order = Order::new(direction == S2C);
        Self { direction, id, received: Vec::new(), number: 0, order, dead: false }
    }

    fn is_over(&self) -> bool {
        self.dead || self.order.is_over()
    }

    /// Takes a frame off. `used` is what this end counts for the key.
    pub fn step(&mut self, sealed: &Sealed, used: &mut u64) -> Step {
        let Some(header) = self.received.first_chunk() else { return Step::NeedMore };
        if self.is_over() {
            return Step::NeedMore;
        }
        let length = u32::from_be_bytes(*header) as usize;
        let valid = (17..=MAX_CONTENT_LEN + 17).contains(&length);
        if valid && self.received.len() < 4 + length {
            return Step::NeedMore;
        }
        if valid {
            *used += length as u64;
        }
        if !valid || *used > MAX_SESSION_BYTES {
            self.dead = true;
            return Step::Bad;
        }
        let rest = self.received.split_off(4 + length);
        let frame = std::mem::replace(&mut self.received, rest);
        let candidates = sealed.frames.get(&(self.direction, self.id, self.number));
        let genuine = candidates.into_iter().flatten().find(|(bytes, _)| *bytes == frame);
        let Some((_, piece)) = genuine else {
            self.dead = true;
            return Step::Bad;
        };
        self.number += 1;
        let seen = self.order.accept(piece).expect("it is not over");
        Step::Authentic(seen, *piece)
    }

    /// Holds what an opener gives against what it must give, until it needs more.
    pub fn drain<R: Role>(
        &mut self,
        opener: &mut MessageOpener<R>,
        sealed: &Sealed,
        used: &mut u64,
    ) {
        loop {
            let step = self.step(sealed, used);
            match (opener.next_event(), &step) {
                (Ok(None), Step::NeedMore) => break,
                (Ok(Some(event)), Step::Authentic(seen, piece)) => {
                    assert_eq!(view(&event), *seen);
                    if let Event::Data { data, .. } = event {
                        assert_eq!(data, piece.bytes(self.direction == S2C));
                    }
                }
                (Err(_), Step::Bad | Step::Authentic(Seen::Refused, _)) => {}
                (result, _) => {
                    panic!("{:?} for {step:?}", result.map(|event| event.map(|e| view(&e))))
                }
            }
        }
        assert_eq!(opener.is_over(), self.is_over());
        assert_eq!(opener.end().is_ok(), self.is_over());
        assert_eq!(opener.is_complete(), self.order.is_complete() && !self.dead);
    }
}

/// An event as the model has it.
pub fn view<H>(event: &Event<H>) -> Seen {
    match event {
        Event::Informational(_) => Seen::Informational,
        Event::Head { fin, .. } => Seen::Head(*fin),
        Event::Data { data, fin } => Seen::Data(data.len(), *fin),
        Event::Trailers(_) => Seen::Trailers,
        Event::Reset(code) => Seen::Reset(code.to_u16()),
    }
}

/// What [`MessageSealer`] may do next.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Start,
    Body,
    Over,
}

/// Frames that are sealed for one stream in one direction.
pub struct Writer {
    direction: usize,
    /// Which stream.
    pub id: u64,
    number: usize,
    phase: Phase,
}

impl Writer {
    /// Before the first frame.
    pub fn new(direction: usize, id: u64) -> Self {
        Self { direction, id, number: 0, phase: Phase::Start }
    }

    /// A frame that was sealed in whatever way.
    pub fn add(&mut self, sealed: &mut Sealed, frame: BytesMut, piece: Piece) {
        sealed.add(self.direction, self.id, self.number, frame.freeze(), piece);
        self.number += 1;
    }

    /// Seals through the interface that keeps to the rules, and holds it to them.
    pub fn seal<R: Role>(
        &mut self,
        sealer: &mut MessageSealer<R>,
        mut piece: Piece,
        sealed: &mut Sealed,
        used: &mut u64,
    ) {
        use steve_protocol::frame::FrameType::{Data, Head, Reset, Trailers};
        let bytes = piece.bytes(self.direction == S2C);
        let frame_type = piece.frame_type();
        let (allowed, next) = match frame_type {
            Head => (self.phase == Phase::Start, after(piece.fin)),
            Data => (self.phase == Phase::Body, after(piece.fin)),
            Trailers => (self.phase == Phase::Body, Phase::Over),
            Reset => (true, Phase::Over),
        };
        let silent = match frame_type {
            Data => bytes.is_empty() && !piece.fin,
            Reset => self.phase == Phase::Over,
            _ => false,
        };
        let mut out = BytesMut::new();
        let result = match frame_type {
            Head => sealer.head(&bytes, piece.fin, &mut out),
            Data => sealer.data(&bytes, piece.fin, &mut out),
            Trailers => sealer.trailers(&bytes, &mut out),
            Reset => {
                let Ok(code) = bytes.try_into() else { return };
                sealer.reset(ResetCode::from_u16(u16::from_be_bytes(code)), &mut out)
            }
        };
        if !allowed || silent {
            assert_eq!((result.is_ok(), out.len()), (allowed, 0));
            return;
        }
        let length = piece.bytes(self.direction == S2C).len();
        *used += (length + OVERHEAD - 4) as u64;
        let left = *used <= MAX_SESSION_BYTES;
        assert_eq!((result.is_ok(), out.len()), (left, if left { length + OVERHEAD } else { 0 }));
        self.phase = if left { next } else { Phase::Over };
        assert_eq!(sealer.is_over(), self.phase == Phase::Over);
        piece.fin = match frame_type {
            Trailers => true,
            Reset => false,
            _ => piece.fin,
        };
        if left {
            self.add(sealed, out, piece);
        }
    }
}

fn after(fin: bool) -> Phase {
    if fin { Phase::Over } else { Phase::Body }
}
