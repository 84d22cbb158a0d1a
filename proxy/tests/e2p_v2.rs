//! Clients of E2P v2 at a real proxy, beside those of the present protocol.
#![cfg(all(feature = "dangerous-dev-attester", feature = "e2p-v2"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::outer::{self, Answer};
use common::{Fixture, app};
use hkdf::Hkdf;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use steve_protocol::aead::{AeadKey, TAG_LEN};
use steve_protocol::suite::{AeadAlgorithm, Suite};
use steve_proxy::Config;
use x_wing::{Decapsulate, KeyExport, KeyInit};
use x25519_dalek::{EphemeralSecret, PublicKey};

const MAGIC: &[u8] = b"STEVE-E2P-V2\0";
const ORIGIN: &str = "https://app.example";

fn on(config: &mut Config) {
    config.e2p_v2 = true;
    config.cors_origins = vec![ORIGIN.into()];
    config.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
}

type Encoded = Encoder<Vec<u8>>;

fn encode(write: impl FnOnce(&mut Encoded)) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    write(&mut out);
    out.into_writer()
}

async fn post(address: SocketAddr, resource: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(format!("/e2p/v2/{resource}"))
        .header("content-type", "application/cbor")
        .header("origin", ORIGIN)
        .body(outer::whole(body))
        .unwrap();
    outer::collect(outer::send(address, request).await).await
}

/// The byte strings of a map by their keys.
fn field(message: &[u8], name: &str) -> Vec<u8> {
    let mut decoder = Decoder::new(message);
    for _ in 0..decoder.map().unwrap().unwrap() {
        if decoder.str().unwrap() == name {
            return decoder.bytes().unwrap().to_vec();
        }
        decoder.skip().unwrap();
    }
    panic!("no {name}")
}

struct Client {
    address: SocketAddr,
    id: [u8; 16],
    hash: [u8; 32],
    keys: [(AeadKey, [u8; 4]); 2],
}

