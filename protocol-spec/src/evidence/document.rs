//! The payload of an attestation document (SPEC.md, Section 7, check `document`).
//!
//! The format is that of AWS's `attestation_process.md`, Section 3.2. Documents of the years 2022 to
//! 2025 differ in the form of their CBOR (definite or indefinite maps, null or absent fields): all
//! forms are read, and no rule on the content is relaxed.

use super::{Pcr, Pcrs, cbor};
use core::fmt;
use minicbor::decode::{Decoder, Error};
use std::collections::BTreeSet;

/// Largest attestation document in bytes (SPEC.md, Section 14).
pub const MAX_DOCUMENT_LEN: usize = 16384;

const MAX_MODULE_ID_LEN: usize = 256;
const MAX_CERTIFICATE_LEN: usize = 1024;
const MAX_CABUNDLE: usize = 16;
const MAX_PUBLIC_KEY_LEN: usize = 1024;
const MAX_USER_DATA_LEN: usize = 512;
const MAX_NONCE_LEN: usize = 512;
const PCR_INDEXES: u8 = 32;

/// Why the payload is not an attestation document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is not a well-formed CBOR map with text keys, or nests too deeply.
    #[error("not a well-formed CBOR map with text keys, nested 8 deep at most")]
    Malformed,
    /// A key occurs twice.
    #[error("a key occurs twice")]
    DuplicateKey,
    /// Something follows the map.
    #[error("bytes follow the map")]
    TrailingBytes,
    /// A field breaks its rule.
    #[error("{0} {1}")]
    Field(DocumentField, FieldError),
}

impl From<Error> for DocumentError {
    fn from(_: Error) -> Self {
        Self::Malformed
    }
}

/// A field of the attestation document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named as in the document")]
pub enum DocumentField {
    Cabundle,
    Certificate,
    Digest,
    ModuleId,
    NitrotpmPcrs,
    Nonce,
    Pcrs,
    PublicKey,
    Timestamp,
    UserData,
}

impl fmt::Display for DocumentField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cabundle => "cabundle",
            Self::Certificate => "certificate",
            Self::Digest => "digest",
            Self::ModuleId => "module_id",
            Self::NitrotpmPcrs => "nitrotpm_pcrs",
            Self::Nonce => "nonce",
            Self::Pcrs => "pcrs",
            Self::PublicKey => "public_key",
            Self::Timestamp => "timestamp",
            Self::UserData => "user_data",
        })
    }
}

/// How a field breaks its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Required and absent.
    #[error("is missing")]
    Missing,
    /// Not of its type, or not well-formed.
    #[error("is not of its type")]
    Type,
    /// Too short, too long, too few or too many.
    #[error("has a length out of its range")]
    Length,
    /// A value that is not allowed.
    #[error("has a value that is not allowed")]
    Value,
    /// The same key twice.
    #[error("has a key twice")]
    DuplicateKey,
}

/// The fields of an attestation document, borrowed from its payload. Nothing is verified.
#[derive(Clone, Debug)]
pub(super) struct Document<'a> {
    pub(super) module_id: &'a str,
    pub(super) timestamp_ms: u64,
    pub(super) pcrs: Pcrs,
    pub(super) certificate: &'a [u8],
    /// Root first; never empty.
    pub(super) cabundle: Vec<&'a [u8]>,
    pub(super) public_key: Option<&'a [u8]>,
    pub(super) user_data: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
}

#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<()>,
    timestamp_ms: Option<u64>,
    pcrs: Option<Pcrs>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
}

