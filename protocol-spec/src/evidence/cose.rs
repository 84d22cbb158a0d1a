//! COSE_Sign1 (RFC 9052, Section 4.2) as the NSM makes it (SPEC.md, Section 7, check `cose`).

use super::cbor;
use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error};

/// Largest payload in bytes.
const MAX_PAYLOAD_LEN: usize = 16384;
/// Length of an ES384 signature in bytes.
pub(super) const SIGNATURE_LEN: usize = 96;
/// CBOR tag of COSE_Sign1; the NSM leaves it away.
const TAG: u64 = 18;
/// The map {1: -35}: alg is ES384, and nothing else.
pub(super) const PROTECTED_HEADER: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// Why a document is not a COSE_Sign1 structure as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoseError {
    /// It is longer than 16384 bytes.
    #[error("longer than 16384 bytes")]
    TooLong,
    /// It is not well-formed CBOR, or not an array of 4 of the right types.
    #[error("not an array of protected header, unprotected header, payload and signature")]
    Malformed,
    /// Something follows it.
    #[error("bytes follow the structure")]
    TrailingBytes,
    /// It carries a tag other than 18.
    #[error("tagged as something else")]
    Tag,
    /// The protected header is not exactly {1: -35}.
    #[error("the protected header is not {{1: -35}} (ES384)")]
    ProtectedHeader,
    /// The unprotected header is not empty.
    #[error("the unprotected header is not empty")]
    UnprotectedHeader,
    /// The payload is not 1 to 16384 bytes.
    #[error("the payload is not 1 to 16384 bytes long")]
    PayloadLength,
    /// The signature is not 96 bytes.
    #[error("the signature is not 96 bytes long")]
    SignatureLength,
}

impl From<Error> for CoseError {
    fn from(_: Error) -> Self {
        Self::Malformed
    }
}

/// The parts of a COSE_Sign1, as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoseSign1<'a> {
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> CoseSign1<'a> {
    /// Decodes the structure; the signature is not verified.
    pub(super) fn decode(input: &'a [u8]) -> Result<Self, CoseError> {
        if input.len() > super::MAX_DOCUMENT_LEN {
            return Err(CoseError::TooLong);
        }
        let mut decoder = Decoder::new(input);
        if decoder.datatype()? == Type::Tag && decoder.tag()? != Tag::new(TAG) {
            return Err(CoseError::Tag);
        }
        let len = decoder.array()?;
        if len.is_some_and(|len| len != 4) {
            return Err(CoseError::Malformed);
        }
        let protected = decoder.bytes()?;
        if protected != PROTECTED_HEADER {
            return Err(CoseError::ProtectedHeader);
        }
        cbor::map(&mut decoder, |_| Err(CoseError::UnprotectedHeader))?;
        let payload = decoder.bytes()?;
        if !(1..=MAX_PAYLOAD_LEN).contains(&payload.len()) {
            return Err(CoseError::PayloadLength);
        }
        let signature = decoder.bytes()?;
        if signature.len() != SIGNATURE_LEN {
            return Err(CoseError::SignatureLength);
        }
        if len.is_none() {
            if decoder.datatype()? != Type::Break {
                return Err(CoseError::Malformed);
            }
            decoder.set_position(decoder.position() + 1);
        }
        if !cbor::at_end(&decoder) {
            return Err(CoseError::TrailingBytes);
        }
        Ok(Self { payload, signature })
    }

    /// What the signature is over.
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        sig_structure(self.payload)
    }
}

/// ["Signature1", protected, h'', payload] (RFC 9052, Section 4.4), in shortest form.
pub(super) fn sig_structure(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + payload.len());
    out.extend_from_slice(b"\x84\x6aSignature1");
    put_bytes(&mut out, PROTECTED_HEADER);
    put_bytes(&mut out, b"");
    put_bytes(&mut out, payload);
    out
}

