//! The header of the PROXY protocol, version 2, section 2.2 of HAProxy's specification: who the client
//! is, ahead of its first byte.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_COMMAND: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// 28 bytes for IPv4, 52 for IPv6. An IPv4 address that is mapped into IPv6 counts as IPv4.
pub(super) fn proxy_header(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (family, addresses) = match (client.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(client), IpAddr::V4(local)) => {
            (TCP_OVER_IPV4, [client.octets(), local.octets()].concat())
        }
        (client, local) => (TCP_OVER_IPV6, [v6(client), v6(local)].concat()),
    };
    let ports = [client.port().to_be_bytes(), local.port().to_be_bytes()].concat();
    let len = (addresses.len() + ports.len()) as u16;
    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_COMMAND, family]);
    header.extend(len.to_be_bytes());
    header.extend(addresses);
    header.extend(ports);
    header
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::proxy_header;

    #[test]
    fn ipv4_takes_28_bytes() {
        let mapped = proxy_header(
            "[::ffff:192.0.2.1]:4660".parse().unwrap(),
            "198.51.100.7:443".parse().unwrap(),
        );
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\x12\x34\x01\xbb";
        assert_eq!(mapped, expected);
    }

    #[test]
    fn ipv6_takes_52_bytes() {
        let header = proxy_header(
            "[2001:db8::1]:4660".parse().unwrap(),
            "[2001:db8::2]:443".parse().unwrap(),
        );
        let address = |last| [&b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"[..], &[last]].concat();
        let expected = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"[..],
            &address(1),
            &address(2),
            b"\x12\x34\x01\xbb",
        ];
        assert_eq!(header, expected.concat());
    }
}