impl<'a> Document<'a> {
    /// Decodes the payload and checks the rule of every field.
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, DocumentError> {
        let mut decoder = Decoder::new(payload);
        let mut keys = BTreeSet::new();
        let mut fields = Fields::default();
        cbor::map(&mut decoder, |decoder| {
            let key = decoder.str()?;
            if !keys.insert(key) {
                return Err(DocumentError::DuplicateKey);
            }
            fields.read(key, decoder)
        })?;
        if !cbor::at_end(&decoder) {
            return Err(DocumentError::TrailingBytes);
        }
        fields.complete()
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, key: &str, decoder: &mut Decoder<'a>) -> Result<(), DocumentError> {
        use DocumentField as Field;
        let (field, result) = match key {
            "module_id" => {
                (Field::ModuleId, module_id(decoder).map(|id| self.module_id = Some(id)))
            }
            "digest" => (Field::Digest, digest(decoder).map(|()| self.digest = Some(()))),
            "timestamp" => {
                (Field::Timestamp, timestamp(decoder).map(|ms| self.timestamp_ms = Some(ms)))
            }
            "pcrs" => (Field::Pcrs, pcrs(decoder).map(|pcrs| self.pcrs = Some(pcrs))),
            "certificate" => {
                (Field::Certificate, certificate(decoder).map(|der| self.certificate = Some(der)))
            }
            "cabundle" => {
                (Field::Cabundle, cabundle(decoder).map(|ders| self.cabundle = Some(ders)))
            }
            "public_key" => (
                Field::PublicKey,
                optional(decoder, MAX_PUBLIC_KEY_LEN).map(|key| self.public_key = key),
            ),
            "user_data" => (
                Field::UserData,
                optional(decoder, MAX_USER_DATA_LEN).map(|data| self.user_data = data),
            ),
            "nonce" => {
                (Field::Nonce, optional(decoder, MAX_NONCE_LEN).map(|nonce| self.nonce = nonce))
            }
            // An instance's TPM has the same root sign for it whatever the owner says.
            "nitrotpm_pcrs" => (Field::NitrotpmPcrs, Err(FieldError::Value)),
            _ => return Ok(cbor::skip(decoder, cbor::MAX_DEPTH - 1)?),
        };
        result.map_err(|error| DocumentError::Field(field, error))
    }

    fn complete(self) -> Result<Document<'a>, DocumentError> {
        let missing = |field| DocumentError::Field(field, FieldError::Missing);
        self.digest.ok_or(missing(DocumentField::Digest))?;
        Ok(Document {
            module_id: self.module_id.ok_or(missing(DocumentField::ModuleId))?,
            timestamp_ms: self.timestamp_ms.ok_or(missing(DocumentField::Timestamp))?,
            pcrs: self.pcrs.ok_or(missing(DocumentField::Pcrs))?,
            certificate: self.certificate.ok_or(missing(DocumentField::Certificate))?,
            cabundle: self.cabundle.ok_or(missing(DocumentField::Cabundle))?,
            public_key: self.public_key,
            user_data: self.user_data,
            nonce: self.nonce,
        })
    }
}

impl From<Error> for FieldError {
    fn from(_: Error) -> Self {
        Self::Type
    }
}

fn module_id<'a>(decoder: &mut Decoder<'a>) -> Result<&'a str, FieldError> {
    let id = decoder.str()?;
    (1..=MAX_MODULE_ID_LEN).contains(&id.len()).then_some(id).ok_or(FieldError::Length)
}

fn digest(decoder: &mut Decoder<'_>) -> Result<(), FieldError> {
    (decoder.str()? == "SHA384").then_some(()).ok_or(FieldError::Value)
}

fn timestamp(decoder: &mut Decoder<'_>) -> Result<u64, FieldError> {
    let timestamp_ms = decoder.u64()?;
    (timestamp_ms > 0).then_some(timestamp_ms).ok_or(FieldError::Value)
}

fn pcrs(decoder: &mut Decoder<'_>) -> Result<Pcrs, FieldError> {
    let mut pcrs = Pcrs::default();
    cbor::map(decoder, |decoder| {
        let index = u8::try_from(decoder.u64()?).map_err(|_| FieldError::Value)?;
        if index >= PCR_INDEXES {
            return Err(FieldError::Value);
        }
        let value = Pcr::try_from(decoder.bytes()?).map_err(|_| FieldError::Length)?;
        pcrs.insert(index, value).then_some(()).ok_or(FieldError::DuplicateKey)
    })?;
    if pcrs.is_empty() { Err(FieldError::Length) } else { Ok(pcrs) }
}

fn certificate<'a>(decoder: &mut Decoder<'a>) -> Result<&'a [u8], FieldError> {
    let der = decoder.bytes()?;
    (1..=MAX_CERTIFICATE_LEN).contains(&der.len()).then_some(der).ok_or(FieldError::Length)
}

fn cabundle<'a>(decoder: &mut Decoder<'a>) -> Result<Vec<&'a [u8]>, FieldError> {
    let mut ders = Vec::new();
    cbor::array(decoder, |decoder| {
        if ders.len() == MAX_CABUNDLE {
            return Err(FieldError::Length);
        }
        ders.push(certificate(decoder)?);
        Ok(())
    })?;
    if ders.is_empty() { Err(FieldError::Length) } else { Ok(ders) }
}

fn optional<'a>(decoder: &mut Decoder<'a>, max: usize) -> Result<Option<&'a [u8]>, FieldError> {
    let bytes = cbor::bytes_or_null(decoder)?;
    if bytes.is_some_and(|bytes| bytes.len() > max) { Err(FieldError::Length) } else { Ok(bytes) }
}
