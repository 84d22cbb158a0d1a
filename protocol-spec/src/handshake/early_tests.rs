use super::messages::EarlyAnswer;
use super::tests::{NOW, PARAMETERS, VALID_UNTIL, keys, rng};
use super::*;
use crate::head::{HeadError, encode_request, encode_response};
use crate::stream::{Event, MessageSealer, Request, StreamError};
use crate::suite::Suite;
use bytes::{Bytes, BytesMut};

const SUITE: Suite = Suite::X25519ChaCha20Poly1305;

fn early_keys(capacity: usize) -> EnclaveKeys {
    keys(&mut rng()).with_early_requests(capacity)
}

/// A client that has sent a GET behind its ClientHello.
struct Offer {
    handshake: EarlyHandshake,
    hello: Vec<u8>,
    frames: Bytes,
}

fn offer_with(
    keys: &EnclaveKeys,
    suite: Suite,
    seed: u64,
    seal: impl FnOnce(&mut MessageSealer<Request>, &mut BytesMut),
) -> Offer {
    let mut rng = rng_of(seed);
    let begun =
        ClientHandshake::begin(keys.config(), VALID_UNTIL, &[suite], true, &mut rng).unwrap();
    let (handshake, hello, mut sealer) = EarlyHandshake::new(begun);
    let mut frames = BytesMut::new();
    seal(&mut sealer, &mut frames);
    Offer { handshake, hello, frames: frames.freeze() }
}

fn offer(keys: &EnclaveKeys, suite: Suite, seed: u64) -> Offer {
    let head = encode_request("GET", "https", "app.example", "/", std::iter::empty()).unwrap();
    offer_with(keys, suite, seed, |sealer, out| sealer.head(&head, true, out).unwrap())
}

fn rng_of(seed: u64) -> rand_chacha::ChaCha20Rng {
    use rand_chacha::rand_core::SeedableRng;
    rand_chacha::ChaCha20Rng::seed_from_u64(seed)
}

fn pending(keys: &EnclaveKeys, hello: &[u8]) -> Box<PendingEarly> {
    let hello = ClientHello::decode(hello).unwrap();
    ServerHandshake::receive([keys], &hello).unwrap().early().unwrap()
}

fn open(keys: &EnclaveKeys, offer: &Offer) -> Result<Box<EarlyRequest>, Unrecognized> {
    match pending(keys, &offer.hello).accept(offer.frames.clone())? {
        EarlyProgress::Open(request) => Ok(request),
        EarlyProgress::NeedMore(_) => panic!("a whole frame was given"),
    }
}

fn answer(keys: &EnclaveKeys, offer: &Offer) -> Result<EarlyReply, Unrecognized> {
    open(keys, offer)?.answer(PARAMETERS, &mut rng())
}

#[test]
fn an_early_request_is_answered_under_the_keys_of_the_session() {
    let keys = early_keys(4);
    for (seed, suite) in Suite::ALL.into_iter().enumerate() {
        let offer = offer(&keys, suite, seed as u64);
        let reply = answer(&keys, &offer).unwrap();
        let mut stream = reply.stream.unwrap();
        assert!(matches!(stream.first, Ok(Event::Head { fin: true, .. })));
        let mut wire = BytesMut::new();
        let head = encode_response(204, std::iter::empty()).unwrap();
        stream.response.head(&head, true, &mut wire).unwrap();

        assert_eq!(reply.server_hello.len(), offer.handshake.server_hello_len());
        let outcome = offer.handshake.finish(&reply.server_hello, NOW).unwrap();
        assert_eq!(outcome.session.binding(), stream.session.binding());
        let mut response = outcome.response.unwrap();
        response.push(wire.freeze());
        assert!(matches!(response.next_event(), Ok(Some(Event::Head { fin: true, .. }))));
        assert_eq!(outcome.session.open_stream().unwrap().open.stream_id, 1);
    }
}

