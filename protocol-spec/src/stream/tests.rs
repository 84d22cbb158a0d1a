use super::*;
use crate::codec::{put_varint, put_varint_bytes};
use crate::frame::{FrameError, FrameOpener, FrameSealer};
use crate::schedule::TrafficKey;
use crate::suite::Suite;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

const SUITE: Suite = Suite::X25519ChaCha20Poly1305;

fn traffic() -> TrafficKey {
    TrafficKey { key: [3; 32], iv: [5; 12] }
}

pub(super) fn sealer<R: Role>() -> MessageSealer<R> {
    MessageSealer::new(FrameSealer::new(SUITE, &traffic(), 1, Arc::default()))
}

pub(super) fn opener<R: Role>() -> MessageOpener<R> {
    MessageOpener::new(FrameOpener::new(SUITE, &traffic(), 1, Arc::default()))
}

pub(super) fn fields(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in lines {
        put_varint_bytes(&mut section, name.as_bytes());
        put_varint_bytes(&mut section, value.as_bytes());
    }
    let mut out = Vec::new();
    put_varint_bytes(&mut out, &section);
    out
}

pub(super) fn request(method: &str, lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [method, "https", "app.example", "/path?q"] {
        put_varint_bytes(&mut out, part.as_bytes());
    }
    out.extend(fields(lines));
    out
}

pub(super) fn response(status: u16, lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, status.into());
    out.extend(fields(lines));
    out
}

pub(super) fn drain<R: Role>(
    opener: &mut MessageOpener<R>,
    wire: impl Into<Bytes>,
) -> Result<Vec<Event<R::Head>>, StreamError> {
    opener.push(wire.into());
    let mut events = Vec::new();
    while let Some(event) = opener.next_event()? {
        events.push(event);
    }
    Ok(events)
}

#[test]
fn a_request_with_body_and_trailers() {
    let mut sealer = sealer::<Request>();
    let mut wire = BytesMut::new();
    sealer.head(&request("POST", &[]), false, &mut wire).unwrap();
    sealer.data(&[7; 100_000], false, &mut wire).unwrap();
    sealer.data(b"", false, &mut wire).unwrap();
    sealer.trailers(&fields(&[("x-sum", "1")]), &mut wire).unwrap();
    assert!(sealer.is_over());

    let mut opener = opener::<Request>();
    let events = drain(&mut opener, wire).unwrap();
    assert!(matches!(&events[0], Event::Head { head, fin: false } if head.method() == "POST"));
    let body: usize = events
        .iter()
        .filter_map(
            |event| if let Event::Data { data, .. } = event { Some(data.len()) } else { None },
        )
        .sum();
    assert_eq!(body, 100_000);
    assert!(matches!(events.last(), Some(Event::Trailers(_))));
    assert!(opener.is_complete());
    opener.end().unwrap();
}

#[test]
fn informational_heads_come_before_the_final_one() {
    let mut sealer = sealer::<Response>();
    let mut wire = BytesMut::new();
    sealer.informational(&response(103, &[("link", "</a>")]), &mut wire).unwrap();
    sealer.informational(&response(100, &[]), &mut wire).unwrap();
    sealer.head(&response(204, &[]), true, &mut wire).unwrap();
    assert_eq!(sealer.informational(&response(103, &[]), &mut wire), Err(SealError::OutOfOrder));

    let events = drain(&mut opener::<Response>(), wire).unwrap();
    assert!(matches!(&events[0], Event::Informational(head) if head.status() == 103));
    assert!(matches!(&events[1], Event::Informational(head) if head.status() == 100));
    assert!(matches!(&events[2], Event::Head { head, fin: true } if head.status() == 204));
}

#[test]
fn row_06_only_fin_makes_a_message_complete() {
    let mut sealer = sealer::<Response>();
    let mut wire = BytesMut::new();
    let mut ends = vec![];
    sealer.head(&response(200, &[]), false, &mut wire).unwrap();
    ends.push(wire.len());
    sealer.data(b"half of it", false, &mut wire).unwrap();
    ends.push(wire.len());
    sealer.data(b", and the rest", true, &mut wire).unwrap();
    let wire = wire.freeze();
    for end in 0..wire.len() {
        let mut opener = opener::<Response>();
        let events = drain(&mut opener, wire.slice(..end)).unwrap();
        assert!(!opener.is_complete());
        assert_eq!(opener.end(), Err(StreamError::Truncated), "cut at {end}");
        assert_eq!(events.len(), ends.iter().filter(|at| **at <= end).count());
    }
    let mut whole = opener::<Response>();
    drain(&mut whole, wire).unwrap();
    assert_eq!(whole.end(), Ok(()));
}