/// Appends a CBOR byte string. Callers have checked that the length fits 16 bits.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    match bytes.len() {
        len @ 0..24 => out.push(0x40 | len as u8),
        len @ 24..256 => out.extend_from_slice(&[0x58, len as u8]),
        len => {
            out.push(0x59);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// array(4), {1: -35}, {}, payload of 1 byte, signature of zeros
    fn structure() -> Vec<u8> {
        [&[0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x41, 0x07, 0x58, 96][..], &[0; 96]].concat()
    }

    fn error(input: &[u8]) -> Option<CoseError> {
        CoseSign1::decode(input).err()
    }

    #[test]
    fn row_14_accepts_tag_and_indefinite_lengths() {
        assert_eq!(error(&structure()), None);
        for tag in [&[0xd2][..], &[0xd8, 18], &[0xd9, 0, 18]] {
            assert_eq!(error(&[tag, &structure()].concat()), None);
        }
        let mut indefinite = structure();
        indefinite[0] = 0x9f;
        indefinite.push(0xff);
        assert_eq!(error(&indefinite), None);
        let parts = [&[0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xbf, 0xff][..], &structure()[7..]];
        assert_eq!(error(&parts.concat()), None);
    }

    #[test]
    fn row_13_refuses_everything_else() {
        let with = |start: &[u8]| [start, &structure()[7..]].concat();
        let end = |payload: &[u8]| [&structure()[..7], payload].concat();
        let cases: [(Vec<u8>, CoseError); 19] = [
            (vec![], CoseError::Malformed),
            ([&[0xd1][..], &structure()].concat(), CoseError::Tag),
            ([&[0xd2, 0xd2][..], &structure()].concat(), CoseError::Malformed),
            ([&structure()[..], &[0]].concat(), CoseError::TrailingBytes),
            (with(&[0x83, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0]), CoseError::Malformed),
            (with(&[0x85, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0]), CoseError::Malformed),
            (with(&[0x84, 0x40, 0xa0]), CoseError::ProtectedHeader),
            (with(&[0x84, 0x41, 0xa0, 0xa0]), CoseError::ProtectedHeader),
            // ES256; then ES384 of indefinite length, in longer form, with a second parameter, twice
            // and with bytes after it
            (with(&[0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0]), CoseError::ProtectedHeader),
            (with(b"\x84\x45\xbf\x01\x38\x22\xff\xa0"), CoseError::ProtectedHeader),
            (with(b"\x84\x45\xa1\x01\x39\x00\x22\xa0"), CoseError::ProtectedHeader),
            (with(b"\x84\x46\xa2\x01\x38\x22\x04\x40\xa0"), CoseError::ProtectedHeader),
            (with(b"\x84\x47\xa2\x01\x38\x22\x01\x38\x22\xa0"), CoseError::ProtectedHeader),
            (with(b"\x84\x45\xa1\x01\x38\x22\x00\xa0"), CoseError::ProtectedHeader),
            (with(b"\x84\x44\xa1\x01\x38\x22\xa1\x04\x40"), CoseError::UnprotectedHeader),
            (end(&[0x40, 0x58, 96]), CoseError::PayloadLength),
            (end(&[0xf6, 0x58, 96]), CoseError::Malformed),
            (end(&[&[0x41, 7, 0x58, 95][..], &[0; 95]].concat()), CoseError::SignatureLength),
            (vec![0; 16385], CoseError::TooLong),
        ];
        for (input, expected) in cases {
            assert_eq!(error(&input), Some(expected), "{:02x?}", &input[..input.len().min(12)]);
        }
        for len in 0..structure().len() {
            assert_eq!(error(&structure()[..len]), Some(CoseError::Malformed), "{len}");
        }
    }

    #[test]
    fn the_signed_bytes_are_those_of_rfc9052() {
        let signed = CoseSign1::decode(&structure()).unwrap().signed_bytes();
        assert_eq!(signed, b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40\x41\x07");
        for (len, head) in [(23, &b"\x57"[..]), (24, b"\x58\x18"), (256, b"\x59\x01\x00")] {
            let signed = sig_structure(&vec![7; len]);
            assert_eq!(&signed[18..signed.len() - len], head);
        }
    }
}
