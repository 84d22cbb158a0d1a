use super::messages::{ClientHello, EarlyAnswer, ServerHello};
use crate::codec::DecodeError;
use crate::evidence::VerifiedEnclave;
use crate::frame::FrameSealer;
use crate::kem::{self, Exporter, KemError, KeyPair};
use crate::key_config::KeyConfig;
use crate::schedule::{self, Hash, SessionSecrets};
use crate::session::ClientSession;
use crate::stream::{MessageOpener, MessageSealer, Request, Response};
use crate::suite::Suite;
use rand_core::CryptoRng;
use std::sync::Arc;

/// Why a client has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer does not hold the attested key, or the messages were changed on the way.
    #[error("the peer did not prove that it holds the attested key")]
    ConfirmationInvalid,
    /// The evidence is too old; get fresh evidence.
    #[error("the verified evidence has expired; fetch fresh evidence")]
    EvidenceExpired,
    /// The attested key is not valid for its KEM, or the peer's encapsulation is not.
    #[error("a key or an encapsulation is invalid for its KEM")]
    KemInvalid,
    /// The ServerHello does not decode.
    #[error("the server hello is malformed")]
    Malformed,
    /// The proxy offers none of the suites allowed.
    #[error("the enclave offers none of the allowed suites")]
    NoCommonSuite,
    /// The answer on early data does not fit what was offered.
    #[error("the server hello answers an early request that was not made, or none that was")]
    UnexpectedEarlyAnswer,
}

impl From<DecodeError> for HandshakeError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl From<KemError> for HandshakeError {
    fn from(_: KemError) -> Self {
        Self::KemInvalid
    }
}

/// A handshake in progress: the ClientHello is made, the ServerHello is awaited.
pub struct ClientHandshake {
    suite: Suite,
    ephemeral: KeyPair,
    context: Exporter,
    thc: Hash,
    valid_until_ms: u64,
}

impl ClientHandshake {
    /// Starts a handshake with a verified enclave; gives the ClientHello to send.
    ///
    /// `allowed` is the client's allow-list in order of preference; `now_ms` is the time in
    /// milliseconds since 1970, on the clock that was used to verify the enclave.
    pub fn start(
        enclave: &VerifiedEnclave,
        allowed: &[Suite],
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        Self::begin_with(enclave, allowed, false, now_ms, rng)
    }

    fn begin_with(
        enclave: &VerifiedEnclave,
        allowed: &[Suite],
        early_data: bool,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        if now_ms >= enclave.valid_until_ms() {
            return Err(HandshakeError::EvidenceExpired);
        }
        Self::begin(enclave.key_config(), enclave.valid_until_ms(), allowed, early_data, rng)
    }

    /// Private: nothing outside this crate can start with keys that no evidence vouches for.
    pub(super) fn begin(
        config: &KeyConfig,
        valid_until_ms: u64,
        allowed: &[Suite],
        early_data: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let entry = allowed
            .iter()
            .find_map(|suite| config.key(*suite))
            .ok_or(HandshakeError::NoCommonSuite)?;
        let suite = entry.suite;
        let ephemeral = KeyPair::generate(suite.kem(), rng);
        let th0 = schedule::th0(&config.hash(), suite, &entry.key_id, ephemeral.public_key());
        let (enc, context) =
            kem::send(suite.kem(), &entry.public_key, &schedule::hello_info(&th0), rng)?;
        let hello = ClientHello {
            suite,
            early_data,
            key_id: entry.key_id,
            enc,
            epk: ephemeral.public_key().to_vec(),
        }
        .encode();
        let thc = schedule::thc(&th0, &hello);
        Ok((Self { suite, ephemeral, context, thc, valid_until_ms }, hello))
    }

    /// The suite chosen.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Length of the ServerHello to come, in bytes.
    pub fn server_hello_len(&self) -> usize {
        ServerHello::len(self.suite)
    }

    /// Verifies the ServerHello. Consumes the handshake: after an error there is nothing to reuse.
    ///
    /// `now_ms` is on the clock that [`start`](Self::start) was given.
    pub fn finish(self, server_hello: &[u8], now_ms: u64) -> Result<ClientSession, HandshakeError> {
        match self.verify(server_hello, now_ms)? {
            (session, EarlyAnswer::NotOffered) => Ok(session),
            _ => Err(HandshakeError::UnexpectedEarlyAnswer),
        }
    }

    fn verify(
        self,
        server_hello: &[u8],
        now_ms: u64,
    ) -> Result<(ClientSession, EarlyAnswer), HandshakeError> {
        if now_ms >= self.valid_until_ms {
            return Err(HandshakeError::EvidenceExpired);
        }
        let (hello, body, confirm) = ServerHello::decode(self.suite, server_hello)?;
        let s = self.ephemeral.receive(&hello.enc2, &schedule::reply_info(&self.thc))?;
        let th1 = schedule::th1(&self.thc, body);
        let secrets = SessionSecrets::derive(&self.context, &s, &th1);
        secrets
            .s2c
            .verify_confirmation(self.suite.aead(), &th1, confirm)
            .map_err(|_| HandshakeError::ConfirmationInvalid)?;
        let session = ClientSession::new(self.suite, hello.session_id, secrets, hello.parameters);
        Ok((session, hello.early_data))
    }
}

/// A handshake in progress whose ClientHello is followed by a request (SPEC.md, Section 12).
///
/// That request has the secrecy of the enclave's keys alone until they are erased, and the host can
/// deliver it at any time until then, though never twice.
pub struct EarlyHandshake(ClientHandshake);

/// What became of a handshake with an early request.
pub struct EarlyOutcome {
    /// The new session.
    pub session: ClientSession,
    /// Opens the response, which follows the ServerHello. None when the request is rejected: it was
    /// not dispatched and never will be, so it may be sent as a stream of the session.
    pub response: Option<MessageOpener<Response>>,
}

impl EarlyHandshake {
    /// Like [`ClientHandshake::start`]. Also gives what seals the early request, stream 0: its frames
    /// go right behind the ClientHello.
    pub fn start(
        enclave: &VerifiedEnclave,
        allowed: &[Suite],
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>, MessageSealer<Request>), HandshakeError> {
        ClientHandshake::begin_with(enclave, allowed, true, now_ms, rng).map(Self::new)
    }

    pub(super) fn new(
        (handshake, hello): (ClientHandshake, Vec<u8>),
    ) -> (Self, Vec<u8>, MessageSealer<Request>) {
        let traffic = schedule::early_traffic_key(&handshake.context, &handshake.thc);
        let frames = FrameSealer::new(handshake.suite, &traffic, 0, Arc::default());
        (Self(handshake), hello, MessageSealer::new(frames))
    }

    /// Length of the ServerHello to come, in bytes.
    pub fn server_hello_len(&self) -> usize {
        self.0.server_hello_len()
    }

    /// Verifies the ServerHello, like [`ClientHandshake::finish`].
    pub fn finish(self, server_hello: &[u8], now_ms: u64) -> Result<EarlyOutcome, HandshakeError> {
        let (session, answer) = self.0.verify(server_hello, now_ms)?;
        let response = match answer {
            EarlyAnswer::Accepted => Some(session.early_response()),
            EarlyAnswer::Rejected => None,
            EarlyAnswer::NotOffered => return Err(HandshakeError::UnexpectedEarlyAnswer),
        };
        Ok(EarlyOutcome { session, response })
    }
}
