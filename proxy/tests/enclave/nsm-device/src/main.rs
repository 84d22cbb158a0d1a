//! A Nitro Secure Module for emulated enclaves: virtio device 33, as a vhost-user back end.
//!
//! The guest's driver and `/dev/nsm` are the real ones. What the module signs is made by a
//! development authority and proves nothing.

mod control;
mod device;
mod nsm;
mod ring;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use control::Control;
use device::Device;
use nsm::{Measurements, Nsm};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steve_protocol::evidence::dev::DevAuthority;

/// An emulated Nitro Secure Module. It proves nothing.
#[derive(Parser)]
struct Arguments {
    /// Unix socket to serve, one virtual machine after the other; each is a new enclave.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,

    /// What the image measures: JSON with `PCR0`, `PCR1` and so on in hexadecimal digits, as
    /// `eif_build` and `nitro-cli` print it. Registers up to 15 that it does not name are zero.
    #[arg(long, value_name = "FILE")]
    measurements: PathBuf,

    /// Write the root certificate to this file, as PEM.
    #[arg(long, value_name = "FILE")]
    root_out: PathBuf,

    /// How to fail, read before every request: JSON such as {"latency_ms": 100, "error":
    /// "InternalError"}. No file: no failures.
    #[arg(long, value_name = "FILE")]
    control: PathBuf,

    /// Write the maps of documents without their length, as CBOR also allows.
    #[arg(long)]
    indefinite_length_maps: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut rng = StdRng::try_from_rng(&mut SysRng)?;
    let authority = DevAuthority::new(&mut rng, nsm::now_ms())?
        .indefinite_length_maps(arguments.indefinite_length_maps);
    let authority = Arc::new(authority);
    write_root(&arguments.root_out, authority.root_der())?;
    let measurements = Measurements::read(&arguments.measurements)?;
    loop {
        let nsm = Nsm::new(authority.clone(), &measurements);
        let device = Device::new(nsm, Control::new(arguments.control.clone()))?;
        device.serve(&arguments.socket).map_err(|error| error.to_string())?;
    }
}

/// At once: who waits for the file finds all of it.
fn write_root(path: &Path, root_der: &[u8]) -> std::io::Result<()> {
    let encoded = STANDARD.encode(root_der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem += "-----END CERTIFICATE-----\n";
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, pem)?;
    std::fs::rename(unfinished, path)
}
