use crate::evidence::{NOW_MS, verified};
use crate::handshake::{Message, PARAMETERS, describe, keys, message, seal, stream};
use crate::heads::{request_fields, response_fields};
use crate::{hex, rng};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use steve_protocol::handshake::{
    ClientHello, EarlyHandshake, EarlyOutcome, EarlyProgress, EarlyReply, ServerHandshake,
};
use steve_protocol::head::{RequestHead, ResponseHead, encode_request, encode_response};
use steve_protocol::kem::KeyPair;
use steve_protocol::suite::Suite;

/// Sessions that begin with an early request: accepted in every suite, then rejected in every suite.
pub(crate) fn exchanges() -> impl Iterator<Item = Value> {
    [1, 0].into_iter().flat_map(|capacity| Suite::ALL.map(|suite| exchange(suite, capacity)))
}

/// The request is accepted if the enclave's memory has room for it; otherwise it is sent again as a
/// stream of the session.
fn exchange(suite: Suite, capacity: usize) -> Value {
    let fields: &[(&str, &[u8])] = &[("content-type", b"text/plain")];
    let head =
        |method| encode_request(method, "https", "app.example", "/early", fields.iter().copied());
    let early = match suite.id() {
        1 | 2 => Message { head: head("GET").expect("valid"), body: b"", trailers: None },
        _ => Message { head: head("POST").expect("valid"), body: b"early body", trailers: None },
    };
    let ok = encode_response(200, fields.iter().copied()).expect("valid");
    let answer = Message { head: ok, body: b"in time", trailers: None };

    let mut rng = rng(0x300 + 0x10 * capacity as u64 + u64::from(suite.id()));
    let keys = keys(&mut rng).with_early_requests(capacity);
    let enclave = verified(&keys, &mut rng);
    let ephemeral = KeyPair::generate(suite.kem(), &mut rng.clone());
    let (handshake, client_hello, mut request) =
        EarlyHandshake::start(&enclave, &[suite], NOW_MS, &mut rng)
            .expect("the enclave offers every suite");
    let mut frames = BytesMut::new();
    seal(&mut request, &early, &mut frames);
    let hello = ClientHello::decode(&client_hello).expect("made by the client");
    let pending = ServerHandshake::receive([&keys], &hello).expect("made for these keys").early();
    let accepted = pending.map(|pending| pending.accept(Bytes::copy_from_slice(&frames)));
    let Some(Ok(EarlyProgress::Open(opened))) = accepted else {
        unreachable!("sealed for these keys")
    };
    let EarlyReply { session, server_hello, stream: accepted } =
        opened.answer(PARAMETERS, &mut rng).expect("the first copy");
    assert_eq!(accepted.is_some(), capacity > 0);
    let EarlyOutcome { session: client, .. } =
        handshake.finish(&server_hello, NOW_MS).expect("made by the enclave");

    let mut vector = describe(&keys, suite, &ephemeral, &client_hello, &server_hello);
    let mut outer_response = BytesMut::from(&server_hello[..]);
    let response = accepted.map(|mut accepted| {
        seal(&mut accepted.response, &answer, &mut outer_response);
        let head = ResponseHead::decode(answer.head.clone()).expect("valid");
        message(&answer, response_fields(&head))
    });
    let request_head = RequestHead::decode(early.head.clone()).expect("valid");
    let first = json!({
        "stream_id": 0,
        "outer_request": hex([&client_hello[..], &frames].concat()),
        "outer_response": hex(&outer_response),
        "request": message(&early, request_fields(&request_head)),
        "response": response,
    });
    let streams = vec![first, stream(&client, &session, &early, &answer)];
    vector.insert("streams".into(), streams.into());
    vector.into()
}
