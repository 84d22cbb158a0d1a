//! The messages of the three resources.

use super::cbor::{Malformed, Reader, once, whole_map};
use minicbor::Encoder;
use minicbor::encode::Error;
use std::convert::Infallible;
use std::ops::Range;

const VERSION: u64 = 2;

pub(crate) type SessionId = [u8; 16];

/// Body of a request to `session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest<'a> {
    pub(crate) key_exchange: &'a str,
    pub(crate) client_nonce: &'a [u8; 32],
    pub(crate) client_key_material: &'a [u8],
    pub(crate) context_hash: &'a [u8; 32],
}

impl<'a> SessionRequest<'a> {
    pub(crate) fn decode(input: &'a [u8]) -> Result<Self, Malformed> {
        let mut version = None;
        let (mut key_exchange, mut client_nonce) = (None, None);
        let (mut client_key_material, mut context_hash) = (None, None);
        whole_map(input, |key, reader| match key {
            "version" => once(&mut version, read_version(reader)?),
            "key_exchange" => once(&mut key_exchange, reader.text()?),
            "client_nonce" => once(&mut client_nonce, reader.array()?),
            "client_key_material" => once(&mut client_key_material, reader.bytes()?),
            "context_hash" => once(&mut context_hash, reader.array()?),
            _ => Err(Malformed),
        })?;
        version.ok_or(Malformed)?;
        Ok(Self {
            key_exchange: key_exchange.ok_or(Malformed)?,
            client_nonce: client_nonce.ok_or(Malformed)?,
            client_key_material: client_key_material.ok_or(Malformed)?,
            context_hash: context_hash.ok_or(Malformed)?,
        })
    }
}

/// Body of the answer to it.
pub(crate) struct SessionReply<'a> {
    pub(crate) key_exchange: &'a str,
    pub(crate) session_id: &'a SessionId,
    pub(crate) server_key_material: &'a [u8],
    pub(crate) attestation_document: &'a [u8],
    pub(crate) expires_in_seconds: u64,
}

impl SessionReply<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(|out| {
            out.map(6)?.str("version")?.u64(VERSION)?;
            out.str("key_exchange")?.str(self.key_exchange)?;
            out.str("session_id")?.bytes(self.session_id)?;
            out.str("server_key_material")?.bytes(self.server_key_material)?;
            out.str("attestation_document")?.bytes(self.attestation_document)?;
            out.str("expires_in_seconds")?.u64(self.expires_in_seconds)?;
            Ok(())
        })
    }
}

/// Body of a request to `confirm` and `request`, and of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) session_id: SessionId,
    pub(crate) sequence: u64,
    /// Where in the message the ciphertext with its tag is.
    pub(crate) ciphertext: Range<usize>,
}

impl Envelope {
    pub(crate) fn decode(input: &[u8]) -> Result<Self, Malformed> {
        let (mut version, mut session_id) = (None, None);
        let (mut sequence, mut ciphertext) = (None, None);
        whole_map(input, |key, reader| match key {
            "version" => once(&mut version, read_version(reader)?),
            "session_id" => once(&mut session_id, *reader.array()?),
            "sequence" => once(&mut sequence, u64::from_be_bytes(*reader.array()?)),
            "ciphertext" => {
                let len = reader.bytes()?.len();
                once(&mut ciphertext, reader.position() - len..reader.position())
            }
            _ => Err(Malformed),
        })?;
        version.ok_or(Malformed)?;
        Ok(Self {
            session_id: session_id.ok_or(Malformed)?,
            sequence: sequence.ok_or(Malformed)?,
            ciphertext: ciphertext.ok_or(Malformed)?,
        })
    }