#[test]
fn row_06_reset_is_never_a_clean_end() {
    let mut sealer = sealer::<Response>();
    let mut wire = BytesMut::new();
    sealer.head(&response(200, &[]), false, &mut wire).unwrap();
    sealer.reset(ResetCode::APP_FAILED, &mut wire).unwrap();
    let len = wire.len();
    sealer.reset(ResetCode::TIMEOUT, &mut wire).unwrap();
    assert_eq!(wire.len(), len, "one end is enough");
    assert_eq!(sealer.data(b"more", true, &mut wire), Err(SealError::OutOfOrder));

    let mut opener = opener::<Response>();
    let events = drain(&mut opener, wire).unwrap();
    assert_eq!(events.last(), Some(&Event::Reset(ResetCode::APP_FAILED)));
    assert!(opener.is_over() && !opener.is_complete());
}

#[test]
fn an_upgraded_stream_carries_bytes_both_ways_until_fin() {
    let mut wire = BytesMut::new();
    let mut request_sealer = sealer::<Request>();
    request_sealer.head(&request("GET", &[("upgrade", "websocket")]), false, &mut wire).unwrap();
    request_sealer.data(b"up", true, &mut wire).unwrap();
    let events = drain(&mut opener::<Request>(), wire).unwrap();
    assert!(matches!(&events[0], Event::Head { head, .. } if head.upgrade() == Some("websocket")));
    assert!(matches!(&events[1], Event::Data { fin: true, .. }));

    let mut wire = BytesMut::new();
    let mut response_sealer = sealer::<Response>();
    response_sealer.informational(&response(103, &[]), &mut wire).unwrap();
    response_sealer.head(&response(101, &[("x", "y")]), false, &mut wire).unwrap();
    response_sealer.data(b"down", true, &mut wire).unwrap();
    let mut opener = opener::<Response>();
    opener.answers_upgrade_request();
    let events = drain(&mut opener, wire).unwrap();
    assert!(matches!(&events[1], Event::Head { head, fin: false } if head.status() == 101));
    assert!(opener.is_complete());
}

#[test]
fn row_21_no_upgrade_without_asking_and_none_in_a_complete_message() {
    let seal = |head: &[u8], fin| {
        let mut wire = BytesMut::new();
        sealer::<Response>().head(head, fin, &mut wire).unwrap();
        wire
    };
    let switching = response(101, &[]);
    let unasked = drain(&mut opener::<Response>(), seal(&switching, false));
    assert_eq!(unasked, Err(StreamError::Head(HeadError::Status)));
    let mut asked = opener::<Response>();
    asked.answers_upgrade_request();
    let complete = drain(&mut asked, seal(&switching, true));
    assert_eq!(complete, Err(StreamError::Head(HeadError::Status)));
    let complete = seal(&request("GET", &[("upgrade", "websocket")]), true);
    let complete = drain(&mut opener::<Request>(), complete);
    assert_eq!(complete, Err(StreamError::Head(HeadError::Upgrade)));
}

#[test]
fn an_upgraded_stream_has_no_trailers() {
    let mut wire = BytesMut::new();
    let mut sealer = sealer::<Request>();
    sealer.head(&request("GET", &[("upgrade", "websocket")]), false, &mut wire).unwrap();
    sealer.trailers(&fields(&[]), &mut wire).unwrap();
    assert_eq!(drain(&mut opener::<Request>(), wire), Err(StreamError::OutOfOrder));
}

#[test]
fn frames_out_of_order_end_the_message() {
    use crate::frame::FrameType::{Data, Head, Reset, Trailers};
    let head = request("POST", &[]);
    let none = fields(&[]);
    let cases: [&[(_, bool, &[u8])]; 8] = [
        &[(Head, false, &head), (Reset, false, &[1, 1])],
        &[(Data, false, b"x")],
        &[(Trailers, true, &none)],
        &[(Head, false, &head), (Head, false, &head)],
        &[(Head, false, &head), (Trailers, false, &none)],
        &[(Head, false, &head), (Reset, true, &[2, 2])],
        &[(Head, false, &head), (Reset, false, &[2])],
        &[(Head, false, &head), (Reset, false, &[2, 2, 2])],
    ];
    for (index, frames) in cases.iter().enumerate() {
        let mut sealer = FrameSealer::new(SUITE, &traffic(), 1, Arc::default());
        let mut wire = BytesMut::new();
        for (frame_type, fin, content) in *frames {
            sealer.seal(*frame_type, *fin, content, 0, &mut wire).unwrap();
        }
        let mut opener = opener::<Request>();
        assert_eq!(drain(&mut opener, wire), Err(StreamError::OutOfOrder), "case {index}");
        assert!(opener.is_over() && !opener.is_complete());
        assert_eq!(opener.next_event(), Ok(None), "nothing follows an error");
    }
}

