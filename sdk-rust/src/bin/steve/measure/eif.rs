//! Reads the Enclave Image Format and computes its PCRs.
//!
//! AWS publishes the format as its crate `aws-nitro-enclaves-image-format`, and the registers in the
//! Nitro Enclaves user guide, "Where to get an enclave's measurements". All numbers are big-endian:
//!
//! ```text
//! header   ".eif", version u16, flags u16, memory u64, CPUs u64, reserved u16, sections u16,
//!          32 offsets u64, 32 sizes u64, unused u32, CRC-32 of all of the file but this field
//! section  type u16, flags u16, size u64, content
//! ```
//!
//! A register is SHA-384 over 48 zero bytes and the SHA-384 of: kernel, command line and all ramdisks
//! (PCR0); kernel, command line and first ramdisk (PCR1); further ramdisks (PCR2); signing
//! certificate (PCR8). The contents follow each other without their lengths: bytes that move between
//! the ramdisks leave PCR0 as it is and change the other two, and bytes that move between kernel,
//! command line and first ramdisk change none. Files that another reader could understand differently
//! are refused.

use super::signature::{SignatureError, certificate};
use crc32fast::Hasher as Crc32;
use serde_json::Value;
use sha2::{Digest, Sha384};
use std::io::{self, Read};
use steve_sdk::Pcr;

const MAGIC: [u8; 4] = *b".eif";
/// Since version 2 there is a CRC.
const VERSIONS: std::ops::RangeInclusive<u16> = 2..=4;
const MAX_SECTIONS: usize = 32;
const OFFSETS_AT: usize = 28;
const SIZES_AT: usize = OFFSETS_AT + 8 * MAX_SECTIONS;
const CRC_AT: usize = 544;
const SECTION_HEADER_LEN: usize = 12;
/// What has to be held in memory, signature and metadata, is not larger than this.
const MAX_HELD: u64 = 1 << 20;
const BUFFER: usize = 64 << 10;

const KERNEL: u16 = 1;
const COMMAND_LINE: u16 = 2;
const RAMDISK: u16 = 3;
const SIGNATURE: u16 = 4;
const METADATA: u16 = 5;

/// What an image file holds.
#[derive(Debug)]
pub(super) struct Image {
    /// PCR0, PCR1, PCR2, and PCR8 if the image is signed.
    pub(super) pcrs: Vec<(u8, Pcr)>,
    /// What it says of itself. No register covers it.
    pub(super) metadata: Option<Value>,
}

/// The file is no enclave image, or not one that every reader understands alike.
#[derive(Debug, thiserror::Error)]
pub(super) enum EifError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("the file ends before the image does")]
    Truncated,
    #[error("not an enclave image (EIF): it does not begin with \".eif\"")]
    Magic,
    #[error("version {0} of the image format is not known; 2 to 4 are")]
    Version(u16),
    #[error("{0} sections are announced; an image has 3 to 32")]
    SectionCount(u16),
    #[error("section {0} is not where, or not what, the header says")]
    Table(usize),
    #[error("section {0} has type {1}, which does not belong there")]
    Order(usize, u16),
    #[error("no ramdisk")]
    NoRamdisk,
    #[error("section {0} is larger than 1 MiB")]
    TooLarge(usize),
    #[error("the file goes on after the last section")]
    Trailing,
    #[error("the CRC does not fit: the file is damaged")]
    Crc,
    #[error("the metadata section is not JSON")]
    Metadata,
    #[error("the signature section {0}")]
    Signature(#[from] SignatureError),
}

