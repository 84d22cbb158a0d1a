//! What the host can do to an exchange.

use bytes::Bytes;
use std::time::Duration;

/// What an outer request is, as far as the host can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Evidence,
    /// A ClientHello alone.
    Hello,
    /// A ClientHello with a request behind it.
    Early,
    Stream,
    Tunnel,
}

/// An exchange that begins.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub kind: Kind,
    /// Counted from 0, of its kind.
    pub nth: usize,
}

/// What is done to it.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    pub before: Vec<Before>,
    pub route: Route,
    pub request: Option<Edit>,
    pub response: Option<Edit>,
}

impl Fault {
    pub fn route(route: Route) -> Self {
        Self { route, ..Self::default() }
    }

    pub fn request(at: usize, what: What) -> Self {
        Self { request: Some(Edit { at, what }), ..Self::default() }
    }

    pub fn response(at: usize, what: What) -> Self {
        Self { response: Some(Edit { at, what }), ..Self::default() }
    }

    pub fn before(before: Before) -> Self {
        Self { before: vec![before], ..Self::default() }
    }
}

/// Something that comes first.
#[derive(Clone, Debug)]
pub enum Before {
    Wait(Duration),
    Restart,
    /// Sends the nth recorded request once more, modulo their number.
    Replay(usize),
}

/// Where the request goes, and where the answer comes from.
#[derive(Clone, Debug, Default)]
pub enum Route {
    #[default]
    Forward,
    /// To another genuine proxy.
    Other,
    /// Nowhere: the host answers.
    Forge(u16, &'static str),
    /// To the proxy; when that has answered, to its end, the host answers something else.
    Mask(u16, &'static str),
    /// To the proxy; the connection to the client is closed instead of an answer.
    Swallow,
    /// Nowhere for now; the proxy gets it at the end. The host answers, or is silent.
    Hold(Option<(u16, &'static str)>),
    /// Twice to the proxy, at once or one after the other; this is the answer that counts.
    Twice { at_once: bool, answer: usize },
    /// To the proxy, but the client gets the nth recorded answer of this kind, modulo their number.
    Swap(usize),
    /// Nowhere: the client gets its own bytes back.
    Reflect,
}

/// A change of a body.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Behind so many bytes.
    pub at: usize,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// It ends in good order.
    End,
    /// The connection breaks.
    Break,
    /// Nothing more comes.
    Stall,
    Wait(Duration),
    /// The next byte is changed in these bits.
    Flip(u8),
    /// These bytes are put in between.
    Insert(Bytes),
    /// The next bytes are those of the nth recorded body of this kind and direction, modulo their
    /// number, from the same place on.
    Splice(usize),
    /// From here on the bytes are those of the same exchange's other direction.
    Reflect,
    /// What came together with the next byte is lost from there on,
    Drop,
    /// comes twice,
    Repeat,
    /// or comes after what comes next.
    Later,
    /// From here on it comes in pieces of a few bytes.
    Trickle,
    Restart,
}

/// What is passed on instead of a piece of a body.
pub enum Piece {
    Data(Bytes),
    Do(What),
}

/// Applies an edit to a body that comes in chunks.
pub struct Editor {
    edit: Option<Edit>,
    offset: usize,
    trickle: bool,
    /// To come later.
    kept: Bytes,
    reached: bool,
}

impl Editor {
    pub fn new(edit: Option<Edit>) -> Self {
        Self { edit, offset: 0, trickle: false, kept: Bytes::new(), reached: false }
    }

    /// True if the last chunk was the one to be edited.
    pub fn is_reached(&self) -> bool {
        self.reached
    }

    pub fn apply(&mut self, mut chunk: Bytes) -> Vec<Piece> {
        let mut out = Vec::new();
        let kept = std::mem::take(&mut self.kept);
        let due = |edit: &mut Edit| (self.offset..self.offset + chunk.len()).contains(&edit.at);
        let edit = self.edit.take_if(due);
        let begin = self.offset;
        self.offset += chunk.len();
        self.reached = edit.is_some();
        if let Some(Edit { at, what }) = edit {
            let first = chunk.split_to(at - begin);
            self.data(first, &mut out);
            match what {
                What::Flip(bits) => {
                    let mut bytes = chunk.to_vec();
                    bytes[0] ^= bits;
                    chunk = bytes.into();
                }
                What::Insert(bytes) => out.push(Piece::Data(bytes)),
                What::Drop => chunk.clear(),
                What::Repeat => out.push(Piece::Data(chunk.clone())),
                What::Later => self.kept = std::mem::take(&mut chunk),
                What::Trickle => self.trickle = true,
                what => out.push(Piece::Do(what)),
            }
        }
        self.data(chunk, &mut out);
        self.data(kept, &mut out);
        out
    }

    fn data(&self, mut bytes: Bytes, out: &mut Vec<Piece>) {
        while !bytes.is_empty() {
            let len = if self.trickle { bytes.len().min(7) } else { bytes.len() };
            out.push(Piece::Data(bytes.split_to(len)));
        }
    }
}

/// Every answer of SPEC.md, Section 13.1, and some that are not there.
pub const FORGED: [(u16, &str); 24] = [
    (400, "malformed"),
    (403, "e2e_required"),
    (403, "origin_not_allowed"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (408, "timeout"),
    (422, "unrecognized"),
    (426, "upgrade_required"),
    (503, "unavailable"),
    (200, ""),
    (201, "unrecognized"),
    (204, ""),
    (206, ""),
    (301, ""),
    (304, ""),
    (401, ""),
    (409, "unrecognized"),
    (425, "too_early"),
    (429, "unavailable"),
    (500, ""),
    (501, "refused"),
    (502, "app_unreachable"),
    (504, "app_timeout"),
    (599, "draining"),
];
