use super::early::PendingEarly;
use super::memory::EarlyMemory;
use super::messages::{ClientHello, EarlyAnswer, ServerHello, SessionParameters};
use crate::codec::DecodeError;
use crate::kem::{self, Exporter, KemError, KeyPair};
use crate::key_config::{Instance, KeyConfig, KeyConfigFields, KeyEntry};
use crate::schedule::{self, Hash, SessionSecrets, TrafficKey};
use crate::session::ServerSession;
use crate::suite::{Kem, Suite};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use std::sync::Arc;

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
/// Dropping it erases the private keys, and the memory of the early requests that were made to them.
pub struct EnclaveKeys {
    pairs: Vec<(Kem, KeyPair)>,
    config: KeyConfig,
    hash: Hash,
    early: Arc<EarlyMemory>,
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
        let mut instance = Instance::default();
        rng.fill_bytes(&mut instance);
        let config = KeyConfig::new(KeyConfigFields {
            epoch,
            not_after: not_after_ms,
            instance,
            manifest_hash,
            configuration_hash,
            keys,
        })?;
        let hash = config.hash();
        Ok(Self { pairs, config, hash, early: Arc::new(EarlyMemory::new(0)) })
    }

    /// Announces `instance` instead of a random one: all keys of one process, and no others, have
    /// the same. To be called before the keys are announced.
    pub fn for_instance(mut self, instance: Instance) -> Result<Self, DecodeError> {
        let fields = KeyConfigFields { instance, ..self.config.fields().clone() };
        self.config = KeyConfig::new(fields)?;
        self.hash = self.config.hash();
        Ok(self)
    }

    /// Accepts up to `capacity` early requests to these keys; without this, none. Each takes less
    /// than 80 bytes of memory, which are taken now.
    ///
    /// To be called before the keys are announced: what was rejected must stay rejected.
    pub fn with_early_requests(mut self, capacity: usize) -> Self {
        self.early = Arc::new(EarlyMemory::new(capacity));
        self
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

impl Drop for EnclaveKeys {
    /// An early request that is being read meanwhile must not take an empty memory for proof that it
    /// is new.
    fn drop(&mut self) {
        self.early.erase();
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
    /// SHA-256 of `enc`.
    enc: Hash,
    early: Arc<EarlyMemory>,
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
            enc: Sha256::digest(&hello.enc).into(),
            early: keys.early.clone(),
        })
    }

    /// True when frames of an early request follow the ClientHello.
    pub fn offers_early(&self) -> bool {
        self.early_data
    }

    /// The early request that follows the ClientHello; none if none was offered.
    pub fn early(self) -> Option<Box<PendingEarly>> {
        self.early_data.then(|| Box::new(PendingEarly::new(self)))
    }

    pub(super) fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) fn early_traffic_key(&self) -> Box<TrafficKey> {
        schedule::early_traffic_key(&self.context, &self.thc)
    }

    /// Makes the session and the ServerHello. An early request, if one was offered, is rejected unread:
    /// the client learns, authenticated, that it was not dispatched, and no copy of it is accepted
    /// later. An error if one was accepted before.
    pub fn reply(
        self,
        parameters: SessionParameters,
        rng: &mut impl CryptoRng,
    ) -> Result<(ServerSession, Vec<u8>), Unrecognized> {
        let offered = self.early_data;
        self.conclude(parameters, rng, |memory, enc| {
            if !offered {
                return Ok(EarlyAnswer::NotOffered);
            }
            memory.record(enc).map(|_| EarlyAnswer::Rejected)
        })
    }

    /// `decide` is asked about the early request when nothing else can fail any more.
    pub(super) fn conclude(
        self,
        parameters: SessionParameters,
        rng: &mut impl CryptoRng,
        decide: impl FnOnce(&EarlyMemory, &Hash) -> Result<EarlyAnswer, Unrecognized>,
    ) -> Result<(ServerSession, Vec<u8>), Unrecognized> {
        let (enc2, s) =
            kem::send(self.suite.kem(), &self.epk, &schedule::reply_info(&self.thc), rng)?;
        let mut session_id = [0; 16];
        rng.fill_bytes(&mut session_id);
        let early_data = decide(&self.early, &self.enc)?;
        let mut hello =
            ServerHello { session_id, enc2, early_data, parameters }.encode_without_confirm();
        let th1 = schedule::th1(&self.thc, &hello);
        let secrets = SessionSecrets::derive(&self.context, &s, &th1);
        hello.extend_from_slice(&secrets.s2c.confirmation(self.suite.aead(), &th1));
        Ok((ServerSession::new(self.suite, session_id, secrets, parameters), hello))
    }
}
