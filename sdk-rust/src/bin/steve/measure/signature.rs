//! The signature section: CBOR, an array of maps with the members `signing_certificate` (PEM) and
//! `signature`, each an array of numbers as serde writes `Vec<u8>`.

use minicbor::Decoder;
use minicbor::data::Type;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The section is not what image builders write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("is not the CBOR that image builders write")]
    Cbor,
    #[error("does not hold exactly one signature")]
    Count,
    #[error("holds no certificate in PEM")]
    Certificate,
}

impl From<minicbor::decode::Error> for SignatureError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Cbor
    }
}

/// DER of the certificate of the one who signed PCR0. Neither it nor the signature is checked here:
/// the Nitro hypervisor does that before it boots the image.
pub(super) fn certificate(section: &[u8]) -> Result<CertificateDer<'static>, SignatureError> {
    let mut decoder = Decoder::new(section);
    if decoder.array()? != Some(1) {
        return Err(SignatureError::Count);
    }
    let mut pem = None;
    for _ in 0..decoder.map()?.ok_or(SignatureError::Cbor)? {
        match decoder.str()? {
            "signing_certificate" if pem.is_none() => pem = Some(bytes(&mut decoder)?),
            "signature" => drop(bytes(&mut decoder)?),
            _ => return Err(SignatureError::Cbor),
        }
    }
    if decoder.position() != section.len() {
        return Err(SignatureError::Cbor);
    }
    let pem = pem.ok_or(SignatureError::Certificate)?;
    CertificateDer::from_pem_slice(&pem).map_err(|_| SignatureError::Certificate)
}

fn bytes(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, SignatureError> {
    if decoder.datatype()? == Type::Bytes {
        return Ok(decoder.bytes()?.to_vec());
    }
    let mut bytes = Vec::new();
    for _ in 0..decoder.array()?.ok_or(SignatureError::Cbor)? {
        bytes.push(decoder.u8()?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(certificate: &[u8]) -> Vec<u8> {
        let mut encoder = minicbor::Encoder::new(Vec::new());
        encoder.array(1).unwrap().map(2).unwrap().str("signing_certificate").unwrap();
        encoder.array(certificate.len() as u64).unwrap();
        for byte in certificate {
            encoder.u8(*byte).unwrap();
        }
        encoder.str("signature").unwrap().bytes(&[1, 2]).unwrap();
        encoder.into_writer()
    }

    #[test]
    fn the_first_certificate_counts() {
        let pem = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let found = certificate(&section(pem)).unwrap();
        assert_eq!(found.as_ref(), [0x30, 0]);
        assert_eq!(certificate(&section(b"MAA=")), Err(SignatureError::Certificate));
    }

    #[test]
    fn other_cbor_is_refused() {
        let good = section(b"x");
        for cut in 0..good.len() {
            assert!(certificate(&good[..cut]).is_err(), "{cut}");
        }
        assert_eq!(certificate(&[&good[..], &[0]].concat()), Err(SignatureError::Cbor));
        assert_eq!(certificate(&[0x82, 0xa0, 0xa0]), Err(SignatureError::Count));
        assert_eq!(certificate(&[0x80]), Err(SignatureError::Count));
        // An array that claims more than there is must not be believed.
        let claim = [&[0x81, 0xa1, 0x69][..], b"signature", &[0x9b; 9]].concat();
        assert_eq!(certificate(&claim), Err(SignatureError::Cbor));
    }
}
