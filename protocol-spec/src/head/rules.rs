//! What the parts of a head may look like (SPEC.md, Section 10.1).

use std::net::Ipv6Addr;

/// RFC 9110, Section 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_tchar(*byte))
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A token in lower case.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    is_token(bytes) && !bytes.iter().any(u8::is_ascii_uppercase)
}

pub(super) fn is_value(bytes: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_space(bytes.first())
        && !is_space(bytes.last())
        && bytes.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
}

pub(super) fn is_scheme(bytes: &[u8]) -> bool {
    matches!(bytes, b"http" | b"https")
}

/// `host [":" port]`: a registered name, an IPv4 address or an IPv6 address in brackets.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    if let Some(rest) = bytes.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let address = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok() && is_port(&rest[end + 1..]);
    }
    let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
    let (host, port) = bytes.split_at(end);
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
    !host.is_empty() && host.iter().all(valid) && is_port(port)
}

/// Empty, or ":" and a number up to 65535.
fn is_port(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        None => true,
        Some((b':', digits)) => {
            (1..=5).contains(&digits.len())
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')) <= 65_535
        }
        Some(_) => false,
    }
}

pub(super) fn is_path(method: &[u8], bytes: &[u8]) -> bool {
    if bytes == b"*" {
        return method == b"OPTIONS";
    }
    bytes.first() == Some(&b'/')
        && bytes.iter().all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#')
}

/// A decimal number without sign; none if it is something else or does not fit.
pub(super) fn parse_content_length(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 19 || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(bytes.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["a", "a.example", "a.example:8443", "127.0.0.1", "[::1]", "[::1]:80", "a:0"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "u@a",
            "a:",
            "a:65536",
            "a:123456",
            "a:8a",
            "a b",
            "a/b",
            "[::1",
            "[]",
            "[::1]x",
            "[g]",
            "a\r\n",
            "[::::]",
            "[12345::]",
            "[1.2.3.4]",
            "[v1.a]",
            "[::1%25eth0]",
            "a%41",
            "a%zz",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn paths() {
        for good in ["/", "/a?b=c&d", "/%20", "//x", "/a/../b"] {
            assert!(is_path(b"GET", good.as_bytes()), "{good}");
        }
        for bad in ["", "*", "a", "http://x/", "/a b", "/a#b", "/a\r\nx", "/\u{e9}", "/\x7f"] {
            assert!(!is_path(b"GET", bad.as_bytes()), "{bad}");
        }
        assert!(is_path(b"OPTIONS", b"*"));
    }

    #[test]
    fn values_and_lengths() {
        assert!(is_value(b"") && is_value(b"a\tb") && is_value(b"\xff"));
        for bad in [&b" a"[..], b"a ", b"\ta", b"a\r\nb", b"a\0", b"\x7f"] {
            assert!(!is_value(bad));
        }
        assert_eq!(parse_content_length(b"007"), Some(7));
        for bad in [&b""[..], b"+1", b"-1", b"1,1", b" 1", b"0x1", b"99999999999999999999"] {
            assert_eq!(parse_content_length(bad), None);
        }
    }
}
