//! The plain beginning of a stream request's body, across chunks of any size.

use super::Source;
use crate::routes::Refusal;
use bytes::{Bytes, BytesMut};
use steve_protocol::handshake::ClientHello;
use steve_protocol::session::StreamOpen;

/// The plain beginning, and the bytes received after it.
pub(super) enum Prefix {
    Hello(Box<ClientHello>, Bytes),
    Open(StreamOpen, Bytes),
}

impl Prefix {
    /// Reads no more than it needs, except for the rest of the last chunk.
    pub(super) async fn read(source: &mut Source) -> Result<Self, Refusal> {
        let mut reader = Reader { source, bytes: BytesMut::new() };
        reader.fill(ClientHello::PREFIX_LEN).await?;
        let prefix = reader.bytes.first_chunk().ok_or(Refusal::Malformed)?;
        if let Ok(len) = ClientHello::len_from_prefix(prefix) {
            let hello = reader.take(len).await?;
            let hello = ClientHello::decode(&hello).map_err(|_| Refusal::Malformed)?;
            return Ok(Self::Hello(Box::new(hello), reader.bytes.freeze()));
        }
        let open = reader.take(StreamOpen::LEN).await?;
        let open = open.as_ref().try_into().map_err(|_| Refusal::Malformed)?;
        let open = StreamOpen::decode(open).map_err(|_| Refusal::Malformed)?;
        Ok(Self::Open(open, reader.bytes.freeze()))
    }
}

struct Reader<'a> {
    source: &'a mut Source,
    bytes: BytesMut,
}

impl Reader<'_> {
    async fn take(&mut self, len: usize) -> Result<BytesMut, Refusal> {
        self.fill(len).await?;
        Ok(self.bytes.split_to(len))
    }

    async fn fill(&mut self, len: usize) -> Result<(), Refusal> {
        while self.bytes.len() < len {
            let chunk = self.source.next_chunk().await.ok_or(Refusal::Malformed)?;
            self.bytes.extend_from_slice(&chunk);
        }
        Ok(())
    }
}
