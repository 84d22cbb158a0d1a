use super::memory::{Place, Room};
use std::ops::{Deref, DerefMut};

/// First allocation in bytes.
const FIRST: usize = 4096;

/// Why nothing more fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// It would be longer than it may be.
    TooLarge,
    /// There is no memory left.
    NoRoom,
}

/// Bytes that grow as they come, in memory that is counted: what is merely announced takes none.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    place: Place,
    max: usize,
    room: Option<Room>,
}

impl Buffer {
    /// For up to `max` bytes.
    pub(super) fn new(place: Place, max: usize) -> Self {
        Self { bytes: Vec::new(), place, max, room: None }
    }

    /// For up to `max` bytes, for which there is memory now.
    pub(super) fn reserved(place: Place, max: usize) -> Result<Self, Full> {
        let mut buffer = Self::new(place, max);
        buffer.reserve(max)?;
        Ok(buffer)
    }

    /// Allows for up to `max` bytes, in another place from the next ones on.
    pub(super) fn widen(&mut self, place: Place, max: usize) {
        (self.place, self.max) = (place, max);
    }

    /// Takes the memory for so many bytes in all.
    pub(super) fn reserve(&mut self, len: usize) -> Result<(), Full> {
        if len > self.max {
            return Err(Full::TooLarge);
        }
        if len > self.bytes.capacity() { self.move_to(len) } else { Ok(()) }
    }

    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), Full> {
        self.make_room(data.len())?;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Appends so many zeros.
    pub(super) fn append_zeros(&mut self, count: usize) -> Result<(), Full> {
        self.make_room(count)?;
        self.bytes.resize(self.bytes.len() + count, 0);
        Ok(())
    }

    fn make_room(&mut self, more: usize) -> Result<(), Full> {
        let len = self.bytes.len() + more;
        if len > self.max {
            return Err(Full::TooLarge);
        }
        if len > self.bytes.capacity() {
            self.move_to(len.max(2 * self.bytes.capacity()).max(FIRST).min(self.max))?;
        }
        Ok(())
    }

    /// While bytes move to a larger place, both places are counted.
    fn move_to(&mut self, capacity: usize) -> Result<(), Full> {
        let room = self.place.take(capacity).ok_or(Full::NoRoom)?;
        let mut larger = Vec::with_capacity(capacity);
        larger.extend_from_slice(&self.bytes);
        self.bytes = larger;
        self.room = Some(room);
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
    use crate::limits::Share;

    #[test]
    fn takes_no_more_than_its_share_and_gives_it_back() {
        let share = Share::new(64 * 1024);
        let all = || share.try_take(64 * 1024).is_some();
        let mut buffer = Buffer::new(Place::of(&share), usize::MAX);
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
        let mut buffer = Buffer::new(Place::of(&share), 5000);
        buffer.append(&[1; 4999]).unwrap();
        assert_eq!(buffer.append(&[1; 2]), Err(Full::TooLarge));
        assert_eq!(buffer.append_zeros(1), Ok(()));
        assert_eq!(buffer.append_zeros(1), Err(Full::TooLarge));
        assert_eq!((buffer.len(), buffer.bytes.capacity()), (5000, 5000));
    }

    #[test]
    fn what_is_reserved_is_there() {
        let share = Share::new(4096);
        let mut buffer = Buffer::reserved(Place::of(&share), 4096).unwrap();
        assert!(share.try_take(1).is_none());
        buffer.append(&[1; 4096]).unwrap();
        assert!(Buffer::reserved(Place::of(&share), 1).is_err());
    }
}
