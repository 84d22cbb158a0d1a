//! The back end without C: all of HPKE by the crate `hpke`.

use super::KemError;
use crate::suite::Kem;
use hpke::aead::{AeadCtxR, AeadCtxS, ExportOnlyAead};
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as HpkeKem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use rand_core::CryptoRng;

/// Boxed: what is moved leaves a copy behind that nothing erases.
type SenderContext<K> = Box<AeadCtxS<ExportOnlyAead, HkdfSha256, K>>;
/// Boxed for the same reason.
type ReceiverContext<K> = Box<AeadCtxR<ExportOnlyAead, HkdfSha256, K>>;
type Private<K> = <K as HpkeKem>::PrivateKey;

pub(super) enum PrivateKey {
    X25519(Box<Private<X25519HkdfSha256>>),
    XWing(Box<Private<XWing>>),
}

impl PrivateKey {
    /// A fresh key, and the encoded public key.
    pub(super) fn generate(kem: Kem, rng: &mut impl CryptoRng) -> (Self, Vec<u8>) {
        match kem {
            Kem::X25519 => {
                let (private, public) = X25519HkdfSha256::gen_keypair_with_rng(rng);
                (Self::X25519(Box::new(private)), public.to_bytes().to_vec())
            }
            Kem::XWing => {
                let (private, public) = XWing::gen_keypair_with_rng(rng);
                (Self::XWing(Box::new(private)), public.to_bytes().to_vec())
            }
        }
    }

    /// `SetupBaseR`.
    pub(super) fn receive(&self, enc: &[u8], info: &[u8]) -> Result<Context, KemError> {
        match self {
            Self::X25519(key) => {
                receive::<X25519HkdfSha256>(key, enc, info).map(Context::X25519Receiver)
            }
            Self::XWing(key) => receive::<XWing>(key, enc, info).map(Context::XWingReceiver),
        }
    }

    /// The encoded private key.
    #[cfg(feature = "dangerous-dev-attester")]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::X25519(key) => key.to_bytes().to_vec(),
            Self::XWing(key) => key.to_bytes().to_vec(),
        }
    }
}

/// `SetupBaseS`.
pub(super) fn send(
    kem: Kem,
    public_key: &[u8],
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Context), KemError> {
    match kem {
        Kem::X25519 => setup_send::<X25519HkdfSha256>(public_key, info, rng)
            .map(|(enc, context)| (enc, Context::X25519Sender(context))),
        Kem::XWing => setup_send::<XWing>(public_key, info, rng)
            .map(|(enc, context)| (enc, Context::XWingSender(context))),
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

pub(super) enum Context {
    X25519Sender(SenderContext<X25519HkdfSha256>),
    X25519Receiver(ReceiverContext<X25519HkdfSha256>),
    XWingSender(SenderContext<XWing>),
    XWingReceiver(ReceiverContext<XWing>),
}

impl Context {
    /// `Context.Export`.
    pub(super) fn export(&self, context: &[u8], out: &mut [u8; 32]) {
        match self {
            Self::X25519Sender(ctx) => ctx.export(context, out),
            Self::X25519Receiver(ctx) => ctx.export(context, out),
            Self::XWingSender(ctx) => ctx.export(context, out),
            Self::XWingReceiver(ctx) => ctx.export(context, out),
        }
        .expect("32 bytes are within the limit of HKDF-Expand");
    }
}
