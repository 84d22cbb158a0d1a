//! Random numbers before anything is started that needs them (row 16).
//!
//! 256 bytes of the NSM's `GetRandom` are written to `/dev/urandom`: the kernel mixes them into its
//! input pool, and its generator takes them up with its next reseeding, seconds later at this age of
//! the system. They are not credited. The kernel's own NSM driver is a credited source besides, where
//! it is part of the kernel's `hw_random`. The proxy mixes `GetRandom` into its own seed.

use crate::bounded::{LIMIT_SECONDS, retry};
use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use aws_nitro_enclaves_nsm_api::driver::nsm_process_request;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;

const NSM_DEVICE: &str = "/dev/nsm";
const KERNEL_POOL: &str = "/dev/urandom";

/// What the NSM must give at least: 256 bits.
const ENOUGH: usize = 32;

/// Why there are no random numbers to trust.
#[derive(Debug, thiserror::Error)]
pub enum EntropyError {
    /// Not an enclave, or the driver is missing.
    #[error(
        "no {NSM_DEVICE} after {LIMIT_SECONDS} s: {0}; is this an enclave, and the driver loaded?"
    )]
    NoDevice(io::Error),
    /// The device refuses.
    #[error("{NSM_DEVICE} gives no random bytes")]
    Refused,
    /// The kernel's pool cannot be written.
    #[error("cannot write to {KERNEL_POOL}: {0}")]
    Pool(io::Error),
    /// The kernel's generator has no seed.
    #[error("the kernel has no random numbers after {LIMIT_SECONDS} s: {0}")]
    NotReady(Errno),
}

/// Waits for the NSM, mixes its random bytes into the kernel's pool, and waits until the kernel has
/// seeded its generator.
pub(crate) fn seed() -> Result<(), EntropyError> {
    let open = || OpenOptions::new().read(true).write(true).open(NSM_DEVICE);
    let device =
        retry(open, |error| error.kind() == ErrorKind::NotFound).map_err(EntropyError::NoDevice)?;
    let Response::GetRandom { random } =
        nsm_process_request(device.as_raw_fd(), Request::GetRandom)
    else {
        return Err(EntropyError::Refused);
    };
    if random.len() < ENOUGH {
        return Err(EntropyError::Refused);
    }
    let mut pool = File::options().write(true).open(KERNEL_POOL).map_err(EntropyError::Pool)?;
    pool.write_all(&random).map_err(EntropyError::Pool)?;
    let ready = || getrandom([0_u8; ENOUGH].as_mut_slice(), GetRandomFlags::NONBLOCK);
    retry(ready, |error| *error == Errno::AGAIN).map_err(EntropyError::NotReady)?;
    Ok(())
}
