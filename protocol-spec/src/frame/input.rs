use bytes::{Bytes, BytesMut};

/// Bytes that were received.
pub(super) enum Input {
    /// Nobody else holds their memory.
    Own(BytesMut),
    /// Whoever received them may still hold it.
    Shared(Bytes),
}

impl Input {
    pub(super) fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Takes the first `len` bytes.
    pub(super) fn split_to(&mut self, len: usize) -> Self {
        if len == self.len() {
            return std::mem::take(self);
        }
        match self {
            Self::Own(bytes) => Self::Own(bytes.split_to(len)),
            Self::Shared(bytes) => Self::Shared(bytes.split_to(len)),
        }
    }

    /// With more bytes behind it.
    pub(super) fn with(self, more: &[u8]) -> Self {
        let mut bytes = match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes.into(),
        };
        bytes.extend_from_slice(more);
        Self::Own(bytes)
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::Shared(Bytes::new())
    }
}

impl From<Bytes> for Input {
    fn from(bytes: Bytes) -> Self {
        bytes.try_into_mut().map_or_else(Self::Shared, Self::Own)
    }
}

impl AsRef<[u8]> for Input {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}
