use super::messages::{ClientHello, EarlyAnswer, ServerHello, SessionParameters};
use crate::codec::DecodeError;
use crate::kem::{self, Exporter, KemError, KeyPair};
use crate::key_config::{KeyConfig, KeyConfigFields, KeyEntry};
use crate::schedule::{self, Hash, SessionSecrets};
use crate::session::ServerSession;
use crate::suite::{Kem, Suite};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

/// The one answer to everything that depends on a secret (SPEC.md, Section 13.1: 422).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized")]
pub struct Unrecognized;

impl From<KemError> for Unrecognized {
    fn from(_: KemError) -> Self {
        Self
    }
}

/// One generation of a proxy's KEM keys, with the configuration that announces them.
///
/// Dropping it erases the private keys.
pub struct EnclaveKeys {
    pairs: Vec<(Kem, KeyPair)>,
    config: KeyConfig,
    hash: Hash,
}

impl EnclaveKeys {
    /// Generates one key pair per KEM of `suites`.
    ///
    /// `not_after_ms` is on the NSM's clock. Errors when `suites` is empty.
    pub fn generate(
        suites: &[Suite],
        epoch: u64,
        not_after_ms: u64,
        manifest_hash: Hash,
        configuration_hash: Hash,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, DecodeError> {
        let mut suites = suites.to_vec();
        suites.sort_unstable();
        suites.dedup();
        let mut pairs: Vec<(Kem, KeyPair)> = Vec::new();
        let mut keys = Vec::with_capacity(suites.len());
        for suite in suites {
            let kem = suite.kem();
            let index = pairs.iter().position(|(of, _)| *of == kem).unwrap_or_else(|| {
                pairs.push((kem, KeyPair::generate(kem, rng)));
                pairs.len() - 1
            });
            let public_key = pairs[index].1.public_key().to_vec();
            keys.push(KeyEntry { key_id: key_id(&public_key), suite, public_key });
        }
        let config = KeyConfig::new(KeyConfigFields {
            epoch,
            not_after: not_after_ms,
            manifest_hash,
            configuration_hash,
            keys,
        })?;
        let hash = config.hash();
        Ok(Self { pairs, config, hash })
    }

    /// The configuration to be attested.
    pub fn config(&self) -> &KeyConfig {
        &self.config
    }

    /// The key pair of `kem`, for test vectors.
    #[cfg(feature = "dangerous-dev-attester")]
    pub fn dangerous_key_pair(&self, kem: Kem) -> Option<&KeyPair> {
        self.pairs.iter().find(|(of, _)| *of == kem).map(|(_, pair)| pair)
    }

    fn pair_for(&self, hello: &ClientHello) -> Option<&KeyPair> {
        self.config.key(hello.suite).filter(|entry| entry.key_id == hello.key_id)?;
        self.pairs.iter().find(|(kem, _)| *kem == hello.suite.kem()).map(|(_, pair)| pair)
    }
}

/// A different public key gives a different id, also across restarts.
fn key_id(public_key: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(b"steve/3 key id").chain_update(public_key).finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    id
}

/// A handshake in progress: the ClientHello is read, the ServerHello is to be made.
pub struct ServerHandshake {
    suite: Suite,
    epk: Vec<u8>,
    early_data: bool,
    context: Exporter,
    thc: Hash,
}

impl ServerHandshake {
    /// Opens a ClientHello with whichever of `generations` it is for.
    pub fn receive<'a>(
        generations: impl IntoIterator<Item = &'a EnclaveKeys>,
        hello: &ClientHello,
    ) -> Result<Self, Unrecognized> {
        let (keys, pair) = generations
            .into_iter()
            .find_map(|keys| keys.pair_for(hello).map(|pair| (keys, pair)))
            .ok_or(Unrecognized)?;
        let th0 = schedule::th0(&keys.hash, hello.suite, &hello.key_id, &hello.epk);
        let context = pair.receive(&hello.enc, &schedule::hello_info(&th0))?;
        let thc = schedule::thc(&th0, &hello.encode());
        Ok(Self {
            suite: hello.suite,
            epk: hello.epk.clone(),
            early_data: hello.early_data,
            context,
            thc,
        })
    }

    /// Makes the session and the ServerHello. An early request, if one was offered, is rejected:
    /// the client learns, authenticated, that it was not dispatched.
    pub fn reply(
        self,
        parameters: SessionParameters,
        rng: &mut impl CryptoRng,
    ) -> Result<(ServerSession, Vec<u8>), Unrecognized> {
        let (enc2, s) =
            kem::send(self.suite.kem(), &self.epk, &schedule::reply_info(&self.thc), rng)?;
        let mut session_id = [0; 16];
        rng.fill_bytes(&mut session_id);
        let early_data =
            if self.early_data { EarlyAnswer::Rejected } else { EarlyAnswer::NotOffered };
        let mut hello =
            ServerHello { session_id, enc2, early_data, parameters }.encode_without_confirm();
        let th1 = schedule::th1(&self.thc, &hello);
        let secrets = SessionSecrets::derive(&self.context, &s, &th1);
        hello.extend_from_slice(&secrets.s2c.confirmation(self.suite.aead(), &th1));
        Ok((ServerSession::new(self.suite, session_id, secrets, parameters), hello))
    }
}
