//! Evidence.

use crate::fault::Fault;
use crate::policy::Policy;
use crate::{hex, milliseconds, rng};
use js_sys::Uint8Array;
use steve_protocol::evidence::{
    Appraiser as ProtocolAppraiser, Challenge, Pcr, PcrTrust, PendingAppraisal, Report, Signed,
    VerifiedEnclave,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// A fresh challenge: 32 bytes to post to the evidence endpoint.
#[wasm_bindgen]
pub fn challenge() -> Vec<u8> {
    Challenge::random(&mut rng()).as_bytes().to_vec()
}

/// Decides whether evidence is good enough.
#[wasm_bindgen]
pub struct Appraiser(ProtocolAppraiser);

#[wasm_bindgen]
impl Appraiser {
    /// An appraiser for enclaves on AWS. Times are in milliseconds; without them: five minutes.
    #[wasm_bindgen(constructor)]
    pub fn new(
        policy: &Policy,
        max_evidence_age_ms: Option<f64>,
        max_clock_skew_ms: Option<f64>,
    ) -> Result<Self, Fault> {
        let mut appraiser = ProtocolAppraiser::new(policy.to_protocol()?);
        if let Some(age) = max_evidence_age_ms {
            appraiser = appraiser.max_evidence_age_ms(milliseconds(age));
        }
        if let Some(skew) = max_clock_skew_ms {
            appraiser = appraiser.max_clock_skew_ms(milliseconds(skew));
        }
        Ok(Self(appraiser))
    }

    /// Trusts the root with this SHA-256 of its DER instead of AWS's. Whoever holds its key can
    /// make evidence for anything.
    #[cfg(feature = "dangerous-trust-anchor")]
    #[wasm_bindgen(js_name = dangerousTrustRoot)]
    pub fn dangerous_trust_root(&mut self, sha256: &[u8]) -> Result<(), Fault> {
        use steve_protocol::evidence::TrustAnchor;
        let wrong = |_| Fault::new("invalid-options", "the SHA-256 of a root is 32 bytes");
        let anchor = TrustAnchor::dangerous_from_sha256(sha256.try_into().map_err(wrong)?);
        self.0 = self.0.clone().dangerous_with_anchor(anchor);
        Ok(())
    }

    /// Begins to appraise the answer to a challenge that was sent at `sent_ms`.
    pub fn begin(
        &self,
        evidence: Vec<u8>,
        challenge: &[u8],
        sent_ms: f64,
        origin: String,
        now_ms: f64,
    ) -> Result<Appraisal, Fault> {
        let wrong = |_| Fault::new("invalid-options", "a challenge is 32 bytes");
        let challenge: [u8; 32] = challenge.try_into().map_err(wrong)?;
        let (sent_ms, now_ms) = (milliseconds(sent_ms), milliseconds(now_ms));
        let challenge = Challenge::from(challenge);
        Ok(Appraisal(self.0.begin(evidence, challenge, sent_ms, origin, now_ms)))
    }
}

/// An appraisal that waits for verdicts on signatures.
#[wasm_bindgen]
pub struct Appraisal(PendingAppraisal);

#[wasm_bindgen]
impl Appraisal {
    /// What is to be verified by ECDSA with SHA-384 on P-384. Three arrays for each signature: public
    /// key (an uncompressed point), message, and r and s in 48 bytes each.
    pub fn signatures(&self) -> Vec<Uint8Array> {
        let copies = |signed: &Signed| {
            [&signed.public_key[..], &signed.message, &signed.signature].map(Uint8Array::from)
        };
        self.0.signatures().iter().flat_map(copies).collect()
    }

    /// Makes every check. `verdicts` has a 1 for each signature that is valid, in their order; what
    /// has another number, or none, is not valid. Consumes the appraisal.
    pub fn finish(self, verdicts: &[u8]) -> Result<Enclave, Fault> {
        let verdicts: Vec<_> = verdicts.iter().map(|verdict| *verdict == 1).collect();
        Ok(Enclave(self.0.finish(&verdicts)?))
    }
}

/// An enclave whose fresh evidence holds.
#[wasm_bindgen]
pub struct Enclave(pub(crate) VerifiedEnclave);

#[wasm_bindgen]
impl Enclave {
    /// Four strings for each check: its name, what it requires, its outcome, and what was found.
    pub fn report(&self) -> Vec<String> {
        report_lines(self.0.report())
    }

    /// What the appraisal does not prove, the most important first.
    #[wasm_bindgen(js_name = notProven)]
    pub fn not_proven(&self) -> Vec<String> {
        not_proven(self.0.report())
    }

    /// When handshakes may no longer start: milliseconds since 1970.
    #[wasm_bindgen(js_name = validUntil)]
    pub fn valid_until(&self) -> f64 {
        self.0.valid_until_ms() as f64
    }

    /// When the document was made: milliseconds since 1970, on the enclave's clock.
    pub fn timestamp(&self) -> f64 {
        self.0.timestamp_ms() as f64
    }

    /// The NSM's name for the enclave.
    #[wasm_bindgen(js_name = moduleId)]
    pub fn module_id(&self) -> String {
        self.0.module_id().to_owned()
    }

    /// The measurements: number of a register and its 96 hexadecimal digits in turn.
    pub fn pcrs(&self) -> Vec<String> {
        let pair = |(index, pcr): (u8, &Pcr)| [index.to_string(), hex(pcr.as_bytes())];
        self.0.pcrs().iter().flat_map(pair).collect()
    }

    /// The effective configuration of the proxy: JSON, attested.
    pub fn configuration(&self) -> Vec<u8> {
        self.0.configuration().to_vec()
    }

    /// The manifest: any bytes, attested.
    pub fn manifest(&self) -> Vec<u8> {
        self.0.manifest().to_vec()
    }

    /// Why the measurements are trusted: "pinned", "first-use" or "known-since".
    pub fn trust(&self) -> String {
        match self.0.trust() {
            Some(PcrTrust::Pinned { .. }) => "pinned",
            Some(PcrTrust::KnownSince { .. }) => "known-since",
            Some(PcrTrust::FirstUse) | None => "first-use",
        }
        .to_owned()
    }

    /// The registers that were compared.
    #[wasm_bindgen(js_name = trustedRegisters)]
    pub fn trusted_registers(&self) -> Vec<u8> {
        match self.0.trust() {
            Some(PcrTrust::Pinned { registers, .. } | PcrTrust::KnownSince { registers, .. }) => {
                registers.clone()
            }
            Some(PcrTrust::FirstUse) | None => Vec::new(),
        }
    }

    /// Index of the pinned profile, or when the record was made.
    #[wasm_bindgen(js_name = trustedBy)]
    pub fn trusted_by(&self) -> Option<f64> {
        match self.0.trust() {
            Some(PcrTrust::Pinned { profile, .. }) => Some(*profile as f64),
            Some(PcrTrust::KnownSince { first_seen_ms, .. }) => Some(*first_seen_ms as f64),
            Some(PcrTrust::FirstUse) | None => None,
        }
    }
}

pub(crate) fn report_lines(report: &Report) -> Vec<String> {
    let line = |line: &steve_protocol::evidence::CheckReport| {
        let outcome = line.outcome.to_string().to_ascii_lowercase().replace(' ', "-");
        [line.check.id().into(), line.check.requirement().into(), outcome, line.detail.clone()]
    };
    report.checks().iter().flat_map(line).collect()
}

pub(crate) fn not_proven(report: &Report) -> Vec<String> {
    report.not_proven().iter().map(ToString::to_string).collect()
}
