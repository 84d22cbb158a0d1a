use crate::evidence::{NOW_MS, verified};
use crate::heads::{fields, request_fields, response_fields};
use crate::{hex, rng};
use bytes::{Bytes, BytesMut};
use hkdf::Hkdf;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use steve_protocol::handshake::{
    ClientHandshake, ClientHello, EnclaveKeys, ServerHandshake, SessionParameters,
};
use steve_protocol::head::{
    RequestHead, ResponseHead, Trailers, encode_request, encode_response, encode_trailers,
};
use steve_protocol::kem::KeyPair;
use steve_protocol::schedule;
use steve_protocol::session::{ClientSession, Pending, ServerSession};
use steve_protocol::stream::{MessageSealer, Role};
use steve_protocol::suite::Suite;

pub(crate) const PARAMETERS: SessionParameters = SessionParameters {
    lifetime: Duration::from_secs(3600),
    idle_timeout: Duration::from_secs(600),
    max_head_size: 32_768,
    max_streams: 256,
};

pub(crate) fn handshakes() -> Vec<Value> {
    let mut vectors: Vec<Value> =
        Suite::ALL.into_iter().map(|suite| handshake(suite).0.into()).collect();
    vectors.extend(Suite::ALL.map(early));
    vectors
}

/// The handshake of a suite, and both ends of its session.
fn handshake(suite: Suite) -> (Map<String, Value>, ClientSession, Arc<ServerSession>) {
    let mut rng = rng(0x100 + u64::from(suite.id()));
    let keys = keys(&mut rng);
    let enclave = verified(&keys, &mut rng);
    let ephemeral = KeyPair::generate(suite.kem(), &mut rng.clone());
    let (client, client_hello) = ClientHandshake::start(&enclave, &[suite], NOW_MS, &mut rng)
        .expect("the enclave offers every suite");
    let hello = ClientHello::decode(&client_hello).expect("made by the client");
    assert_eq!(hello.epk, ephemeral.public_key());
    let (server, server_hello) = ServerHandshake::receive([&keys], &hello)
        .and_then(|handshake| handshake.reply(PARAMETERS, &mut rng))
        .expect("made for these keys");
    let client = client.finish(&server_hello, NOW_MS).expect("made by the enclave");
    let vector = describe(&keys, suite, &ephemeral, &client_hello, &server_hello);
    let secrets = client.dangerous_secrets();
    assert_eq!(vector["c2s_key"], hex(secrets.c2s.key));
    assert_eq!(vector["exporter_secret"], hex(secrets.exporter_secret()));
    (vector, client, Arc::new(server))
}

/// A ClientHello that offers early data, and the answer that rejects it.
fn early(suite: Suite) -> Value {
    let mut rng = rng(0x200 + u64::from(suite.id()));
    let keys = keys(&mut rng);
    let entry = keys.config().key(suite).expect("offered").clone();
    let ephemeral = KeyPair::generate(suite.kem(), &mut rng);
    let th0 = schedule::th0(&keys.config().hash(), suite, &entry.key_id, ephemeral.public_key());
    let (enc, _) = steve_protocol::kem::send(
        suite.kem(),
        &entry.public_key,
        &schedule::hello_info(&th0),
        &mut rng,
    )
    .expect("a valid key");
    let hello = ClientHello {
        suite,
        early_data: true,
        key_id: entry.key_id,
        enc,
        epk: ephemeral.public_key().to_vec(),
    };
    let (_, server_hello) = ServerHandshake::receive([&keys], &hello)
        .and_then(|handshake| handshake.reply(PARAMETERS, &mut rng))
        .expect("made for these keys");
    describe(&keys, suite, &ephemeral, &hello.encode(), &server_hello).into()
}

pub(crate) fn keys(rng: &mut rand_chacha::ChaCha20Rng) -> EnclaveKeys {
    let configuration = crate::evidence::sha256(crate::evidence::CONFIGURATION);
    let manifest = crate::evidence::sha256(crate::evidence::MANIFEST);
    EnclaveKeys::generate(&Suite::ALL, 1, NOW_MS + 4_200_000, manifest, configuration, rng)
        .expect("suites are given")
}

/// Recomputes everything from the private keys, step by step as in SPEC.md, Section 8.2.
pub(crate) fn describe(
    keys: &EnclaveKeys,
    suite: Suite,
    ephemeral: &KeyPair,
    client_hello: &[u8],
    server_hello: &[u8],
) -> Map<String, Value> {
    let hello = ClientHello::decode(client_hello).expect("well-formed");
    let pair = keys.dangerous_key_pair(suite.kem()).expect("every KEM has a pair");
    let th0 = schedule::th0(&keys.config().hash(), suite, &hello.key_id, &hello.epk);
    let e = pair.receive(&hello.enc, &schedule::hello_info(&th0)).expect("made for this key");
    let thc = schedule::thc(&th0, client_hello);
    let enc2 = &server_hello[17..17 + suite.kem().encapsulated_len()];
    let s = ephemeral.receive(enc2, &schedule::reply_info(&thc)).expect("made for this key");
    let th1 = schedule::th1(&thc, &server_hello[..server_hello.len() - 16]);
    let salt = e.export(b"steve/3 early");
    let ikm = s.export(b"steve/3 session");
    let (master, _) = Hkdf::<Sha256>::extract(Some(salt.as_ref()), ikm.as_ref());
    let secrets = schedule::SessionSecrets::derive(&e, &s, &th1);
    let early = schedule::early_traffic_key(&e, &thc);
    let Value::Object(map) = json!({
        "suite": suite.id(),
        "key_config": hex(keys.config().encoded()),
        "enclave_private_key": hex(pair.dangerous_private_key()),
        "client_ephemeral_private_key": hex(ephemeral.dangerous_private_key()),
        "client_hello": hex(client_hello),
        "server_hello": hex(server_hello),
        "th0": hex(th0),
        "thc": hex(thc),
        "th1": hex(th1),
        "salt": hex(salt.as_ref()),
        "ikm": hex(ikm.as_ref()),
        "master": hex(master),
        "c2s_key": hex(secrets.c2s.key),
        "c2s_iv": hex(secrets.c2s.iv),
        "s2c_key": hex(secrets.s2c.key),
        "s2c_iv": hex(secrets.s2c.iv),
        "exporter_secret": hex(secrets.exporter_secret()),
        "early_key": hex(early.key),
        "early_iv": hex(early.iv),
        "session_binding": hex(secrets.session_binding()),
    }) else {
        unreachable!("json! of an object literal")
    };
    map
}