#[test]
fn row_07_a_replayed_early_request_is_neither_dispatched_nor_rejected() {
    let keys = early_keys(4);
    let offer = offer(&keys, SUITE, 1);
    let concurrent = open(&keys, &offer).unwrap();
    assert!(answer(&keys, &offer).unwrap().stream.is_some());
    assert!(concurrent.answer(PARAMETERS, &mut rng()).is_err(), "opened before the other");
    for _ in 0..3 {
        // Rejected, the client would send it again although the app has got it.
        assert!(answer(&keys, &offer).is_err());
    }
    let hello = ClientHello::decode(&offer.hello).unwrap();
    let unread = ServerHandshake::receive([&keys], &hello).unwrap();
    assert!(unread.reply(PARAMETERS, &mut rng()).is_err());
}

#[test]
fn row_07_what_was_rejected_stays_rejected() {
    let keys = early_keys(1);
    let (first, second) = (offer(&keys, SUITE, 1), offer(&keys, SUITE, 2));
    assert!(answer(&keys, &first).unwrap().stream.is_some());
    for _ in 0..3 {
        assert!(answer(&keys, &second).unwrap().stream.is_none(), "the memory is full");
        assert!(answer(&keys, &first).is_err());
    }
    let rejection = answer(&keys, &second).unwrap().server_hello;
    let outcome = second.handshake.finish(&rejection, NOW).unwrap();
    assert!(outcome.response.is_none());
    assert_eq!(outcome.session.open_stream().unwrap().open.stream_id, 1);

    let keys = early_keys(2);
    let unread = offer(&keys, SUITE, 3);
    let hello = ClientHello::decode(&unread.hello).unwrap();
    let handshake = ServerHandshake::receive([&keys], &hello).unwrap();
    assert!(handshake.offers_early());
    assert!(handshake.reply(PARAMETERS, &mut rng()).is_ok());
    assert!(answer(&keys, &unread).is_err(), "a copy of what was rejected unread");
}

#[test]
fn row_07_keys_erased_while_the_frames_are_awaited() {
    let keys = early_keys(4);
    let offer = offer(&keys, SUITE, 1);
    let copy = open(&keys, &offer).unwrap();
    assert!(answer(&keys, &offer).unwrap().stream.is_some());
    drop(keys);
    assert!(copy.answer(PARAMETERS, &mut rng()).is_err());
}

#[test]
fn row_07_generations_of_keys_do_not_know_each_others_requests() {
    let old = early_keys(4);
    let new = keys(&mut rng_of(9)).with_early_requests(4);
    let offer = offer(&old, SUITE, 1);
    assert!(answer(&old, &offer).unwrap().stream.is_some());
    let mut hello = ClientHello::decode(&offer.hello).unwrap();
    assert!(ServerHandshake::receive([&new], &hello).is_err());
    hello.key_id = new.config().key(SUITE).unwrap().key_id;
    let early = ServerHandshake::receive([&new, &old], &hello).unwrap().early().unwrap();
    assert!(early.accept(offer.frames.clone()).is_err());
}

#[test]
fn row_07_tampered_and_truncated_frames_are_not_dispatched() {
    let keys = early_keys(4);
    let offer = offer(&keys, SUITE, 1);
    for len in 0..offer.frames.len() {
        let accepted = pending(&keys, &offer.hello).accept(offer.frames.slice(..len));
        assert!(matches!(accepted, Ok(EarlyProgress::NeedMore(_))), "{len}");
    }
    for byte in 0..offer.frames.len() {
        let mut tampered = offer.frames.to_vec();
        tampered[byte] ^= 1;
        let accepted = pending(&keys, &offer.hello).accept(tampered.into());
        assert!(!matches!(accepted, Ok(EarlyProgress::Open(_))), "byte {byte}");
    }
    for byte in 6..offer.hello.len() {
        let mut hello = offer.hello.clone();
        hello[byte] ^= 1;
        let hello = ClientHello::decode(&hello).unwrap();
        let opened = ServerHandshake::receive([&keys], &hello)
            .and_then(|handshake| handshake.early().unwrap().accept(offer.frames.clone()));
        assert!(opened.is_err(), "byte {byte} of the ClientHello");
    }
    assert!(answer(&keys, &offer).unwrap().stream.is_some(), "none of them was recorded");
}

