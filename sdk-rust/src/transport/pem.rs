use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The certificates in a PEM file, or the one in a DER file. At least one.
pub(crate) fn certificates(encoded: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    const DER_SEQUENCE: u8 = 0x30;
    if encoded.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateDer::from(encoded.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(encoded).collect();
    match found {
        Ok(found) if found.is_empty() => Err("it holds no certificate in PEM or DER".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::certificates;

    #[test]
    fn pem_or_der() {
        let pem = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates(&pem.repeat(2)).unwrap().len(), 2);
        assert_eq!(certificates(pem).unwrap()[0].as_ref(), [0x30, 0]);
        assert_eq!(certificates(&[0x30, 0]).unwrap()[0].as_ref(), [0x30, 0]);
        for wrong in [&b""[..], b"text", b"-----BEGIN CERTIFICATE-----\n"] {
            assert!(certificates(wrong).is_err());
        }
    }
}