    /// All of a message before its ciphertext of `len` bytes, which ends it.
    pub(crate) fn head(session_id: &SessionId, sequence: u64, len: usize) -> Vec<u8> {
        encoded(|out| {
            out.map(4)?.str("version")?.u64(VERSION)?;
            out.str("session_id")?.bytes(session_id)?;
            out.str("sequence")?.bytes(&sequence.to_be_bytes())?;
            out.str("ciphertext")?.bytes_len(len as u64)?;
            Ok(())
        })
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    if reader.uint()? == VERSION { Ok(()) } else { Err(Malformed) }
}

/// What `write` encodes. minicbor writes every number in its shortest form.
pub(super) fn encoded(
    write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), Error<Infallible>>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(&mut Encoder::new(&mut out)).expect("a vector takes everything");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_request(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = encoded(|out| {
            out.map(5)?.str("version")?.u64(2)?.str("key_exchange")?.str("X25519")?;
            out.str("client_nonce")?.bytes(&[1; 32])?;
            out.str("client_key_material")?.bytes(&[2; 32])?;
            out.str("context_hash")?.bytes(&[3; 32])?;
            Ok(())
        });
        change(&mut message);
        message
    }

    #[test]
    fn session_requests() {
        let message = session_request(|_| ());
        let request = SessionRequest::decode(&message).unwrap();
        assert_eq!(request.key_exchange, "X25519");
        assert_eq!((request.client_nonce, request.context_hash), (&[1; 32], &[3; 32]));
        assert_eq!(request.client_key_material, [2; 32]);
        let bad = [
            session_request(|m| m[9] = 3),
            session_request(|m| m.push(0)),
            session_request(|m| m.truncate(m.len() - 1)),
            // One entry fewer than there are, and one more.
            session_request(|m| m[0] = 0xa4),
            session_request(|m| m[0] = 0xa6),
        ];
        for message in bad {
            assert_eq!(SessionRequest::decode(&message), Err(Malformed));
        }
        let last = message.len() - 48;
        let missing = [&[0xa4], &message[1..last]].concat();
        assert_eq!(SessionRequest::decode(&missing), Err(Malformed));
    }

    /// The bytes written out by hand, so that decoder and encoder do not only agree with each other.
    #[test]
    fn envelopes() {
        let head = Envelope::head(&[7; 16], 0x0102, 24);
        let expected = [
            &b"\xa4\x67version\x02\x6asession_id\x50"[..],
            &[7; 16],
            b"\x68sequence\x48\x00\x00\x00\x00\x00\x00\x01\x02\x6aciphertext\x58\x18",
        ]
        .concat();
        assert_eq!(head, expected);
        let message = [&head[..], &[9; 24]].concat();
        let envelope = Envelope::decode(&message).unwrap();
        assert_eq!((envelope.session_id, envelope.sequence), ([7; 16], 0x0102));
        assert_eq!(message[envelope.ciphertext], [9; 24]);
        for len in 0..message.len() {
            assert_eq!(Envelope::decode(&message[..len]), Err(Malformed), "{len}");
        }
    }

    /// The order of keys is the client's business.
    #[test]
    fn envelopes_in_another_order() {
        let message = encoded(|out| {
            out.map(4)?.str("ciphertext")?.bytes(&[9; 16])?.str("sequence")?.bytes(&[0; 8])?;
            out.str("session_id")?.bytes(&[7; 16])?.str("version")?.u64(2)?;
            Ok(())
        });
        let envelope = Envelope::decode(&message).unwrap();
        assert_eq!(message[envelope.ciphertext], [9; 16]);
    }

    #[test]
    fn session_replies() {
        let reply = SessionReply {
            key_exchange: "X25519",
            session_id: &[1; 16],
            server_key_material: &[2; 32],
            attestation_document: &[3; 300],
            expires_in_seconds: 60,
        };
        let expected = [
            &b"\xa6\x67version\x02\x6ckey_exchange\x66X25519\x6asession_id\x50"[..],
            &[1; 16],
            b"\x73server_key_material\x58\x20",
            &[2; 32],
            b"\x74attestation_document\x59\x01\x2c",
            &[3; 300],
            b"\x72expires_in_seconds\x18\x3c",
        ]
        .concat();
        assert_eq!(reply.encode(), expected);
    }
}