/// Reads an image once, from its beginning to its end.
pub(super) fn measure(file: impl Read) -> Result<Image, EifError> {
    let mut file = Summed { file, crc: Crc32::new() };
    let header: [u8; CRC_AT] = file.array()?;
    let mut stored = [0; 4];
    fill(&mut file.file, &mut stored)?;
    let count = section_count(&header)?;

    let (mut all, mut boot, mut app) = (Sha384::new(), Sha384::new(), Sha384::new());
    let mut ramdisks = 0;
    let mut signature = None;
    let mut metadata = None;
    let mut offset = (CRC_AT + stored.len()) as u64;
    for index in 0..count {
        let head: [u8; SECTION_HEADER_LEN] = file.array()?;
        let (kind, size) = (u16_at(&head, 0), u64_at(&head, 4));
        if (u64_at(&header, OFFSETS_AT + 8 * index), u64_at(&header, SIZES_AT + 8 * index))
            != (offset, size)
        {
            return Err(EifError::Table(index));
        }
        offset = offset
            .checked_add(SECTION_HEADER_LEN as u64)
            .and_then(|offset| offset.checked_add(size))
            .ok_or(EifError::Truncated)?;
        match (index, kind) {
            (0, KERNEL) | (1, COMMAND_LINE) => file.feed(size, &mut all, &mut boot)?,
            (0 | 1, _) | (_, KERNEL | COMMAND_LINE) => return Err(EifError::Order(index, kind)),
            (_, RAMDISK) if signature.is_none() => {
                file.feed(size, &mut all, if ramdisks == 0 { &mut boot } else { &mut app })?;
                ramdisks += 1;
            }
            (_, SIGNATURE) if signature.is_none() => signature = Some(file.hold(index, size)?),
            (_, METADATA) if metadata.is_none() => metadata = Some(file.hold(index, size)?),
            _ => return Err(EifError::Order(index, kind)),
        }
    }
    if file.file.read(&mut [0])? != 0 {
        return Err(EifError::Trailing);
    }
    if file.crc.finalize() != u32::from_be_bytes(stored) {
        return Err(EifError::Crc);
    }
    if ramdisks == 0 {
        return Err(EifError::NoRamdisk);
    }
    let mut pcrs = vec![(0, register(all)), (1, register(boot)), (2, register(app))];
    if let Some(section) = signature {
        pcrs.push((8, register(Sha384::new_with_prefix(certificate(&section)?))));
    }
    let metadata = metadata.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    Ok(Image { pcrs, metadata: metadata.map_err(|_| EifError::Metadata)? })
}

fn section_count(header: &[u8; CRC_AT]) -> Result<usize, EifError> {
    if header[..4] != MAGIC {
        return Err(EifError::Magic);
    }
    let version = u16_at(header, 4);
    if !VERSIONS.contains(&version) {
        return Err(EifError::Version(version));
    }
    let count = u16_at(header, 26);
    match usize::from(count) {
        sections @ 3..=MAX_SECTIONS => Ok(sections),
        _ => Err(EifError::SectionCount(count)),
    }
}

fn register(content: Sha384) -> Pcr {
    let extended = Sha384::new_with_prefix([0; 48]).chain_update(content.finalize());
    Pcr::from(<[u8; 48]>::from(extended.finalize()))
}

/// A file and the CRC of what was read of it.
struct Summed<R> {
    file: R,
    crc: Crc32,
}

impl<R: Read> Summed<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], EifError> {
        let mut bytes = [0; N];
        fill(&mut self.file, &mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }

    /// Reads a section into two hashes.
    fn feed(&mut self, mut size: u64, a: &mut Sha384, b: &mut Sha384) -> Result<(), EifError> {
        let mut buffer = vec![0; BUFFER];
        while size > 0 {
            let part = &mut buffer[..size.min(BUFFER as u64) as usize];
            fill(&mut self.file, part)?;
            self.crc.update(part);
            a.update(&*part);
            b.update(&*part);
            size -= part.len() as u64;
        }
        Ok(())
    }

    /// Reads a section into memory.
    fn hold(&mut self, index: usize, size: u64) -> Result<Vec<u8>, EifError> {
        if size > MAX_HELD {
            return Err(EifError::TooLarge(index));
        }
        let mut bytes = vec![0; size as usize];
        fill(&mut self.file, &mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), EifError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => EifError::Truncated,
        _ => EifError::Io(error),
    })
}

/// Positions are constants within arrays of constant size.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
