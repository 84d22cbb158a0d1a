//! The client's side of Oblivious HTTP (RFC 9458), with X25519, HKDF-SHA256 and AES-128-GCM.
//!
//! A request is encapsulated once and sent many times, as the gateway remembers none: it costs the
//! generator nothing, and the gateway all that a new one would. Answers are opened one by one.

use crate::Result;
use crate::request::Request;
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, KeyInit, Nonce};
use bhttp::{Message, Mode};
use bytes::Bytes;
use hkdf::Hkdf;
use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable, setup_sender_with_rng};
use sha2::Sha256;
use std::io::Cursor;

/// Key id, then KEM X25519, KDF HKDF-SHA256 and AEAD AES-128-GCM.
const HEADER: [u8; 7] = [1, 0, 0x20, 0, 1, 0, 1];
const KEY_OFFSET: usize = 3;
const KEY_LENGTH: usize = 32;
/// Of the AEAD; also that of the nonce of an answer, and of the secret behind both.
const KEY_LEN: usize = 16;
const NONCE_LEN: usize = 12;

/// A gateway's public key.
pub(crate) type GatewayKey = <X25519HkdfSha256 as Kem>::PublicKey;

/// Takes the key out of a key configuration (RFC 9458, Section 3.1).
pub(crate) fn gateway_key(config: &[u8]) -> Result<GatewayKey> {
    let key = config.get(KEY_OFFSET..KEY_OFFSET + KEY_LENGTH).ok_or("no key configuration")?;
    Ok(GatewayKey::from_bytes(key).map_err(|error| error.to_string())?)
}

/// One encapsulated request, and what opens its answers.
pub(crate) struct Oblivious {
    key: GatewayKey,
    sealed: Option<(String, Vec<u8>)>,
    enc: Vec<u8>,
    secret: [u8; KEY_LEN],
}

impl Oblivious {
    pub(crate) fn new(key: &GatewayKey) -> Result<Self> {
        Ok(Self { key: key.clone(), sealed: None, enc: Vec::new(), secret: [0; KEY_LEN] })
    }

    /// The encapsulated request.
    pub(crate) fn request(&mut self, request: &Request) -> Result<&[u8]> {
        if self.sealed.as_ref().is_none_or(|(path, _)| *path != request.path) {
            let sealed = self.seal(request)?;
            self.sealed = Some((request.path.clone(), sealed));
        }
        Ok(self.sealed.as_ref().map_or(&[], |(_, sealed)| sealed))
    }

    fn seal(&mut self, request: &Request) -> Result<Vec<u8>> {
        let mut message = Message::request(
            request.method.into(),
            b"https".to_vec(),
            b"localhost".to_vec(),
            request.path.clone().into(),
        );
        for piece in request.pieces() {
            message.write_content(piece);
        }
        let mut encoded = Vec::new();
        message.write_bhttp(Mode::KnownLength, &mut encoded)?;
        let info = [b"message/bhttp request\0".as_slice(), &HEADER].concat();
        let (enc, mut context) = setup_sender_with_rng::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &self.key,
            &info,
            &mut crate::steve::rng()?,
        )
        .map_err(|error| error.to_string())?;
        let sealed = context.seal(&encoded, b"").map_err(|error| error.to_string())?;
        context
            .export(b"message/bhttp response", &mut self.secret)
            .map_err(|error| error.to_string())?;
        self.enc = enc.to_bytes().to_vec();
        Ok([&HEADER[..], &self.enc, &sealed].concat())
    }

    /// The body of an answer, which must be a 200.
    pub(crate) fn response(&self, sealed: &[u8]) -> Result<Bytes> {
        let (nonce, sealed) = sealed.split_at_checked(KEY_LEN).ok_or("a short answer")?;
        let (_, hkdf) = Hkdf::<Sha256>::extract(Some(&[&self.enc, nonce].concat()), &self.secret);
        let (mut key, mut iv) = ([0; KEY_LEN], [0; NONCE_LEN]);
        hkdf.expand(b"key", &mut key).map_err(|error| error.to_string())?;
        hkdf.expand(b"nonce", &mut iv).map_err(|error| error.to_string())?;
        let cipher = Aes128Gcm::new_from_slice(&key)?;
        let plain = cipher.decrypt(&Nonce::<Aes128Gcm>::from(iv), sealed);
        let plain = plain.map_err(|_| "an answer does not authenticate")?;
        let message = Message::read_bhttp(&mut Cursor::new(plain))?;
        match message.control().status().map(|status| status.code()) {
            Some(200) => Ok(Bytes::copy_from_slice(message.content())),
            status => Err(format!("inner status {status:?}").into()),
        }
    }
}
