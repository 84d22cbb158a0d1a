//! The module: registers, and answers to requests in CBOR.
//!
//! Requests, responses and error codes are those of `aws-nitro-enclaves-nsm-api`. PCR0 to PCR15 are
//! locked from the start, documents hold exactly the locked registers, and a register's state gives the
//! errors, as in QEMU's model (`hw/i386/nitro_enclave.c` and `hw/virtio/virtio-nsm.c`). Limits of fields
//! are those of the AWS Nitro Enclaves user guide, "Verifying the root of trust".

use aws_nitro_enclaves_nsm_api::api::{Digest as DigestName, ErrorCode, Request, Response};
use rand::TryRng;
use rand::rngs::SysRng;
use serde_json::Value;
use sha2::{Digest, Sha384};
use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use steve_protocol::evidence::dev::{self, DevAuthority};
use steve_protocol::evidence::{PCR_LEN, Pcr};

/// Registers of a module.
const COUNT: usize = 32;
/// Locked before the enclave starts.
const LOCKED: usize = 16;
/// Bytes of the largest request.
pub(crate) const MAX_REQUEST: usize = 0x1000;
/// Bytes of the answer to `GetRandom`.
const RANDOM: usize = 256;

/// What PCR0 to PCR15 are from the start.
pub(crate) struct Measurements([[u8; PCR_LEN]; LOCKED]);

impl Measurements {
    /// Reads JSON that names registers, at the top or under `Measurements`.
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let json: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let named = json.get("Measurements").unwrap_or(&json);
        let mut registers = [[0; PCR_LEN]; LOCKED];
        for (index, register) in registers.iter_mut().enumerate() {
            match named.get(format!("PCR{index}")) {
                Some(value) => {
                    let digits = value.as_str().unwrap_or_default();
                    *register = *digits.parse::<Pcr>()?.as_bytes();
                }
                None if index < 3 => return Err(format!("no PCR{index}").into()),
                None => {}
            }
        }
        Ok(Self(registers))
    }
}

#[derive(Clone, Copy)]
struct Register {
    value: [u8; PCR_LEN],
    locked: bool,
}

/// The module of one enclave.
pub(crate) struct Nsm {
    authority: Arc<DevAuthority>,
    registers: [Register; COUNT],
}

impl Nsm {
    pub(crate) fn new(authority: Arc<DevAuthority>, measurements: &Measurements) -> Self {
        let mut registers = [Register { value: [0; PCR_LEN], locked: false }; COUNT];
        for (register, value) in registers.iter_mut().zip(measurements.0) {
            *register = Register { value, locked: true };
        }
        Self { authority, registers }
    }

    /// Answers a request, which may be anything.
    pub(crate) fn answer(&mut self, request: &[u8]) -> Response {
        if request.len() > MAX_REQUEST {
            return Response::Error(ErrorCode::InputTooLarge);
        }
        let Ok(request) = ciborium::from_reader(request) else {
            return Response::Error(ErrorCode::InvalidOperation);
        };
        self.execute(request).unwrap_or_else(Response::Error)
    }

    fn execute(&mut self, request: Request) -> Result<Response, ErrorCode> {
        Ok(match request {
            Request::DescribeNSM => self.describe(),
            Request::DescribePCR { index } => {
                let register = self.register(index)?;
                Response::DescribePCR { lock: register.locked, data: register.value.to_vec() }
            }
            Request::ExtendPCR { index, data } => {
                let register = self.unlocked(index)?;
                let extended = Sha384::new().chain_update(register.value).chain_update(data);
                register.value = extended.finalize().into();
                Response::ExtendPCR { data: register.value.to_vec() }
            }
            Request::LockPCR { index } => {
                self.unlocked(index)?.locked = true;
                Response::LockPCR
            }
            Request::LockPCRs { range } => {
                let chosen: Range<usize> = 0..range.into();
                let registers = self.registers.get_mut(chosen).ok_or(ErrorCode::InvalidIndex)?;
                registers.iter_mut().for_each(|register| register.locked = true);
                Response::LockPCRs
            }
            Request::GetRandom => Response::GetRandom { random: random()? },
            Request::Attestation { user_data, nonce, public_key } => {
                let request = dev::Request {
                    user_data: user_data.as_deref().map(Vec::as_slice),
                    nonce: nonce.as_deref().map(Vec::as_slice),
                    public_key: public_key.as_deref().map(Vec::as_slice),
                };
                Response::Attestation { document: self.attest(&request)? }
            }
            _ => return Err(ErrorCode::InvalidOperation),
        })
    }

    fn describe(&self) -> Response {
        Response::DescribeNSM {
            version_major: 1,
            version_minor: 0,
            version_patch: 0,
            module_id: self.authority.module_id().to_owned(),
            max_pcrs: COUNT as u16,
            locked_pcrs: (0..)
                .zip(&self.registers)
                .filter(|(_, r)| r.locked)
                .map(|(i, _)| i)
                .collect(),
            digest: DigestName::SHA384,
        }
    }

    fn attest(&self, request: &dev::Request<'_>) -> Result<Vec<u8>, ErrorCode> {
        let locked = (0..).zip(&self.registers).filter(|(_, register)| register.locked);
        let pcrs = locked.map(|(index, register)| (index, Pcr::from(register.value))).collect();
        self.authority.attest(&pcrs, request, now_ms()).map_err(|error| match error {
            dev::DevError::TooLong => ErrorCode::InputTooLarge,
            error => {
                eprintln!("cannot attest: {error}");
                ErrorCode::InternalError
            }
        })
    }

    fn register(&mut self, index: u16) -> Result<&mut Register, ErrorCode> {
        self.registers.get_mut(usize::from(index)).ok_or(ErrorCode::InvalidIndex)
    }

    fn unlocked(&mut self, index: u16) -> Result<&mut Register, ErrorCode> {
        match self.register(index)? {
            register if register.locked => Err(ErrorCode::ReadOnlyIndex),
            register => Ok(register),
        }
    }
}

fn random() -> Result<Vec<u8>, ErrorCode> {
    let mut random = vec![0; RANDOM];
    SysRng.try_fill_bytes(&mut random).map_err(|_| ErrorCode::InternalError)?;
    Ok(random)
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests;