#[test]
fn an_informational_head_cannot_end_the_message() {
    let mut frames = FrameSealer::new(SUITE, &traffic(), 1, Arc::default());
    let mut wire = BytesMut::new();
    let head = response(103, &[]);
    frames.seal(crate::frame::FrameType::Head, true, &head, 0, &mut wire).unwrap();
    assert!(drain(&mut opener::<Response>(), wire).is_err());
}

#[test]
fn row_21_content_length_has_to_be_true() {
    for (declared, body) in [("3", "four"), ("5", "four"), ("0", "x")] {
        let mut sealer = sealer::<Request>();
        let mut wire = BytesMut::new();
        sealer.head(&request("POST", &[("content-length", declared)]), false, &mut wire).unwrap();
        sealer.data(body.as_bytes(), true, &mut wire).unwrap();
        let result = drain(&mut opener::<Request>(), wire);
        assert!(matches!(result, Err(StreamError::Head(_))), "{declared}: {result:?}");
    }
    let mut sealer = sealer::<Response>();
    let mut wire = BytesMut::new();
    sealer.head(&response(200, &[("content-length", "1000")]), true, &mut wire).unwrap();
    let wire = wire.freeze();
    assert!(drain(&mut opener::<Response>(), wire.clone()).is_err());
    let mut to_head = opener::<Response>();
    to_head.answers_head_request();
    drain(&mut to_head, wire).unwrap();
    assert!(to_head.is_complete());
}

#[test]
fn a_tampered_frame_yields_nothing() {
    let mut sealer = sealer::<Response>();
    let mut wire = BytesMut::new();
    sealer.head(&response(200, &[]), false, &mut wire).unwrap();
    let start = wire.len();
    sealer.data(b"balance: 100", true, &mut wire).unwrap();
    wire[start + 6] ^= 1;
    let mut opener = opener::<Response>();
    opener.push(wire.freeze());
    assert!(matches!(opener.next_event(), Ok(Some(Event::Head { .. }))));
    assert_eq!(opener.next_event(), Err(StreamError::Frame(FrameError::Unauthenticated)));
    assert_eq!(opener.next_event(), Ok(None));
    assert!(!opener.is_complete());
}

#[test]
fn reset_codes_say_what_was_dispatched() {
    assert!(ResetCode::REFUSED.not_dispatched());
    assert!(ResetCode::from_u16(0x01ff).not_dispatched(), "also unknown ones");
    for code in [0x0000, 0x00ff, 0x0200, 0x0201, 0x1101, 0xffff] {
        assert!(!ResetCode::from_u16(code).not_dispatched(), "{code:04x}");
    }
    assert_eq!(ResetCode::APP_FAILED.to_string(), "app-failed (0x0201)");
}

#[test]
fn what_follows_the_end_is_ignored() {
    let mut sealer = sealer::<Response>();
    let mut wire = BytesMut::new();
    sealer.head(&response(200, &[]), true, &mut wire).unwrap();
    wire.extend_from_slice(b"whatever the host appends");
    let mut opener = opener::<Response>();
    assert_eq!(drain(&mut opener, wire).unwrap().len(), 1);
    assert_eq!(drain(&mut opener, Bytes::from_static(b"and more")), Ok(vec![]));
    assert!(opener.is_complete());
    opener.end().unwrap();
}

#[test]
fn row_34_what_is_printed_for_debugging_holds_no_plaintext() {
    let mut sealer = sealer::<Request>();
    let mut wire = BytesMut::new();
    let head = request("POST", &[("cookie", "secret-cookie")]);
    sealer.head(&head, false, &mut wire).unwrap();
    sealer.data(b"secret-body", false, &mut wire).unwrap();
    sealer.trailers(&fields(&[("x-sum", "secret-sum")]), &mut wire).unwrap();
    let printed = format!("{:?}", drain(&mut opener::<Request>(), wire).unwrap());
    assert!(!printed.contains("secret"), "{printed}");
    assert!(!printed.contains("path?q"), "{printed}");
}
