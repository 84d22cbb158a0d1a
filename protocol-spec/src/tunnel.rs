//! What a tunnel says beside its frames (SPEC.md, Section 11.1).

use crate::frame::HEADER_LEN;
use bytes::Bytes;

/// What a close code of the proxy's adds to the HTTP status that a stream would have been answered
/// with.
const CLOSE_BASE: u16 = 4000;

/// The status code of the Close frame that stands for an HTTP status.
pub fn close_code(status: u16) -> u16 {
    CLOSE_BASE + status
}

/// The HTTP status that a Close frame's status code stands for, from 100 to 599.
pub fn close_status(code: u16) -> Option<u16> {
    code.checked_sub(CLOSE_BASE).filter(|status| (100..600).contains(status))
}

/// Takes the first frame off frames that were sealed one after the other: a message holds one.
pub fn take_frame(sealed: &mut Bytes) -> Option<Bytes> {
    let length = u32::from_be_bytes(*sealed.first_chunk::<HEADER_LEN>()?);
    Some(sealed.split_to(sealed.len().min(HEADER_LEN + length as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_stand_for_statuses() {
        assert_eq!((close_code(422), close_status(4422)), (4422, Some(422)));
        for other in [0, 1000, 1006, 3999, 4000, 4099, 4600, u16::MAX] {
            assert_eq!(close_status(other), None, "{other}");
        }
    }

    #[test]
    fn frames_come_off_one_by_one() {
        let mut sealed = Bytes::from_static(b"\0\0\0\x02ab\0\0\0\x01c\0\0");
        assert_eq!(take_frame(&mut sealed).unwrap(), &b"\0\0\0\x02ab"[..]);
        assert_eq!(take_frame(&mut sealed).unwrap(), &b"\0\0\0\x01c"[..]);
        assert_eq!(take_frame(&mut sealed), None);
    }
}
