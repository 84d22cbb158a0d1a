//! Evidence and policy.

use crate::{milliseconds, rng};
use steve_protocol::evidence::{
    Appraiser, Challenge, Pcr, PcrProfile, Policy as ProtocolPolicy, VerifiedEnclave,
};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// A fresh challenge: 32 bytes to post to the evidence endpoint.
#[wasm_bindgen]
pub fn challenge() -> Vec<u8> {
    Challenge::random(&mut rng()).as_bytes().to_vec()
}

/// Profiles that the enclave's measurements have to satisfy.
#[wasm_bindgen]
#[derive(Default)]
pub struct Policy(Vec<PcrProfile>);

#[wasm_bindgen]
impl Policy {
    /// Without a profile; good for nothing until one is added.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a profile: three values of 96 hexadecimal digits.
    #[wasm_bindgen(js_name = addProfile)]
    pub fn add_profile(&mut self, pcr0: &str, pcr1: &str, pcr2: &str) -> Result<(), JsError> {
        let values = [pcr0.parse::<Pcr>()?, pcr1.parse()?, pcr2.parse()?];
        self.0.push(PcrProfile::new((0u8..).zip(values))?);
        Ok(())
    }
}

/// An enclave whose fresh evidence holds.
#[wasm_bindgen]
pub struct Enclave(pub(crate) VerifiedEnclave);

#[wasm_bindgen]
impl Enclave {
    /// Appraises the answer to a challenge that was sent at `sent_ms`. The message of an error names
    /// the check that failed and lists the others.
    pub fn verify(
        evidence: &[u8],
        challenge: &[u8],
        policy: &Policy,
        sent_ms: f64,
        now_ms: f64,
    ) -> Result<Self, JsError> {
        let challenge: [u8; 32] =
            challenge.try_into().map_err(|_| JsError::new("a challenge is 32 bytes"))?;
        Appraiser::new(ProtocolPolicy::pinned(policy.0.clone())?)
            .appraise(
                evidence,
                &Challenge::from(challenge),
                milliseconds(sent_ms),
                "",
                milliseconds(now_ms),
            )
            .map(Self)
            .map_err(|refusal| JsError::new(&format!("{refusal}\n{}", refusal.report())))
    }

    /// Every check with its outcome, and what is not proven.
    pub fn report(&self) -> String {
        self.0.report().to_string()
    }

    /// When handshakes may no longer start: milliseconds since 1970.
    #[wasm_bindgen(js_name = validUntil)]
    pub fn valid_until(&self) -> f64 {
        self.0.valid_until_ms() as f64
    }
}
