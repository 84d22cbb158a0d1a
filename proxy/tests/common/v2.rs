//! A client of E2P v2.

use super::outer::{self, Answer};
use hkdf::Hkdf;
use http::Request;
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use steve_protocol::aead::{AeadKey, TAG_LEN};
use steve_protocol::suite::AeadAlgorithm;
use steve_proxy::Config;
use x_wing::{Decapsulate, KeyExport, KeyInit};
use x25519_dalek::{EphemeralSecret, PublicKey};

pub const MAGIC: &[u8] = b"STEVE-E2P-V2\0";
pub const ORIGIN: &str = "https://app.example";

pub fn on(config: &mut Config) {
    config.e2p_v2 = true;
    config.cors_origins = vec![ORIGIN.into()];
    config.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
}

pub type Encoded = Encoder<Vec<u8>>;

pub fn encode(write: impl FnOnce(&mut Encoded)) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    write(&mut out);
    out.into_writer()
}

pub async fn post(address: SocketAddr, resource: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(format!("/e2p/v2/{resource}"))
        .header("content-type", "application/cbor")
        .header("origin", ORIGIN)
        .body(outer::whole(body))
        .unwrap();
    outer::collect(outer::send(address, request).await).await
}

/// The byte strings of a map by their keys.
pub fn field(message: &[u8], name: &str) -> Vec<u8> {
    let mut decoder = Decoder::new(message);
    for _ in 0..decoder.map().unwrap().unwrap() {
        if decoder.str().unwrap() == name {
            return decoder.bytes().unwrap().to_vec();
        }
        decoder.skip().unwrap();
    }
    panic!("no {name}")
}

pub struct Client {
    pub address: SocketAddr,
    pub id: [u8; 16],
    pub hash: [u8; 32],
    pub keys: [(AeadKey, [u8; 4]); 2],
}

impl Client {
    pub async fn establish(address: SocketAddr, suite: &str) -> Self {
        let own = EphemeralSecret::random_from_rng(&mut super::rng());
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

    pub async fn connect(address: SocketAddr, suite: &str) -> Self {
        let client = Self::establish(address, suite).await;
        let answer = post(address, "confirm", client.confirmation()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(client.open(0, 0, &answer.body), client.hash);
        client
    }

    pub fn confirmation(&self) -> Vec<u8> {
        self.envelope(0, 0, &self.hash)
    }

    pub fn place(&self, kind: u8, direction: u8, sequence: u64) -> ([u8; 12], Vec<u8>) {
        let sequence = sequence.to_be_bytes();
        let iv = self.keys[usize::from(direction)].1;
        let aad = [MAGIC, &[kind, direction], &self.id, &sequence].concat();
        ([&iv[..], &sequence].concat().try_into().unwrap(), aad)
    }

    pub fn envelope(&self, kind: u8, sequence: u64, content: &[u8]) -> Vec<u8> {
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

    pub fn open(&self, kind: u8, sequence: u64, message: &[u8]) -> Vec<u8> {
        assert_eq!(field(message, "sequence"), sequence.to_be_bytes());
        let mut sealed = field(message, "ciphertext");
        let (nonce, aad) = self.place(kind, 1, sequence);
        let (data, tag) = sealed.split_last_chunk_mut().unwrap();
        self.keys[1].0.open_in_place(&nonce, &aad, data, tag).unwrap();
        data.to_vec()
    }

    pub async fn send(&self, sequence: u64, request: &[u8]) -> Answer {
        post(self.address, "request", self.envelope(1, sequence, request)).await
    }

    pub async fn call(&self, sequence: u64, request: &[u8]) -> Inner {
        let answer = self.send(sequence, request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Inner::decode(&self.open(1, sequence, &answer.body))
    }
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

pub fn session_request(suite: &str, nonce: &[u8; 32], material: &[u8]) -> Vec<u8> {
    encode(|out| {
        out.map(5).unwrap().str("version").unwrap().u8(2).unwrap();
        out.str("key_exchange").unwrap().str(suite).unwrap();
        out.str("client_nonce").unwrap().bytes(nonce).unwrap();
        out.str("client_key_material").unwrap().bytes(material).unwrap();
        out.str("context_hash").unwrap().bytes(&[8; 32]).unwrap();
    })
}

pub fn request(method: &str, path: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
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

pub fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[], None)
}

#[derive(Debug)]
pub struct Inner {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub error: Option<String>,
}

impl Inner {
    pub fn decode(plaintext: &[u8]) -> Self {
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

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone().unwrap()).unwrap()
    }
}
