//! The Nitro Secure Module.

use super::{AttestError, Attester};
use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use aws_nitro_enclaves_nsm_api::driver::nsm_process_request;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

/// The device file of the NSM driver; only enclaves have it.
pub const NSM_DEVICE: &str = "/dev/nsm";

/// The NSM of this enclave, opened once and closed when dropped.
#[derive(Debug)]
pub struct Nsm(File);

impl Nsm {
    /// Opens the device.
    pub fn open() -> Result<Self, AttestError> {
        let device = OpenOptions::new().read(true).write(true).open(NSM_DEVICE);
        device.map(Self).map_err(AttestError::Open)
    }

    fn request(&self, request: Request) -> Response {
        nsm_process_request(self.0.as_raw_fd(), request)
    }
}

impl Attester for Nsm {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        let request = Request::Attestation {
            user_data: Some(user_data.to_vec().into()),
            nonce: nonce.map(|nonce| nonce.to_vec().into()),
            public_key: None,
        };
        match self.request(request) {
            Response::Attestation { document } if !document.is_empty() => Ok(document),
            other => Err(refusal(&other)),
        }
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        match self.request(Request::GetRandom) {
            Response::GetRandom { random } if random.len() >= 32 => Ok(Some(random)),
            Response::GetRandom { .. } => Err(AttestError::Nsm("fewer than 32 random bytes")),
            other => Err(refusal(&other)),
        }
    }

    fn name(&self) -> &'static str {
        "nsm"
    }
}

fn refusal(response: &Response) -> AttestError {
    AttestError::Nsm(match response {
        Response::Error(ErrorCode::InvalidArgument) => "invalid argument",
        Response::Error(ErrorCode::InvalidIndex) => "PCR index out of range",
        Response::Error(ErrorCode::InvalidResponse) => "its response fits another request",
        Response::Error(ErrorCode::ReadOnlyIndex) => "the PCR is locked",
        Response::Error(ErrorCode::InvalidOperation) => "operation not possible",
        Response::Error(ErrorCode::BufferTooSmall) => "the response does not fit its buffer",
        Response::Error(ErrorCode::InputTooLarge) => "request too large",
        Response::Error(ErrorCode::InternalError) => "internal error, or no answer",
        _ => "unexpected response",
    })
}
