//! The loopback interface, over which the proxy reaches the app.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};
use std::io;

// <linux/rtnetlink.h>, <linux/netlink.h>, <linux/if.h>
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;

/// The kernel gives this index to the loopback interface of every network namespace.
const LOOPBACK: u32 = 1;

/// The size of `nlmsghdr` and `ifinfomsg`, 16 bytes each.
const REQUEST: usize = 32;

/// Sets the interface up; the kernel then gives it 127.0.0.1 and ::1 by itself.
pub(crate) fn up() -> io::Result<()> {
    // Without a protocol netlink is NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(&socket, &request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 128];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    acknowledged(&answer[..length.min(128)])
}

fn request() -> [u8; REQUEST] {
    let mut message = [0; REQUEST];
    // nlmsghdr: length, type, flags; sequence and port stay 0
    message[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // ifinfomsg: family and type stay 0; index, flags, which flags to change
    message[20..24].copy_from_slice(&LOOPBACK.to_ne_bytes());
    message[24..28].copy_from_slice(&IFF_UP.to_ne_bytes());
    message[28..32].copy_from_slice(&IFF_UP.to_ne_bytes());
    message
}

/// The answer is an `nlmsgerr`: after the header a negative error number, or 0.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
