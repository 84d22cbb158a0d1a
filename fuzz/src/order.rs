//! A model of SPEC.md, Sections 9.3 and 10.1: which frames may follow each other, written without a
//! look at the code.

use crate::seldom::Seldom;
use arbitrary::Arbitrary;
use steve_protocol::frame::FrameType;
use steve_protocol::head::{encode_request, encode_response, encode_trailers};

/// What a frame holds.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Content {
    /// A head or trailer section with this number of [`heads`].
    Head(u8),
    /// So many bytes of a body.
    Data(u8),
    /// A code.
    Reset(u16),
    /// No content that any type but DATA has.
    Junk,
}

/// A frame, sealed by someone who holds the key and keeps to no rule.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Piece {
    /// What it holds.
    pub content: Content,
    /// As what: the one that fits, or any other.
    pub disguise: Seldom<u8>,
    /// Whether it says to be the last.
    pub fin: bool,
}

impl Piece {
    /// The type of the frame.
    pub fn frame_type(&self) -> FrameType {
        const TYPES: [FrameType; 4] =
            [FrameType::Head, FrameType::Data, FrameType::Trailers, FrameType::Reset];
        let fits = match self.content {
            Content::Head(number) if number % HEADS == TRAILERS => 2,
            Content::Head(_) => 0,
            Content::Data(_) | Content::Junk => 1,
            Content::Reset(_) => 3,
        };
        TYPES[self.disguise.0.map_or(fits, |any| usize::from(any % 4))]
    }

    /// The bytes of the frame.
    pub fn bytes(&self, response: bool) -> Vec<u8> {
        match self.content {
            Content::Head(number) => head(response, number % HEADS),
            Content::Data(length) => vec![b'd'; length.into()],
            Content::Reset(code) => code.to_be_bytes().to_vec(),
            Content::Junk => b"\xff\xff\xff".to_vec(),
        }
    }
}

/// How many heads there are.
const HEADS: u8 = 10;
const PLAIN: u8 = 0;
const LENGTH_3: u8 = 1;
/// A request to upgrade; a response that agrees.
const UPGRADE: u8 = 2;
/// A HEAD request; a response without body, that names the length it would have had.
const BODILESS: u8 = 3;
/// A request above the session's limit of 1024 bytes; an informational response.
const SPECIAL: u8 = 4;
const LENGTH_0: u8 = 5;
/// For a path without "/", or a status of 600.
const BROKEN: u8 = 6;
const TRAILERS: u8 = 7;
/// A request with a byte behind it; an informational response with a content-length.
const ODD: u8 = 8;
/// A head of the other direction.
const FOREIGN: u8 = 9;

fn head(response: bool, number: u8) -> Vec<u8> {
    let long = vec![b'x'; 1100];
    let length: (&str, &[u8]) = ("content-length", b"3");
    let request = |method: &str, fields: &[(&str, &[u8])]| {
        encode_request(method, "https", "a", "/", fields.iter().copied()).expect("is valid")
    };
    let respond = |status, fields: &[(&str, &[u8])]| {
        encode_response(status, fields.iter().copied()).expect("is valid")
    };
    let none: [(&str, &[u8]); 0] = [];
    match (response, number) {
        (_, TRAILERS) => encode_trailers([("x-sum", &b"1"[..])].into_iter()).expect("is valid"),
        (false, PLAIN) | (true, FOREIGN) => request("GET", &none),
        (true, PLAIN) | (false, FOREIGN) => respond(200, &none),
        (false, LENGTH_3) => request("POST", &[length]),
        (true, LENGTH_3) => respond(200, &[length]),
        (false, UPGRADE) => request("GET", &[("upgrade", b"websocket")]),
        (true, UPGRADE) => respond(101, &[("upgrade", b"websocket")]),
        (false, BODILESS) => request("HEAD", &none),
        (true, BODILESS) => respond(204, &[length]),
        (false, SPECIAL) => request("GET", &[("x-long", &long)]),
        (true, SPECIAL) => respond(103, &none),
        (false, LENGTH_0) => request("POST", &[("content-length", b"0")]),
        (true, LENGTH_0) => respond(500, &[("content-length", b"0")]),
        (false, ODD) => [&request("GET", &none)[..], b"\0"].concat().into(),
        (true, ODD) => [&[0x40, 103][..], &respond(200, &[length])[2..]].concat().into(),
        (false, _) => b"\x03GET\x05https\x01a\x01x\0".to_vec().into(),
        (true, _) => b"\x42\x58\0".to_vec().into(),
    }
    .to_vec()
}

