//! Which enclaves are accepted.

use crate::fault::Fault;
use crate::milliseconds;
use std::sync::{Arc, Mutex, PoisonError};
use steve_protocol::evidence::{
    Pcr, PcrProfile, Pin, PinStore, PinStoreError, Policy as ProtocolPolicy,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// Profiles that the measurements have to satisfy, or trust on first use.
#[wasm_bindgen]
pub struct Policy(Kind);

enum Kind {
    Pinned(Vec<PcrProfile>),
    FirstUse(Option<Pin>),
}

#[wasm_bindgen]
impl Policy {
    /// Pinned profiles; good for nothing until one is added.
    pub fn pinned() -> Self {
        Self(Kind::Pinned(Vec::new()))
    }

    /// Adds a profile: registers, and for each a value of 96 hexadecimal digits.
    #[wasm_bindgen(js_name = addProfile)]
    pub fn add_profile(&mut self, registers: &[u8], values: Vec<String>) -> Result<(), Fault> {
        let profile = profile(registers, &values)?;
        match &mut self.0 {
            Kind::Pinned(profiles) => profiles.push(profile),
            Kind::FirstUse(_) => return Err(Fault::policy("trust on first use takes no profiles")),
        }
        Ok(())
    }

    /// Trust on first use, with nothing on record yet.
    #[wasm_bindgen(js_name = firstUse)]
    pub fn first_use() -> Self {
        Self(Kind::FirstUse(None))
    }

    /// Trust on first use, with the record that was made then.
    #[wasm_bindgen(js_name = knownSince)]
    pub fn known_since(
        first_seen_ms: f64,
        registers: &[u8],
        values: Vec<String>,
    ) -> Result<Self, Fault> {
        let profile = profile(registers, &values)?;
        Ok(Self(Kind::FirstUse(Some(Pin { profile, first_seen_ms: milliseconds(first_seen_ms) }))))
    }
}

impl Policy {
    pub(crate) fn to_protocol(&self) -> Result<ProtocolPolicy, Fault> {
        match &self.0 {
            Kind::Pinned(profiles) => {
                ProtocolPolicy::pinned(profiles.clone()).map_err(Fault::policy)
            }
            Kind::FirstUse(pin) => {
                Ok(ProtocolPolicy::trust_on_first_use(Arc::new(Record(Mutex::new(pin.clone())))))
            }
        }
    }
}

fn profile(registers: &[u8], values: &[String]) -> Result<PcrProfile, Fault> {
    if registers.len() != values.len() {
        return Err(Fault::policy("as many values as registers are needed"));
    }
    let mut pcrs = Vec::with_capacity(values.len());
    for (register, value) in registers.iter().zip(values) {
        let wrong = |error| Fault::policy(format_args!("PCR{register}: {error}"));
        pcrs.push((*register, value.parse::<Pcr>().map_err(wrong)?));
    }
    PcrProfile::new(pcrs).map_err(Fault::policy)
}

/// The record of one origin, for one appraisal. JavaScript loads it before, and makes it durable
/// before the verified enclave is used.
struct Record(Mutex<Option<Pin>>);

impl PinStore for Record {
    fn load(&self, _: &str) -> Result<Option<Pin>, PinStoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn record(&self, _: &str, pin: &Pin) -> Result<Pin, PinStoreError> {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(record.get_or_insert_with(|| pin.clone()).clone())
    }
}
