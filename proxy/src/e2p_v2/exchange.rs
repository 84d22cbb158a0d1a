//! The key exchanges: X25519 (RFC 7748), and X-Wing (draft-connolly-cfrg-xwing-kem-10).
//!
//! The crate `x-wing` names draft 06. What it computes is what draft 10 says: the label and the order
//! of the combiner's inputs, the expansion of the seed and all lengths are the same, and so are the
//! test vectors.

use rand::CryptoRng;
use steve_protocol::suite::{Kem, Suite};
use x_wing::Encapsulate;
use x25519_dalek::{EphemeralSecret, PublicKey};
use zeroize::{Zeroize, Zeroizing};

/// The client's key material is not a key of this exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidKey;

/// The one key exchange of a deployment: there is no negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyExchange(Kem);

impl KeyExchange {
    /// X-Wing if no other is offered to clients of the present protocol, X25519 otherwise.
    pub(crate) fn beside(suites: &[Suite]) -> Self {
        let only_xwing = suites.iter().all(|suite| suite.kem() == Kem::XWing);
        Self(if only_xwing { Kem::XWing } else { Kem::X25519 })
    }

    /// As messages and documents name it.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Kem::X25519 => "X25519",
            Kem::XWing => "XWING-DRAFT10",
        }
    }

    /// The server's key material and the shared secret.
    pub(super) fn respond(
        self,
        client_key_material: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), InvalidKey> {
        match self.0 {
            Kem::X25519 => x25519(client_key_material, rng),
            Kem::XWing => xwing(client_key_material, rng),
        }
    }
}

fn x25519(
    client: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), InvalidKey> {
    let client = <[u8; 32]>::try_from(client).map_err(|_| InvalidKey)?;
    let own = EphemeralSecret::random_from_rng(rng);
    let material = PublicKey::from(&own).as_bytes().to_vec();
    let shared = own.diffie_hellman(&PublicKey::from(client));
    // RFC 7748, Section 6.1: a point of small order would make the secret known to everybody.
    if !shared.was_contributory() {
        return Err(InvalidKey);
    }
    Ok((material, Zeroizing::new(shared.to_bytes())))
}

fn xwing(
    client: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), InvalidKey> {
    let key = x_wing::EncapsulationKey::try_from(client).map_err(|_| InvalidKey)?;
    let (ciphertext, mut secret) = key.encapsulate_with_rng(rng);
    let shared = Zeroizing::new(secret.0);
    secret.zeroize();
    Ok((ciphertext.to_vec(), shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{TryCryptoRng, TryRng};
    use sha2::{Digest, Sha256};
    use std::convert::Infallible;
    use x_wing::{Decapsulate, KeyExport, KeyInit};

    /// Gives the bytes of a test vector.
    struct Given<'a>(&'a [u8]);

    impl TryRng for Given<'_> {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            let mut bytes = [0; 4];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            let mut bytes = [0; 8];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            let (now, later) = self.0.split_at(out.len());
            out.copy_from_slice(now);
            self.0 = later;
            Ok(())
        }
    }

    impl TryCryptoRng for Given<'_> {}

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// The first test vector of draft-connolly-cfrg-xwing-kem, with key and ciphertext as SHA-256.
    #[test]
    fn xwing_as_in_the_draft() {
        let seed = unhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26");
        let random = unhex(
            "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
             35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
        );
        let secret = unhex("d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384");
        let public = "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb";
        let sent = "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33";
        let own = x_wing::DecapsulationKey::new_from_slice(&seed).unwrap();
        let material = x_wing::Decapsulator::encapsulation_key(&own).to_bytes();
        assert_eq!(material.len(), 1216);
        assert_eq!(Sha256::digest(material).to_vec(), unhex(public));
        let (ciphertext, shared) =
            KeyExchange(Kem::XWing).respond(&material, &mut Given(&random)).unwrap();
        assert_eq!(ciphertext.len(), 1120);
        assert_eq!(Sha256::digest(&ciphertext).to_vec(), unhex(sent));
        assert_eq!(shared.to_vec(), secret);
        let received = own.decapsulate(&ciphertext.as_slice().try_into().unwrap());
        assert_eq!(received.to_vec(), secret);
    }

    #[test]
    fn refuses_what_is_no_key() {
        let respond = |kem, material: &[u8]| {
            KeyExchange(kem).respond(material, &mut Given(&[1; 64])).map(|(one, _)| one.len())
        };
        assert_eq!(respond(Kem::X25519, &[9; 32]), Ok(32));
        assert_eq!(respond(Kem::X25519, &[9; 31]), Err(InvalidKey));
        assert_eq!(respond(Kem::X25519, &[0; 32]), Err(InvalidKey), "of small order");
        assert_eq!(respond(Kem::XWing, &[9; 1215]), Err(InvalidKey));
        assert_eq!(respond(Kem::XWing, &[0xff; 1216]), Err(InvalidKey), "beyond the modulus");
    }

    #[test]
    fn follows_the_suites() {
        assert_eq!(KeyExchange::beside(&Suite::ALL).name(), "X25519");
        assert_eq!(KeyExchange::beside(&[Suite::XWingAes256Gcm]).name(), "XWING-DRAFT10");
        assert_eq!(KeyExchange::beside(&[Suite::X25519Aes256Gcm]).name(), "X25519");
    }
}