/// What the receiver must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A head that more heads follow.
    Informational,
    /// A head, and whether it completes the message.
    Head(bool),
    /// So many bytes, and whether they complete the message.
    Data(usize, bool),
    /// The message is complete.
    Trailers,
    /// The message is broken off.
    Reset(u16),
    /// The frame is refused and the message over.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Body { left: Option<usize>, upgraded: bool },
    Over,
}

/// One direction of a stream.
#[derive(Clone, Debug)]
pub struct Order {
    response: bool,
    /// The response is to a HEAD request.
    pub to_head: bool,
    /// The response is to a request to upgrade.
    pub to_upgrade: bool,
    /// The direction's first frame is all that may not be longer than 1024 bytes, if a head.
    first: bool,
    at: At,
    complete: bool,
}

impl Order {
    /// Before the first frame.
    pub fn new(response: bool) -> Self {
        let (to_head, to_upgrade, complete) = Default::default();
        Self { response, to_head, to_upgrade, first: true, at: At::Start, complete }
    }

    /// After FIN.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// After FIN, RESET or an error.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// What the receiver sees of an authentic frame; nothing when the message is over.
    pub fn accept(&mut self, piece: &Piece) -> Option<Seen> {
        if self.is_over() {
            return None;
        }
        let seen = self.next(piece).unwrap_or(Seen::Refused);
        self.first = false;
        self.complete = matches!(seen, Seen::Head(true) | Seen::Data(_, true) | Seen::Trailers);
        if self.complete || matches!(seen, Seen::Reset(_) | Seen::Refused) {
            self.at = At::Over;
        }
        Some(seen)
    }

    fn next(&mut self, piece: &Piece) -> Option<Seen> {
        let (Piece { fin, content, .. }, bytes) = (*piece, piece.bytes(self.response));
        match (piece.frame_type(), self.at) {
            (FrameType::Head, At::Start) => self.head(content, fin),
            (FrameType::Data, At::Body { left, upgraded }) => {
                let left = match left {
                    Some(left) => Some(left.checked_sub(bytes.len())?),
                    None => None,
                };
                if fin && left.is_some_and(|left| left > 0) {
                    return None;
                }
                self.at = At::Body { left, upgraded };
                Some(Seen::Data(bytes.len(), fin))
            }
            (FrameType::Trailers, At::Body { left: None | Some(0), upgraded: false }) if fin => {
                let valid = matches!(content, Content::Head(n) if n % HEADS == TRAILERS);
                valid.then_some(Seen::Trailers)
            }
            (FrameType::Reset, At::Start | At::Body { .. }) if !fin => {
                let code = u16::from_be_bytes(bytes.try_into().ok()?);
                let not_dispatched = (0x0100..0x0200).contains(&code);
                (!not_dispatched || (self.first && self.at == At::Start))
                    .then_some(Seen::Reset(code))
            }
            _ => None,
        }
    }

    fn head(&mut self, content: Content, fin: bool) -> Option<Seen> {
        let Content::Head(number) = content else { return None };
        let number = number % HEADS;
        let mut left = match number {
            LENGTH_3 => Some(3),
            LENGTH_0 => Some(0),
            _ => None,
        };
        let mut upgraded = false;
        match (self.response, number) {
            (_, BROKEN | TRAILERS | ODD | FOREIGN) => return None,
            (false, SPECIAL) if self.first => return None,
            (true, SPECIAL) => return (!fin).then_some(Seen::Informational),
            (false, UPGRADE) if fin => return None,
            (true, UPGRADE) if fin || !self.to_upgrade => return None,
            (_, UPGRADE) => upgraded = true,
            (true, BODILESS) => left = Some(0),
            _ => {}
        }
        if self.response && self.to_head && !upgraded {
            left = Some(0);
        }
        if fin && left.is_some_and(|left| left > 0) {
            return None;
        }
        self.at = At::Body { left, upgraded };
        Some(Seen::Head(fin))
    }
}
