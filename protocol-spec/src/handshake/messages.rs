use crate::aead::TAG_LEN;
use crate::codec::{DecodeError, Reader};
use crate::key_config::{KeyId, VERSION};
use crate::suite::Suite;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) const KIND_CLIENT_HELLO: u8 = 1;
pub(crate) const KIND_STREAM_OPEN: u8 = 2;
const KIND_SERVER_HELLO: u8 = 3;

const CLIENT_HELLO_FIXED: usize = 1 + 2 + 2 + 1 + 8;
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);
const MAX_HEAD_SIZES: RangeInclusive<u32> = 1024..=65_536;

/// Length of the longest ServerHello in bytes.
pub const MAX_SERVER_HELLO_LEN: usize = ServerHello::len(Suite::XWingAes256Gcm);

/// The client's message, as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The suite the client chose.
    pub suite: Suite,
    /// Whether frames of stream 0 follow in the same body.
    pub early_data: bool,
    /// Which of the proxy's keys `enc` is for.
    pub key_id: KeyId,
    /// Encapsulation to the enclave's key.
    pub enc: Vec<u8>,
    /// The client's ephemeral public key.
    pub epk: Vec<u8>,
}

impl ClientHello {
    /// Bytes needed to know how long the whole message is.
    pub const PREFIX_LEN: usize = 1 + 2 + 2;

    /// Length of the whole message that begins with `prefix`.
    pub fn len_from_prefix(prefix: &[u8; Self::PREFIX_LEN]) -> Result<usize, DecodeError> {
        Self::read_prefix(&mut Reader::new(prefix)).map(Self::encoded_len)
    }

    fn encoded_len(suite: Suite) -> usize {
        CLIENT_HELLO_FIXED + suite.kem().encapsulated_len() + suite.kem().public_key_len()
    }

    fn read_prefix(reader: &mut Reader<'_>) -> Result<Suite, DecodeError> {
        if reader.u8()? != KIND_CLIENT_HELLO || reader.u16()? != VERSION {
            return Err(DecodeError);
        }
        Suite::from_id(reader.u16()?).ok_or(DecodeError)
    }

    /// Decodes exactly one message.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(encoded);
        let suite = Self::read_prefix(&mut reader)?;
        let early_data = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError),
        };
        let key_id = reader.array()?;
        let enc = reader.bytes(suite.kem().encapsulated_len())?.to_vec();
        let epk = reader.bytes(suite.kem().public_key_len())?.to_vec();
        reader.finish()?;
        Ok(Self { suite, early_data, key_id, enc, epk })
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_len(self.suite));
        out.push(KIND_CLIENT_HELLO);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.suite.id().to_be_bytes());
        out.push(self.early_data.into());
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&self.enc);
        out.extend_from_slice(&self.epk);
        out
    }
}

/// What became of the request offered with the ClientHello (SPEC.md, Section 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyAnswer {
    /// None was offered.
    NotOffered,
    /// It is being served as stream 0.
    Accepted,
    /// It was not dispatched.
    Rejected,
}

/// Lifetimes and limits of a session, set by the proxy and authenticated by the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionParameters {
    /// From the ServerHello on; whole seconds, 1 to 86400.
    pub lifetime: Duration,
    /// Since the last frame; whole seconds, 1 to 2^32 - 1.
    pub idle_timeout: Duration,
    /// Largest request head in bytes, 1024 to 65536.
    pub max_head_size: u32,
    /// Streams the client may have open at once, at least 1.
    pub max_streams: u16,
}

impl SessionParameters {
    fn encode(&self, out: &mut Vec<u8>) {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        out.extend_from_slice(&seconds(self.lifetime).to_be_bytes());
        out.extend_from_slice(&seconds(self.idle_timeout).to_be_bytes());
        out.extend_from_slice(&self.max_head_size.to_be_bytes());
        out.extend_from_slice(&self.max_streams.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let parameters = Self {
            lifetime: Duration::from_secs(reader.u32()?.into()),
            idle_timeout: Duration::from_secs(reader.u32()?.into()),
            max_head_size: reader.u32()?,
            max_streams: reader.u16()?,
        };
        let valid = !parameters.lifetime.is_zero()
            && parameters.lifetime <= MAX_LIFETIME
            && !parameters.idle_timeout.is_zero()
            && MAX_HEAD_SIZES.contains(&parameters.max_head_size)
            && parameters.max_streams > 0;
        if valid { Ok(parameters) } else { Err(DecodeError) }
    }
}

/// The proxy's message.
pub(super) struct ServerHello {
    pub(super) session_id: [u8; 16],
    pub(super) enc2: Vec<u8>,
    pub(super) early_data: EarlyAnswer,
    pub(super) parameters: SessionParameters,
}

impl ServerHello {
    pub(super) const fn len(suite: Suite) -> usize {
        1 + 16 + suite.kem().encapsulated_len() + 1 + 4 + 4 + 4 + 2 + TAG_LEN
    }

    /// Decodes one message; also gives the bytes before the confirmation, and the confirmation.
    pub(super) fn decode(
        suite: Suite,
        encoded: &[u8],
    ) -> Result<(Self, &[u8], &[u8; TAG_LEN]), DecodeError> {
        let (body, confirm) = encoded.split_last_chunk().ok_or(DecodeError)?;
        let mut reader = Reader::new(body);
        if reader.u8()? != KIND_SERVER_HELLO {
            return Err(DecodeError);
        }
        let session_id = reader.array()?;
        let enc2 = reader.bytes(suite.kem().encapsulated_len())?.to_vec();
        let early_data = match reader.u8()? {
            0 => EarlyAnswer::NotOffered,
            1 => EarlyAnswer::Accepted,
            2 => EarlyAnswer::Rejected,
            _ => return Err(DecodeError),
        };
        let parameters = SessionParameters::decode(&mut reader)?;
        reader.finish()?;
        Ok((Self { session_id, enc2, early_data, parameters }, body, confirm))
    }

    /// The encoding without the confirmation.
    pub(super) fn encode_without_confirm(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_SERVER_HELLO_LEN);
        out.push(KIND_SERVER_HELLO);
        out.extend_from_slice(&self.session_id);
        out.extend_from_slice(&self.enc2);
        out.push(match self.early_data {
            EarlyAnswer::NotOffered => 0,
            EarlyAnswer::Accepted => 1,
            EarlyAnswer::Rejected => 2,
        });
        self.parameters.encode(&mut out);
        out
    }
}
