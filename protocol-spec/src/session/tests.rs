use super::*;
use crate::codec::put_varint_bytes;
use crate::frame::FrameType;
use crate::head::encode_request;
use crate::schedule::TrafficKey;
use bytes::BytesMut;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Duration;

const PARAMETERS: SessionParameters = SessionParameters {
    lifetime: Duration::from_secs(3600),
    idle_timeout: Duration::from_secs(600),
    max_head_size: 32_768,
    max_streams: 256,
};

fn secrets() -> Box<SessionSecrets> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let pair = crate::kem::KeyPair::generate(crate::suite::Kem::X25519, rng);
    let (enc, e) =
        crate::kem::send(crate::suite::Kem::X25519, pair.public_key(), b"", rng).unwrap();
    let s = pair.receive(&enc, b"").unwrap();
    SessionSecrets::derive(&e, &s, &[0; 32])
}

fn pair() -> (ClientSession, Arc<ServerSession>) {
    let suite = Suite::X25519Aes256Gcm;
    let client = ClientSession::new(suite, [9; 16], secrets(), PARAMETERS);
    let server = ServerSession::new(suite, [9; 16], secrets(), PARAMETERS);
    (client, Arc::new(server))
}

fn get() -> Vec<u8> {
    let mut head = Vec::new();
    for part in ["GET", "https", "app.example", "/", ""] {
        put_varint_bytes(&mut head, part.as_bytes());
    }
    head
}

fn sealed_get(stream: &mut ClientStream) -> Bytes {
    let mut wire = BytesMut::new();
    stream.request.head(&get(), true, &mut wire).unwrap();
    wire.freeze()
}

fn open(
    server: &Arc<ServerSession>,
    id: u64,
    wire: Bytes,
) -> Result<Box<ServerStream>, Unrecognized> {
    match server.pending_stream(id).accept(wire)? {
        Pending::Open(stream) => Ok(stream),
        Pending::NeedMore(_) => panic!("a whole frame was given"),
    }
}

#[test]
fn many_streams_in_any_order_each_once() {
    let (client, server) = pair();
    let mut streams: Vec<_> = (0..50).map(|_| client.open_stream().unwrap()).collect();
    let wires: Vec<_> = streams.iter_mut().map(|s| (s.open.stream_id, sealed_get(s))).collect();
    for (id, wire) in wires.iter().rev() {
        let stream = open(&server, *id, wire.clone()).unwrap();
        assert!(matches!(stream.first, Ok(Event::Head { fin: true, .. })));
    }
    for (id, wire) in &wires {
        assert!(open(&server, *id, wire.clone()).is_err(), "stream {id} was replayed");
    }
}

#[test]
fn an_id_is_marked_only_by_an_authentic_first_frame() {
    let (client, server) = pair();
    let mut stream = client.open_stream().unwrap();
    let wire = sealed_get(&mut stream);
    let mut bad = wire.to_vec();
    *bad.last_mut().unwrap() ^= 1;
    assert!(open(&server, 1, bad.into()).is_err());
    assert!(open(&server, 2, wire.clone()).is_err(), "sealed for another stream");
    assert!(open(&server, 1, wire).is_ok());
}

#[test]
fn the_first_frame_may_arrive_byte_by_byte() {
    let (client, server) = pair();
    let mut stream = client.open_stream().unwrap();
    let wire = sealed_get(&mut stream);
    let mut pending = server.pending_stream(1);
    for (index, byte) in wire.iter().enumerate() {
        match pending.accept(Bytes::copy_from_slice(&[*byte])).unwrap() {
            Pending::NeedMore(again) => pending = again,
            Pending::Open(_) => {
                assert_eq!(index + 1, wire.len());
                return;
            }
        }
    }
    panic!("never opened");
}

#[test]
fn row_24_all_refusals_look_the_same() {
    let (client, server) = pair();
    let mut stream = client.open_stream().unwrap();
    let wire = sealed_get(&mut stream);
    open(&server, 1, wire.clone()).unwrap();
    let replayed = open(&server, 1, wire.clone()).err();
    let garbage = open(
        &server,
        3,
        Bytes::from_static(&[
            0, 0, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
        ]),
    )
    .err();
    let header = open(&server, 3, Bytes::from_static(&[0xff; 4])).err();
    assert_eq!(replayed, Some(Unrecognized));
    assert_eq!(garbage, Some(Unrecognized));
    assert_eq!(header, Some(Unrecognized));
}

#[test]
fn a_malformed_but_authentic_first_frame_is_answered_inside() {
    let (_, server) = pair();
    let TrafficKey { key, iv } = secrets().c2s.clone();
    let traffic = TrafficKey { key, iv };
    for content in [&b""[..], b"not a head"] {
        let id = 1 + content.len() as u64;
        let mut sealer = FrameSealer::new(Suite::X25519Aes256Gcm, &traffic, id, Arc::default());
        let mut wire = BytesMut::new();
        sealer.seal(FrameType::Head, true, content, 0, &mut wire).unwrap();
        let stream = open(&server, id, wire.freeze()).unwrap();
        assert!(stream.first.is_err());
        assert!(stream.response.is_at_start(), "the answer can be sealed");
    }
}

#[test]
fn a_session_is_given_up_before_its_keys_are() {
    let (client, server) = pair();
    client.shared.s2c_usage.set_bytes(crate::usage::MAX_BYTES / 2 + 1);
    assert!(client.open_stream().is_none());
    assert!(!server.is_exhausted());
    for _ in 0..crate::usage::MAX_FAILURES {
        server.shared.c2s_usage.count_failure();
    }
    assert!(server.is_exhausted());
}

#[test]
fn stream_open_round_trip_and_bounds() {
    for stream_id in [1, MAX_STREAM_ID] {
        let open = StreamOpen { session_id: [7; 16], stream_id };
        assert_eq!(StreamOpen::decode(&open.encode()), Ok(open));
    }
    for stream_id in [0, MAX_STREAM_ID + 1, u64::MAX] {
        let open = StreamOpen { session_id: [7; 16], stream_id };
        assert_eq!(StreamOpen::decode(&open.encode()), Err(DecodeError));
    }
    let mut wrong_kind = StreamOpen { session_id: [7; 16], stream_id: 1 }.encode();
    wrong_kind[0] = 1;
    assert_eq!(StreamOpen::decode(&wrong_kind), Err(DecodeError));
}

#[test]
fn nothing_is_read_after_a_head_that_is_too_large() {
    let (client, server) = pair();
    let mut stream = client.open_stream().unwrap();
    let long = vec![b'x'; PARAMETERS.max_head_size as usize];
    let fields = [("x-long", long.as_slice())];
    let head = encode_request("GET", "https", "a", "/", fields.into_iter()).unwrap();
    let (mut wire, mut frames) = (BytesMut::new(), BytesMut::new());
    stream.request.head(&head, false, &mut wire).unwrap();
    stream.request.data(b"body", true, &mut frames).unwrap();
    let pending = server.pending_stream(stream.open.stream_id);
    let Ok(Pending::Open(mut opened)) = pending.accept(wire.freeze()) else { panic!() };
    assert_eq!(opened.first, Err(StreamError::Head(HeadError::TooLarge)));
    assert!(opened.request.is_over() && !opened.request.is_complete());
    opened.request.push(frames.freeze());
    assert_eq!(opened.request.next_event(), Ok(None));
}