impl Client {
    async fn establish(address: SocketAddr, suite: &str) -> Self {
        let own = EphemeralSecret::random_from_rng(&mut common::rng());
        let wing = x_wing::DecapsulationKey::new_from_slice(&[5; 32]).unwrap();
        let material = match suite {
            "X25519" => PublicKey::from(&own).as_bytes().to_vec(),
            _ => x_wing::Decapsulator::encapsulation_key(&wing).to_bytes().to_vec(),
        };
        let nonce = [7; 32];
        let answer = post(address, "session", session_request(suite, &nonce, &material)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/cbor");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        let server = field(&answer.body, "server_key_material");
        let id: [u8; 16] = field(&answer.body, "session_id").try_into().unwrap();
        let shared: [u8; 32] = match suite {
            "X25519" => {
                let server = <[u8; 32]>::try_from(server.as_slice()).unwrap();
                own.diffie_hellman(&PublicKey::from(server)).to_bytes()
            }
            _ => wing.decapsulate(&server.as_slice().try_into().unwrap()).0,
        };
        let transcript =
            [MAGIC, suite.as_bytes(), &[0], &nonce, &material, &server, &id, &[8; 32]].concat();
        let hash: [u8; 32] = Sha256::digest(transcript).into();
        let hkdf = Hkdf::<Sha256>::new(Some(&hash), &shared);
        let expand = |label: &str, out: &mut [u8]| {
            hkdf.expand(format!("steve-e2p-v2/{label}").as_bytes(), out).unwrap();
        };
        let keys = ["c2s", "s2c"].map(|direction| {
            let (mut key, mut iv) = ([0; 32], [0; 4]);
            expand(&format!("{direction}-key"), &mut key);
            expand(&format!("{direction}-iv"), &mut iv);
            (AeadKey::new(AeadAlgorithm::Aes256Gcm, &key), iv)
        });
        let document = field(&answer.body, "attestation_document");
        assert!(
            document.starts_with(b"\xd2\x84\x44\xa1\x01\x38\x22\xa0")
                || document.starts_with(b"\x84\x44\xa1\x01\x38\x22\xa0")
        );
        assert!(document.windows(34).any(|part| part == [&[0x58, 32][..], &nonce].concat()));
        let start = document.windows(2).position(|part| part == b"{\"").unwrap();
        let mut user_data = serde_json::Deserializer::from_slice(&document[start..]).into_iter();
        let user_data: serde_json::Value = user_data.next().unwrap().unwrap();
        assert_eq!(user_data["protocol"], "STEVE-E2P-V2");
        assert_eq!(user_data["key_exchange"], suite);
        assert_eq!(user_data["transcript_hash"], base64(&hash));
        assert_eq!(user_data["session_id"], base64(&id));
        let mut binder = [0; 32];
        expand("attestation-binder", &mut binder);
        assert_eq!(user_data["binder"], base64(&binder));
        Self { address, id, hash, keys }
    }

    async fn connect(address: SocketAddr, suite: &str) -> Self {
        let client = Self::establish(address, suite).await;
        let answer = post(address, "confirm", client.confirmation()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(client.open(0, 0, &answer.body), client.hash);
        client
    }

    fn confirmation(&self) -> Vec<u8> {
        self.envelope(0, 0, &self.hash)
    }

    fn place(&self, kind: u8, direction: u8, sequence: u64) -> ([u8; 12], Vec<u8>) {
        let sequence = sequence.to_be_bytes();
        let iv = self.keys[usize::from(direction)].1;
        let aad = [MAGIC, &[kind, direction], &self.id, &sequence].concat();
        ([&iv[..], &sequence].concat().try_into().unwrap(), aad)
    }

    fn envelope(&self, kind: u8, sequence: u64, content: &[u8]) -> Vec<u8> {
        let (nonce, aad) = self.place(kind, 0, sequence);
        let mut sealed = vec![0; content.len() + TAG_LEN];
        self.keys[0].0.seal(&nonce, &aad, content, &[], &mut sealed);
        encode(|out| {
            out.map(4).unwrap().str("version").unwrap().u8(2).unwrap();
            out.str("session_id").unwrap().bytes(&self.id).unwrap();
            out.str("sequence").unwrap().bytes(&sequence.to_be_bytes()).unwrap();
            out.str("ciphertext").unwrap().bytes(&sealed).unwrap();
        })
    }

    fn open(&self, kind: u8, sequence: u64, message: &[u8]) -> Vec<u8> {
        assert_eq!(field(message, "sequence"), sequence.to_be_bytes());
        let mut sealed = field(message, "ciphertext");
        let (nonce, aad) = self.place(kind, 1, sequence);
        let (data, tag) = sealed.split_last_chunk_mut().unwrap();
        self.keys[1].0.open_in_place(&nonce, &aad, data, tag).unwrap();
        data.to_vec()
    }

    async fn send(&self, sequence: u64, request: &[u8]) -> Answer {
        post(self.address, "request", self.envelope(1, sequence, request)).await
    }

    async fn call(&self, sequence: u64, request: &[u8]) -> Inner {
        let answer = self.send(sequence, request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Inner::decode(&self.open(1, sequence, &answer.body))
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn session_request(suite: &str, nonce: &[u8; 32], material: &[u8]) -> Vec<u8> {
    encode(|out| {
        out.map(5).unwrap().str("version").unwrap().u8(2).unwrap();
        out.str("key_exchange").unwrap().str(suite).unwrap();
        out.str("client_nonce").unwrap().bytes(nonce).unwrap();
        out.str("client_key_material").unwrap().bytes(material).unwrap();
        out.str("context_hash").unwrap().bytes(&[8; 32]).unwrap();
    })
}

fn request(method: &str, path: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
    encode(|out| {
        out.map(4).unwrap().str("method").unwrap().str(method).unwrap();
        out.str("path").unwrap().str(path).unwrap().str("headers").unwrap();
        out.map(fields.len() as u64).unwrap();
        for (name, value) in fields {
            out.str(name).unwrap().str(value).unwrap();
        }
        out.str("body").unwrap();
        match body {
            Some(body) => out.bytes(body).unwrap(),
            None => out.null().unwrap(),
        };
    })
}

fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[], None)
}

#[derive(Debug)]
struct Inner {
    status: u16,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    error: Option<String>,
}

impl Inner {
    fn decode(plaintext: &[u8]) -> Self {
        let mut decoder = Decoder::new(plaintext);
        let mut inner = Self { status: 0, fields: Vec::new(), body: None, error: None };
        for _ in 0..decoder.map().unwrap().unwrap() {
            match decoder.str().unwrap() {
                "status" => inner.status = decoder.u16().unwrap(),
                "headers" => {
                    for _ in 0..decoder.array().unwrap().unwrap() {
                        assert_eq!(decoder.array().unwrap(), Some(2));
                        let name = decoder.str().unwrap().to_owned();
                        inner.fields.push((name, decoder.str().unwrap().to_owned()));
                    }
                }
                "body" if decoder.null().is_ok() => {}
                "body" => {
                    decoder.set_position(decoder.position() - 1);
                    inner.body = Some(decoder.bytes().unwrap().to_vec());
                }
                "error" => inner.error = Some(decoder.str().unwrap().into()),
                other => panic!("{other}"),
            }
        }
        assert_eq!(decoder.position(), plaintext.len());
        inner
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn both_suites_reach_the_app_beside_the_present_protocol() {
    for (suite, offered) in
        [("X25519", Suite::X25519Aes256Gcm), ("XWING-DRAFT10", Suite::XWingAes256Gcm)]
    {
        let proxy = Fixture::with(app::echo().await, |config| {
            on(config);
            config.suites = vec![offered];
        })
        .await;
        let client = Client::connect(proxy.address, suite).await;
        let fields = [
            ("Connection", "x-private"),
            ("x-private", "1"),
            ("steve-session", "forged"),
            ("upgrade", "websocket"),
        ];
        let inner = client.call(1, &request("POST", "/a?b=c", &fields, Some(b"hi"))).await;
        assert_eq!(inner.status, 200);
        let text = inner.text();
        assert!(text.starts_with("POST /a?b=c\n") && text.ends_with("\n\nhi"), "{text}");
        assert!(text.contains("content-length: 2\n"), "{text}");
        assert!(text.contains(&format!("host: {}\n", proxy_app(&text))), "{text}");
        assert!(text.contains(&format!("steve-session: {}\n", base64(&client.hash))), "{text}");
        for dropped in ["x-private", "forged", "upgrade", "transfer-encoding"] {
            assert!(!text.contains(dropped), "{text}");
        }
        let session = proxy.connect(offered).await;
        let own = common::client::Call::get("/own").send(proxy.address, &session).await.unwrap();
        assert_eq!(own.status, 200);
        assert_eq!(client.call(2, &get("/")).await.status, 200);
    }
}

/// The echo app writes the `host` it got; ours is the app's own address.
fn proxy_app(text: &str) -> String {
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    assert!(host.starts_with("127.0.0.1:"), "{host}");
    host.into()
}

#[tokio::test]
async fn every_sequence_once_and_what_is_tampered_with_changes_nothing() {
    let proxy = Fixture::with(app::echo().await, on).await;
    let client = Client::establish(proxy.address, "X25519").await;
    assert_eq!(client.send(1, &get("/")).await.status, StatusCode::TOO_EARLY);
    let mut bad = client.confirmation();
    *bad.last_mut().unwrap() ^= 1;
    let refused = post(proxy.address, "confirm", bad).await;
    assert_eq!((refused.status, &*refused.body), (StatusCode::BAD_REQUEST, PROTOCOL_ERROR));
    let wrong = client.envelope(0, 0, &[0; 32]);
    assert_eq!(post(proxy.address, "confirm", wrong).await.status, 400);
    let (a, b) = tokio::join!(
        post(proxy.address, "confirm", client.confirmation()),
        post(proxy.address, "confirm", client.confirmation())
    );
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);

    let mut bad = client.envelope(1, 1, &get("/"));
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(post(proxy.address, "request", bad).await.status, 400);
    assert_eq!(client.call(1, &get("/")).await.status, 200);
    assert_eq!(client.send(1, &get("/")).await.status, 409);
    assert_eq!(client.send(0, &get("/")).await.status, 409);
    assert_eq!(client.call(100, &get("/")).await.status, 200);
    assert_eq!(client.call(37, &get("/")).await.status, 200);
    assert_eq!(client.send(36, &get("/")).await.status, 409);
    let broken = client.send(101, b"\xa0").await;
    assert_eq!((broken.status, &*broken.body), (StatusCode::BAD_REQUEST, PROTOCOL_ERROR));
    let stranger = Client { id: [9; 16], ..client };
    assert_eq!(stranger.send(1, &get("/")).await.status, 401);
    assert_eq!(post(proxy.address, "confirm", stranger.confirmation()).await.status, 401);
}

const PROTOCOL_ERROR: &[u8] = br#"{"error":"protocol_error"}"#;

#[tokio::test]
async fn refusals_outside_the_channel() {
    let proxy = Fixture::with(app::echo().await, on).await;
    let address = proxy.address;
    let good = session_request("X25519", &[1; 32], &[9; 32]);
    assert_eq!(post(address, "session", good.clone()).await.status, 200);
    for bad in [
        b"".to_vec(),
        [&good[..], &[0]].concat(),
        session_request("XWING-DRAFT10", &[1; 32], &[9; 1216]),
        session_request("X25519", &[1; 32], &[0; 32]),
        session_request("X25519", &[1; 32], &[9; 33]),
    ] {
        let answer = post(address, "session", bad).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::BAD_REQUEST, PROTOCOL_ERROR));
    }
    assert_eq!(post(address, "session", vec![0; 5000]).await.status, 413);
    assert_eq!(post(address, "other", vec![]).await.status, 404);
    assert_eq!(outer::call(address, "GET", "/e2p/v2/session", "").await.status, 405);
    assert_eq!(outer::call(address, "POST", "/e2p/v2/session", good).await.status, 400);
    let announced = format!(
        "POST /e2p/v2/request HTTP/1.1\r\nhost: a\r\ncontent-type: application/cbor\r\n\
         connection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        33_619_969
    );
    let answer = outer::raw(address, announced.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));

    let preflight = |origin: &'static str| async move {
        let request = Request::options("/e2p/v2/session")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let request = request.body(outer::whole("")).unwrap();
        outer::collect(outer::send(address, request).await).await
    };
    let allowed = preflight(ORIGIN).await;
    assert_eq!(allowed.header("access-control-allow-origin"), ORIGIN);
    assert!(allowed.header("access-control-allow-methods").contains("POST"));
    let other = preflight("https://evil.example").await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));

    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 403),
        ("HEAD", "/register.js", 200),
        ("GET", "/enclave-sw.js", 200),
        ("POST", "/enclave-sw.js", 403),
        ("GET", "/other", 403),
    ] {
        let answer = outer::call(address, method, path, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let off = Fixture::start(app::echo().await).await;
    assert_eq!(post(off.address, "session", vec![]).await.status, 403);
    assert_eq!(outer::call(off.address, "GET", "/", "").await.status, 403);
}

#[tokio::test]
async fn responses_of_all_kinds() {
    let app = app::serve(|request| async move {
        let answer = Response::builder();
        match request.uri().path() {
            "/redirect" => {
                answer.status(302).header("location", "/elsewhere").body(outer::whole(""))
            }
            "/none" => answer.status(204).body(outer::whole("")),
            "/cookies" => answer
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2")
                .header("steve-error", "forged")
                .body(outer::whole("x")),
            "/large" => answer.body(outer::whole(vec![1; 33_554_432])),
            "/larger" => answer.body(outer::whole(vec![1; 33_554_433])),
            _ => {
                let len = request.into_body().collect().await.unwrap().to_bytes().len();
                answer.body(outer::whole(len.to_string()))
            }
        }
        .unwrap()
    })
    .await;
    let proxy = Fixture::with(app, on).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let redirect = client.call(1, &get("/redirect")).await;
    assert_eq!(redirect.status, 302);
    assert!(redirect.fields.contains(&("location".into(), "/elsewhere".into())));
    assert_eq!(client.call(2, &get("/none")).await.body, None);
    let cookies = client.call(3, &get("/cookies")).await;
    let is_told = |name: &str| name == "set-cookie" || name.starts_with("steve-");
    assert_eq!(cookies.fields.iter().filter(|(name, _)| is_told(name)).count(), 2);
    let large = client.call(4, &get("/large")).await;
    assert_eq!(large.body.map(|body| body.len()), Some(33_554_432));
    let larger = client.call(5, &get("/larger")).await;
    assert_eq!(larger.error.as_deref(), Some("app_response_too_large"));
    let upload = vec![2; 33_554_432];
    let upload = client.call(6, &request("PUT", "/up", &[], Some(&upload))).await;
    assert_eq!(upload.text(), "33554432");
    assert_eq!(client.call(7, &request("HEAD", "/x", &[], None)).await.body, None);
    for (number, (method, path, fields, status)) in (8..).zip([
        ("CONNECT", "/", [("a", "b")], 501),
        ("GET", "http://a/", [("a", "b")], 400),
        ("GET", "/a#b", [("a", "b")], 400),
        ("GET", "/", [("a", "b\r\nc: d")], 400),
        ("GET", "/", [("content-length", "5")], 400),
        ("GET", "/", [("a", "\u{65e5}")], 400),
    ]) {
        let inner = client.call(number, &request(method, path, &fields, None)).await;
        assert_eq!(inner.status, status, "{method} {path}");
        assert!(inner.error.is_some() && inner.body.is_none());
    }
    let metrics = outer::call(proxy.running.metrics_addr().unwrap(), "GET", "/metrics", "").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "steve_e2p_v2_sessions{state=\"confirmed\"} 1",
        "steve_e2p_v2_sessions_confirmed_total 1",
        "steve_e2p_v2_requests_total 13",
        "steve_streams_total 13",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn without_an_app_or_without_memory() {
    let proxy = Fixture::with(app::nowhere().await, on).await;
    let client = Client::connect(proxy.address, "X25519").await;
    let inner = client.call(1, &get("/")).await;
    assert_eq!((inner.status, inner.error.as_deref()), (502, Some("app_unreachable")));

    let small = Fixture::with(app::echo().await, |config| {
        on(config);
        config.limits.memory_budget = 32 << 20;
    })
    .await;
    let client = Client::connect(small.address, "X25519").await;
    let upload = request("PUT", "/", &[], Some(&vec![1; 16 << 20]));
    assert_eq!(client.send(1, &upload).await.status, 503);
    assert_eq!(client.call(1, &get("/")).await.status, 200);
}
