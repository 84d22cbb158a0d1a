use bytes::{Bytes, BytesMut};

/// Blocks that are remembered: the content in one is on its way while the next is opened.
const REMEMBERED: usize = 2;
/// Smaller ones are not worth it.
const SMALLEST: usize = 4096;

/// Memory that contents are in, for use again when nobody holds them any more.
#[derive(Default)]
pub(super) struct Blocks(Vec<Bytes>);

impl Blocks {
    /// A block with room for `len` bytes. It may hold anything.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        let free = self.0.iter().position(Bytes::is_unique).filter(|_| len >= SMALLEST);
        if let Some(index) = free {
            let block = self.0.swap_remove(index);
            if block.len() >= len
                && let Ok(block) = block.try_into_mut()
            {
                return block;
            }
        }
        let mut block = BytesMut::with_capacity(len);
        if len >= SMALLEST {
            // What is split once needs no allocation to be shared later.
            drop(block.split_to(0));
        }
        block
    }

    /// Remembers a block with a content in it.
    pub(super) fn remember(&mut self, block: &Bytes) {
        if self.0.len() < REMEMBERED && block.len() >= SMALLEST {
            self.0.push(block.clone());
        }
    }
}
