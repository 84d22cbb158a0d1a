//! `{"version": 1, "pins": {"<origin>": {"first_seen_ms": <n>, "pcrs": {"0": "<hex>", …}}}}`

use super::Pins;
use serde_json::{Map, Value, json};
use steve_protocol::evidence::{Pcr, PcrProfile, Pin};

const VERSION: u64 = 1;

pub(super) fn encode(pins: &Pins) -> String {
    let pins: Map<String, Value> =
        pins.iter().map(|(origin, pin)| (origin.clone(), encode_pin(pin))).collect();
    format!("{:#}\n", json!({ "version": VERSION, "pins": pins }))
}

fn encode_pin(pin: &Pin) -> Value {
    let pcrs: Map<String, Value> = pin
        .profile
        .values()
        .map(|(register, pcr)| (register.to_string(), pcr.to_string().into()))
        .collect();
    json!({ "first_seen_ms": pin.first_seen_ms, "pcrs": pcrs })
}

/// Errors on anything that `encode` does not give.
pub(super) fn decode(text: &str) -> Result<Pins, String> {
    let store: Value = serde_json::from_str(text)
        .map_err(|error| format!("the store is damaged: {error}; restore it or remove it"))?;
    let pins = store.get("pins").and_then(Value::as_object);
    let (Some(VERSION), Some(pins)) = (store.get("version").and_then(Value::as_u64), pins) else {
        return Err("this is not a store of pins of version 1".to_owned());
    };
    pins.iter()
        .map(|(origin, pin)| match decode_pin(pin) {
            Some(pin) => Ok((origin.clone(), pin)),
            None => Err(format!("the record of {origin} is damaged; restore it or remove it")),
        })
        .collect()
}

fn decode_pin(pin: &Value) -> Option<Pin> {
    let first_seen_ms = pin.get("first_seen_ms")?.as_u64()?;
    let values: Option<Vec<(u8, Pcr)>> = pin
        .get("pcrs")?
        .as_object()?
        .iter()
        .map(|(register, pcr)| Some((register.parse().ok()?, pcr.as_str()?.parse().ok()?)))
        .collect();
    Some(Pin { profile: PcrProfile::new(values?).ok()?, first_seen_ms })
}
