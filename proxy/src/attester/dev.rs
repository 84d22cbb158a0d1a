//! A development stand-in for the NSM. It proves nothing.

use super::{AttestError, Attester};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::time::{SystemTime, UNIX_EPOCH};
use steve_protocol::evidence::dev::{DevAuthority, DevError, Request, pcrs};
use steve_protocol::evidence::{Pcrs, TrustAnchor};

/// Signs documents for an enclave that does not exist, under a root made up at start.
pub struct DevAttester {
    authority: DevAuthority,
    pcrs: Pcrs,
}

impl DevAttester {
    /// To be shown at every start.
    pub const WARNING: &str = "\
        +------------------------------------------------------+\n\
        | DANGEROUS DEVELOPMENT ATTESTER: NOTHING IS PROTECTED |\n\
        | Anyone on this machine can read all of it. Never use |\n\
        | this outside development.                            |\n\
        +------------------------------------------------------+";

    /// Makes up an authority.
    pub fn new() -> Result<Self, AttestError> {
        let rng = StdRng::try_from_rng(&mut SysRng);
        let mut rng = rng.map_err(|error| AttestError::Dev(error.to_string()))?;
        let authority = DevAuthority::new(&mut rng, now_ms()).map_err(failed)?;
        Ok(Self { authority, pcrs: pcrs() })
    }

    /// The measurements that its documents claim.
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }

    /// What a client must trust to accept its documents.
    pub fn trust_anchor(&self) -> TrustAnchor {
        self.authority.trust_anchor()
    }

    /// The root certificate as PEM.
    pub fn root_pem(&self) -> String {
        let encoded = STANDARD.encode(self.authority.root_der());
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }
}

impl Attester for DevAttester {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        let request = Request { user_data: Some(user_data), nonce, public_key: None };
        self.authority.attest(&self.pcrs, &request, now_ms()).map_err(failed)
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        Ok(None)
    }

    fn name(&self) -> &'static str {
        "dangerous-development"
    }
}

fn failed(error: DevError) -> AttestError {
    AttestError::Dev(error.to_string())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
