use bytes::{Bytes, BytesMut};

/// Where sealed frames go.
pub trait Output {
    /// Appends `len` bytes and gives them to be overwritten. They may hold anything.
    fn grow(&mut self, len: usize) -> &mut [u8];
}

impl Output for BytesMut {
    fn grow(&mut self, len: usize) -> &mut [u8] {
        let start = self.len();
        self.resize(start + len, 0);
        &mut self[start..]
    }
}

/// Sealed bytes in memory that can be used again: it is initialised once, and not for every frame.
#[derive(Default)]
pub struct FrameBuffer {
    /// Behind the first `len` bytes is what earlier frames left.
    memory: Vec<u8>,
    len: usize,
}

impl FrameBuffer {
    /// An empty buffer with initialised memory for `len` bytes.
    pub fn with_capacity(len: usize) -> Self {
        Self { memory: vec![0; len], len: 0 }
    }

    /// Length of what it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it can hold in the memory that it has.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Empties it. The memory stays.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Output for FrameBuffer {
    fn grow(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        self.len += len;
        if self.memory.len() < self.len {
            self.memory.reserve_exact(self.len - self.memory.len());
            self.memory.resize(self.len, 0);
        }
        &mut self.memory[start..self.len]
    }
}

impl From<FrameBuffer> for Bytes {
    fn from(buffer: FrameBuffer) -> Self {
        let FrameBuffer { mut memory, len } = buffer;
        memory.truncate(len);
        memory.into()
    }
}

impl AsRef<[u8]> for FrameBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}
