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