#[test]
fn row_07_the_offer_is_part_of_the_transcript() {
    let keys = early_keys(4);
    let offer = offer(&keys, SUITE, 1);
    let mut hello = ClientHello::decode(&offer.hello).unwrap();
    hello.early_data = false;
    let handshake = ServerHandshake::receive([&keys], &hello).unwrap();
    assert!(!handshake.offers_early());
    let (_, server_hello) = handshake.reply(PARAMETERS, &mut rng()).unwrap();
    let outcome = offer.handshake.finish(&server_hello, NOW);
    assert_eq!(outcome.err(), Some(HandshakeError::ConfirmationInvalid));

    let begun = ClientHandshake::begin(keys.config(), VALID_UNTIL, &[SUITE], false, &mut rng());
    let (client, hello) = begun.unwrap();
    let mut hello = ClientHello::decode(&hello).unwrap();
    assert!(ServerHandshake::receive([&keys], &hello).unwrap().early().is_none());
    hello.early_data = true;
    let handshake = ServerHandshake::receive([&keys], &hello).unwrap();
    let (_, server_hello) = handshake.reply(PARAMETERS, &mut rng()).unwrap();
    let outcome = client.finish(&server_hello, NOW);
    assert_eq!(outcome.err(), Some(HandshakeError::ConfirmationInvalid));
}

#[test]
fn row_07_answers_that_do_not_fit_the_offer_are_refused() {
    let keys = early_keys(4);
    let forge = |hello: &[u8], answer| {
        let hello = ClientHello::decode(hello).unwrap();
        let handshake = ServerHandshake::receive([&keys], &hello).unwrap();
        handshake.conclude(PARAMETERS, &mut rng(), |_, _| Ok(answer)).unwrap().1
    };
    for answer in [EarlyAnswer::Accepted, EarlyAnswer::Rejected] {
        let (client, hello) =
            ClientHandshake::begin(keys.config(), VALID_UNTIL, &[SUITE], false, &mut rng())
                .unwrap();
        let outcome = client.finish(&forge(&hello, answer), NOW);
        assert_eq!(outcome.err(), Some(HandshakeError::UnexpectedEarlyAnswer));
    }
    let offer = offer(&keys, SUITE, 1);
    let outcome = offer.handshake.finish(&forge(&offer.hello, EarlyAnswer::NotOffered), NOW);
    assert_eq!(outcome.err(), Some(HandshakeError::UnexpectedEarlyAnswer));
}

#[test]
fn row_07_a_flipped_answer_is_refused() {
    let position = 1 + 16 + SUITE.kem().encapsulated_len();
    for (capacity, answered) in [(0, 2), (1, 1)] {
        for flipped in (0..=3).filter(|code| *code != answered) {
            let keys = early_keys(capacity);
            let offer = offer(&keys, SUITE, 1);
            let mut server_hello = answer(&keys, &offer).unwrap().server_hello;
            assert_eq!(server_hello[position], answered);
            server_hello[position] = flipped;
            assert!(offer.handshake.finish(&server_hello, NOW).is_err(), "{flipped}");
        }
    }
}

#[test]
fn a_malformed_early_request_is_answered_inside() {
    let keys = early_keys(4);
    let offer = offer_with(&keys, SUITE, 1, |sealer, out| sealer.head(b"?", true, out).unwrap());
    let stream = answer(&keys, &offer).unwrap().stream.unwrap();
    assert!(matches!(stream.first, Err(StreamError::Head(_))));
    assert!(stream.response.is_at_start());

    let large = vec![0; PARAMETERS.max_head_size as usize + 1];
    let offer = offer_with(&keys, SUITE, 2, |sealer, out| sealer.head(&large, true, out).unwrap());
    let stream = answer(&keys, &offer).unwrap().stream.unwrap();
    assert_eq!(stream.first, Err(StreamError::Head(HeadError::TooLarge)));
}

#[test]
fn stream_0_of_the_session_is_the_early_request_alone() {
    let keys = early_keys(4);
    let offer = offer(&keys, SUITE, 1);
    let session = answer(&keys, &offer).unwrap().session;
    assert!(session.pending_stream(0).accept(offer.frames.clone()).is_err());
}
