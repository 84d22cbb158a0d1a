//! HPKE (RFC 9180) in base mode with export-only contexts, over the two KEMs of the suites.
//!
//! HPKE gives the secrets; the frames of this protocol carry the data.

use crate::suite::Kem;
use hpke::aead::{AeadCtxR, AeadCtxS, ExportOnlyAead};
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as HpkeKem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// A public or encapsulated key is not valid for the KEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid KEM key or encapsulation")]
pub struct KemError;

/// Boxed: what is moved leaves a copy behind that nothing erases.
type SenderContext<K> = Box<AeadCtxS<ExportOnlyAead, HkdfSha256, K>>;
/// Boxed for the same reason.
type ReceiverContext<K> = Box<AeadCtxR<ExportOnlyAead, HkdfSha256, K>>;
type Private<K> = <K as HpkeKem>::PrivateKey;

/// A KEM key pair. The private key stays in one place on the heap, and is erased when the pair is
/// dropped.
pub struct KeyPair {
    private: PrivateKey,
    public: Vec<u8>,
}

enum PrivateKey {
    X25519(Box<Private<X25519HkdfSha256>>),
    XWing(Box<Private<XWing>>),
}

impl KeyPair {
    /// Generates a fresh pair.
    pub fn generate(kem: Kem, rng: &mut impl CryptoRng) -> Self {
        match kem {
            Kem::X25519 => {
                let (private, public) = X25519HkdfSha256::gen_keypair_with_rng(rng);
                Self {
                    private: PrivateKey::X25519(Box::new(private)),
                    public: public.to_bytes().to_vec(),
                }
            }
            Kem::XWing => {
                let (private, public) = XWing::gen_keypair_with_rng(rng);
                Self {
                    private: PrivateKey::XWing(Box::new(private)),
                    public: public.to_bytes().to_vec(),
                }
            }
        }
    }

    /// The encoded public key, Npk bytes.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// `SetupBaseR(enc, private key, info)`.
    pub fn receive(&self, enc: &[u8], info: &[u8]) -> Result<Exporter, KemError> {
        match &self.private {
            PrivateKey::X25519(key) => {
                receive::<X25519HkdfSha256>(key, enc, info).map(Exporter::X25519Receiver)
            }
            PrivateKey::XWing(key) => receive::<XWing>(key, enc, info).map(Exporter::XWingReceiver),
        }
    }

    /// The private key, for test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_private_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match &self.private {
            PrivateKey::X25519(key) => key.to_bytes().to_vec(),
            PrivateKey::XWing(key) => key.to_bytes().to_vec(),
        })
    }
}

/// `SetupBaseS(public key, info)`: the encapsulated key and the context.
pub fn send(
    kem: Kem,
    public_key: &[u8],
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Exporter), KemError> {
    match kem {
        Kem::X25519 => setup_send::<X25519HkdfSha256>(public_key, info, rng)
            .map(|(enc, context)| (enc, Exporter::X25519Sender(context))),
        Kem::XWing => setup_send::<XWing>(public_key, info, rng)
            .map(|(enc, context)| (enc, Exporter::XWingSender(context))),
    }
}

fn setup_send<K: HpkeKem>(
    public_key: &[u8],
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, SenderContext<K>), KemError> {
    let public_key = K::PublicKey::from_bytes(public_key).map_err(|_| KemError)?;
    let (enc, context) = setup_sender_with_rng::<_, _, K>(&OpModeS::Base, &public_key, info, rng)
        .map_err(|_| KemError)?;
    Ok((enc.to_bytes().to_vec(), Box::new(context)))
}

fn receive<K: HpkeKem>(
    key: &K::PrivateKey,
    enc: &[u8],
    info: &[u8],
) -> Result<ReceiverContext<K>, KemError> {
    let enc = K::EncappedKey::from_bytes(enc).map_err(|_| KemError)?;
    setup_receiver(&OpModeR::Base, key, &enc, info).map(Box::new).map_err(|_| KemError)
}

/// One end of an HPKE context, good for exporting secrets and nothing else.
pub enum Exporter {
    /// Sender's context over X25519.
    X25519Sender(SenderContext<X25519HkdfSha256>),
    /// Receiver's context over X25519.
    X25519Receiver(ReceiverContext<X25519HkdfSha256>),
    /// Sender's context over X-Wing.
    XWingSender(SenderContext<XWing>),
    /// Receiver's context over X-Wing.
    XWingReceiver(ReceiverContext<XWing>),
}

impl Exporter {
    /// `Context.Export(context, 32)` (RFC 9180, Section 5.3).
    pub fn export(&self, context: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        match self {
            Self::X25519Sender(ctx) => ctx.export(context, out.as_mut()),
            Self::X25519Receiver(ctx) => ctx.export(context, out.as_mut()),
            Self::XWingSender(ctx) => ctx.export(context, out.as_mut()),
            Self::XWingReceiver(ctx) => ctx.export(context, out.as_mut()),
        }
        .expect("32 bytes are within the limit of HKDF-Expand");
        out
    }
}
