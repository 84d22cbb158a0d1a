use crate::limits::Share;
use std::ops::{Deref, DerefMut};
use tokio::sync::OwnedSemaphorePermit;

/// First allocation in bytes.
const FIRST: usize = 4096;

/// Why nothing more fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// It would be longer than it may be.
    TooLarge,
    /// There is no memory left in the share.
    NoRoom,
}

/// Bytes that grow as they come, in memory of a share: what is merely announced takes none.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    share: Share,
    max: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// For up to `max` bytes.
    pub(super) fn new(share: &Share, max: usize) -> Self {
        Self { bytes: Vec::new(), share: share.clone(), max, room: None }
    }

    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), Full> {
        self.make_room(data.len())?;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Appends so many zeros and gives them.
    pub(super) fn append_zeros(&mut self, count: usize) -> Result<&mut [u8], Full> {
        self.make_room(count)?;
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        Ok(&mut self.bytes[start..])
    }

    /// While bytes move to a larger place, both places are counted.
    fn make_room(&mut self, more: usize) -> Result<(), Full> {
        let len = self.bytes.len() + more;
        if len > self.max {
            return Err(Full::TooLarge);
        }
        if len > self.bytes.capacity() {
            let capacity = len.max(2 * self.bytes.capacity()).max(FIRST).min(self.max);
            let room = self.share.take(capacity).ok_or(Full::NoRoom)?;
            let mut larger = Vec::with_capacity(capacity);
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
            self.room = Some(room);
        }
        Ok(())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_more_than_its_share_and_gives_it_back() {
        let share = Share::new(64 * 1024);
        let all = || share.try_take(64 * 1024).is_some();
        let mut buffer = Buffer::new(&share, usize::MAX);
        let mut len = 0;
        let full = loop {
            match buffer.append(&[1; 1000]) {
                Ok(()) => len += 1000,
                Err(full) => break full,
            }
        };
        assert_eq!((full, buffer.len()), (Full::NoRoom, len));
        assert!((16_000..64_000).contains(&len), "{len}");
        assert!(!all());
        drop(buffer);
        assert!(all());
    }

    #[test]
    fn is_never_longer_than_it_may_be() {
        let share = Share::new(1 << 20);
        let mut buffer = Buffer::new(&share, 5000);
        buffer.append(&[1; 4999]).unwrap();
        assert_eq!(buffer.append(&[1; 2]), Err(Full::TooLarge));
        assert_eq!(buffer.append_zeros(1).map(|zeros| zeros.len()), Ok(1));
        assert_eq!(buffer.append_zeros(1), Err(Full::TooLarge));
        assert_eq!((buffer.len(), buffer.bytes.capacity()), (5000, 5000));
    }
}
