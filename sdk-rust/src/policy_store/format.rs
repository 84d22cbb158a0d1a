//! `{"version": 1, "policies": {"<namespace>": {"version": <n>, "sha256": "<hex>"}}}`

use super::Policies;
use serde_json::{Map, Value, json};
use steve_protocol::evidence::SeenPolicy;

const VERSION: u64 = 1;

pub(super) fn encode(policies: &Policies) -> String {
    let policies: Map<String, Value> = policies
        .iter()
        .map(|(namespace, seen)| {
            let sha256: String = seen.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            (namespace.clone(), json!({ "version": seen.version, "sha256": sha256 }))
        })
        .collect();
    format!("{:#}\n", json!({ "version": VERSION, "policies": policies }))
}

/// Errors on anything that `encode` does not give.
pub(super) fn decode(text: &str) -> Result<Policies, String> {
    let store: Value = serde_json::from_str(text)
        .map_err(|error| format!("the store is damaged: {error}; restore it or remove it"))?;
    let policies = store.get("policies").and_then(Value::as_object);
    let (Some(VERSION), Some(policies)) = (store.get("version").and_then(Value::as_u64), policies)
    else {
        return Err("this is not a store of policy versions of version 1".to_owned());
    };
    policies
        .iter()
        .map(|(namespace, seen)| match decode_seen(seen) {
            Some(seen) => Ok((namespace.clone(), seen)),
            None => Err(format!("the record of {namespace} is damaged; restore it or remove it")),
        })
        .collect()
}

fn decode_seen(seen: &Value) -> Option<SeenPolicy> {
    let version = seen.get("version")?.as_u64()?;
    let digits = seen.get("sha256")?.as_str()?.as_bytes();
    let mut sha256 = [0; 32];
    if digits.len() != 2 * sha256.len() {
        return None;
    }
    for (byte, pair) in sha256.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(SeenPolicy { version, sha256 })
}
