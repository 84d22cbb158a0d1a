use crate::{below, emit, hex, mutate, pick, unhex, vectors};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use steve_protocol::head::{Fields, RequestHead, ResponseHead, Trailers};

pub(crate) fn heads(rng: &mut ChaCha20Rng, count: usize) {
    let all = vectors("heads");
    for _ in 0..count {
        let vector = pick(rng, &all);
        let kind = vector["kind"].as_str().expect("a kind");
        let mut encoded = unhex(&vector["encoded"]);
        if encoded.len() > 2000 {
            continue;
        }
        if vector["error"].is_null() && below(rng, 4) > 0 {
            encoded = with_changed_part(rng, vector);
        } else {
            mutate(rng, &mut encoded, true);
        }
        head(kind, &encoded);
    }
}

/// The head encoded anew, one of its parts changed.
fn with_changed_part(rng: &mut ChaCha20Rng, vector: &Value) -> Vec<u8> {
    let text = |name: &str| vector[name].as_str().map(|text| text.as_bytes().to_vec());
    let mut control: Vec<_> =
        ["method", "scheme", "authority", "path"].into_iter().filter_map(text).collect();
    let line = |line: &Value| [line[0].as_str().unwrap_or("").as_bytes().to_vec(), unhex(&line[1])];
    let lines = vector["fields"].as_array().expect("lines").iter().map(line);
    let mut lines: Vec<Vec<u8>> = lines.flatten().collect();
    let at = below(rng, control.len() + lines.len());
    match control.iter_mut().chain(&mut lines).nth(at) {
        Some(part) => mutate(rng, part, false),
        None => lines = vec![b"x".to_vec(), b"y".to_vec()],
    }
    let mut out = Vec::new();
    if let Some(status) = vector["status"].as_u64() {
        let change = [0, 1, 400, 9][below(rng, 4)];
        out.extend((0x4000 | (status + change) as u16).to_be_bytes());
    }
    control.iter().for_each(|part| put(&mut out, part));
    let mut section = Vec::new();
    lines.iter().for_each(|part| put(&mut section, part));
    put(&mut out, &section);
    out
}

/// With a length before it.
fn put(out: &mut Vec<u8>, part: &[u8]) {
    match part.len() {
        length @ 0..64 => out.push(length as u8),
        length => out.extend((0x4000 | length as u16).to_be_bytes()),
    }
    out.extend_from_slice(part);
}

fn lines(fields: &Fields) -> Value {
    fields.iter().map(|line| json!([line.name(), hex(line.value())])).collect()
}

pub(crate) fn head(kind: &str, encoded: &[u8]) {
    let content = Bytes::copy_from_slice(encoded);
    let members = match kind {
        "request" => RequestHead::decode(content).map(|head| {
            json!({
                "method": head.method(),
                "scheme": head.scheme(),
                "authority": head.authority(),
                "path": head.path(),
                "fields": lines(head.fields()),
            })
        }),
        "response" => ResponseHead::decode(content)
            .map(|head| json!({ "status": head.status(), "fields": lines(head.fields()) })),
        _ => Trailers::decode(content).map(|head| json!({ "fields": lines(head.fields()) })),
    };
    let mut vector = members.unwrap_or_else(|_| json!({ "error": true }));
    vector["kind"] = kind.into();
    vector["encoded"] = hex(encoded).into();
    emit("heads.json", &vector);
}
