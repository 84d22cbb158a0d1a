//! Writes vectors whose messages are changed at random, with this code's verdict, for a second
//! implementation to judge: one JSON object a line, `{"file": "heads.json", "vector": …}`.
//!
//! `mutated-vectors COUNT [FOLDER...]`: COUNT of each kind, the same every time, and what is in the
//! folders, whose names (`heads`, `structures`, `evidence`) say what their files are.

mod appraisal;
mod heads;
mod streams;

use appraisal::{appraise, evidence, policies};
use heads::{head, heads};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::path::Path;
use steve_protocol::evidence::merkle::verify_inclusion;
use steve_protocol::evidence::{Challenge, MerkleTree};
use steve_protocol::handshake::ClientHello;
use steve_protocol::key_config::KeyConfig;
use streams::streams;

/// What changes put into messages, beside random bytes.
const TOKENS: [&[u8]; 24] = [
    b"host",
    b"\x04host\x0bapp.example",
    b"content-length",
    b"\x0econtent-length\x013",
    b"\x07upgrade\x09websocket",
    b"GET",
    b"OPTIONS",
    b"*",
    b"[::1]",
    b"http",
    b":65536",
    b"\x40\x03",
    b"\x80\0\0\0",
    b"\xc0\0\0\0\0\0\0\x01",
    b"\xf6",
    b"\x9f",
    b"\xff",
    b"\xd2",
    b"\x18\x20",
    b"null",
    b"1e3",
    b"\\u0041",
    b"\"label\":\"x\",",
    b"NaN",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    heads(&mut rng, count);
    structures(&mut rng, count);
    merkle(&mut rng, count);
    evidence(&mut rng, count / 4);
    policies(&mut rng, count / 2);
    streams(&mut rng, count);
    for folder in arguments {
        corpus(Path::new(&folder));
    }
}

fn emit(file: &str, vector: &Value) {
    println!("{}", json!({ "file": file, "vector": vector }));
}

fn corpus(folder: &Path) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let good = vectors("evidence").remove(0);
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let content = std::fs::read(entry.expect("a folder").path()).expect("a file");
        match name.as_str() {
            "heads" => ["request", "response", "trailers"].map(|kind| head(kind, &content)),
            "structures" => [key_config(&content), client_hello(&content), ()],
            "evidence" => [appraise(&good, &content), key_config(&content), ()],
            other => panic!("no seeds for {other}"),
        };
    }
}

fn vectors(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let text = std::fs::read_to_string(path.with_extension("json")).expect("the vectors are there");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    file["vectors"].as_array().expect("vectors").clone()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hexadecimal").as_bytes();
    let pair = |pair: &[u8]| std::str::from_utf8(pair).ok().map(|p| u8::from_str_radix(p, 16));
    digits.chunks(2).map(|p| pair(p).expect("ASCII").expect("hexadecimal")).collect()
}

fn below(rng: &mut ChaCha20Rng, limit: usize) -> usize {
    (rng.next_u64() % limit.max(1) as u64) as usize
}

/// Changes one or two places, mostly without a change of the length if there is `structure`.
fn mutate(rng: &mut ChaCha20Rng, bytes: &mut Vec<u8>, structure: bool) {
    for _ in 0..=below(rng, 5) / 4 {
        let at = below(rng, bytes.len() + 1);
        let end = bytes.len().min(at + below(rng, 6));
        let changes = if structure && below(rng, 4) > 0 { 3 } else { 7 };
        match below(rng, changes) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(rng, 8),
            1 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
            2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.insert(at, rng.next_u32() as u8),
            5 => drop(bytes.splice(at..end, TOKENS[below(rng, TOKENS.len())].iter().copied())),
            _ => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

fn pick<'a>(rng: &mut ChaCha20Rng, of: &'a [Value]) -> &'a Value {
    &of[below(rng, of.len())]
}

fn structures(rng: &mut ChaCha20Rng, count: usize) {
    let (configs, handshakes) = (vectors("key_config"), vectors("handshake"));
    for _ in 0..count / 2 {
        let mut encoded = unhex(&pick(rng, &configs)["encoded"]);
        mutate(rng, &mut encoded, true);
        key_config(&encoded);
        let hello = pick(rng, &handshakes);
        let mut encoded = unhex(&hello["client_hello"]);
        mutate(rng, &mut encoded, true);
        client_hello(&encoded);
    }
}

fn key_config(encoded: &[u8]) {
    let Ok(config) = KeyConfig::decode(encoded) else {
        return emit("key_config.json", &json!({ "encoded": hex(encoded), "error": true }));
    };
    let fields = config.fields();
    let keys = fields.keys.iter().map(|key| {
        json!({
            "key_id": hex(key.key_id),
            "suite": key.suite.id(),
            "public_key": hex(&key.public_key),
        })
    });
    let vector = json!({
        "encoded": hex(encoded),
        "hash": hex(config.hash()),
        "epoch": fields.epoch.to_string(),
        "not_after": fields.not_after.to_string(),
        "instance": hex(fields.instance),
        "manifest_hash": hex(fields.manifest_hash),
        "configuration_hash": hex(fields.configuration_hash),
        "keys": keys.collect::<Vec<_>>(),
    });
    emit("key_config.json", &vector);
}

fn client_hello(encoded: &[u8]) {
    let vector = match ClientHello::decode(encoded) {
        Err(_) => json!({ "encoded": hex(encoded), "error": true }),
        Ok(hello) => json!({
            "encoded": hex(encoded),
            "suite": hello.suite.id(),
            "early_data": u8::from(hello.early_data),
            "key_id": hex(hello.key_id),
            "enc": hex(&hello.enc),
            "epk": hex(&hello.epk),
        }),
    };
    emit("client_hello", &vector);
}

fn merkle(rng: &mut ChaCha20Rng, count: usize) {
    for _ in 0..count / 2 {
        let size = 1 + below(rng, 70);
        let challenges: Vec<_> = (0..size).map(|_| Challenge::random(rng)).collect();
        let tree = MerkleTree::new(&challenges).expect("within bounds");
        let index = below(rng, size);
        let mut path = tree.path(index as u32).expect("within bounds");
        let (mut claimed, mut leaves) = (index as u32, size as u32);
        match below(rng, 6) {
            0 => claimed = below(rng, size + 2) as u32,
            1 => leaves = below(rng, 2 * size) as u32,
            2 => mutate(rng, &mut path, true),
            3 => path.truncate(below(rng, path.len() + 1) / 32 * 32),
            4 => path.extend(tree.root()),
            _ => {}
        }
        let challenge = &challenges[index];
        let valid = verify_inclusion(challenge, claimed, leaves, &path, &tree.root());
        let vector = json!({
            "challenge": hex(challenge.as_bytes()),
            "leaf_index": claimed,
            "tree_size": leaves,
            "path": hex(&path),
            "root": hex(tree.root()),
            "valid": valid,
        });
        emit("merkle.json", &vector);
    }
}