pub(crate) fn exchanges() -> Vec<Value> {
    Suite::ALL.into_iter().map(exchange).chain(crate::early::exchanges()).collect()
}

/// A message of an exchange: head, body and trailers.
pub(crate) struct Message<'a> {
    pub(crate) head: Bytes,
    pub(crate) body: &'a [u8],
    pub(crate) trailers: Option<&'a [(&'a str, &'a [u8])]>,
}

fn exchange(suite: Suite) -> Value {
    let (mut vector, client, server) = handshake(suite);
    let ok: &[(&str, &[u8])] = &[("content-type", b"text/plain")];
    let ask: &[(&str, &[u8])] = &[("sec-websocket-version", b"13"), ("upgrade", b"websocket")];
    let body: Vec<u8> = (0..70_000u32).map(|i| (i * 31) as u8).collect();
    let request =
        |method, path| encode_request(method, "https", "app.example", path, ok.iter().copied());
    let response = |status| encode_response(status, ok.iter().copied()).expect("valid");
    let streams = [
        (
            Message { head: request("GET", "/").expect("valid"), body: b"", trailers: None },
            Message { head: response(200), body: b"hello", trailers: None },
        ),
        (
            Message {
                head: request("POST", "/upload").expect("valid"),
                body: &body,
                trailers: None,
            },
            Message { head: response(201), body: b"", trailers: None },
        ),
        (
            Message {
                head: request("POST", "/rpc").expect("valid"),
                body: b"call",
                trailers: Some(&[("x-sum", b"1")]),
            },
            Message {
                head: response(200),
                body: b"answer",
                trailers: Some(&[("grpc-status", b"0")]),
            },
        ),
        (
            Message {
                head: encode_request("GET", "https", "app.example", "/chat", ask.iter().copied())
                    .expect("valid"),
                body: b"\x81\x85from the client",
                trailers: None,
            },
            Message { head: response(101), body: b"\x81\x05from the app", trailers: None },
        ),
    ]
    .map(|(request, response)| stream(&client, &server, &request, &response));
    vector.insert("streams".into(), streams.to_vec().into());
    vector.into()
}

/// Seals all frames of `message`.
pub(crate) fn seal<R: Role>(
    sealer: &mut MessageSealer<R>,
    message: &Message<'_>,
    out: &mut BytesMut,
) {
    let seal = "the session is fresh and the order is right";
    let bodiless = message.body.is_empty() && message.trailers.is_none();
    sealer.head(&message.head, bodiless, out).expect(seal);
    if !bodiless {
        sealer.data(message.body, message.trailers.is_none(), out).expect(seal);
    }
    if let Some(lines) = message.trailers {
        let section = encode_trailers(lines.iter().copied()).expect("valid");
        sealer.trailers(&section, out).expect(seal);
    }
}

pub(crate) fn stream(
    client: &ClientSession,
    server: &Arc<ServerSession>,
    request: &Message<'_>,
    response: &Message<'_>,
) -> Value {
    let mut stream = client.open_stream().expect("a fresh session");
    let mut outer_request = BytesMut::from(&stream.open.encode()[..]);
    seal(&mut stream.request, request, &mut outer_request);
    let frames = Bytes::copy_from_slice(&outer_request[steve_protocol::session::StreamOpen::LEN..]);
    let Ok(Pending::Open(mut accepted)) =
        server.pending_stream(stream.open.stream_id).accept(frames)
    else {
        unreachable!("sealed by the client of the same session")
    };
    let mut outer_response = BytesMut::new();
    seal(&mut accepted.response, response, &mut outer_response);
    let request_head = RequestHead::decode(request.head.clone()).expect("valid");
    let response_head = ResponseHead::decode(response.head.clone()).expect("valid");
    json!({
        "stream_id": stream.open.stream_id,
        "outer_request": hex(&outer_request),
        "outer_response": hex(&outer_response),
        "request": message(request, request_fields(&request_head)),
        "response": message(response, response_fields(&response_head)),
    })
}

pub(crate) fn message(message: &Message<'_>, head: Map<String, Value>) -> Value {
    let trailers = message.trailers.map(|lines| {
        let section = encode_trailers(lines.iter().copied()).expect("valid");
        fields(Trailers::decode(section).expect("valid").fields())
    });
    json!({ "head": head, "body": hex(message.body), "trailers": trailers })
}
