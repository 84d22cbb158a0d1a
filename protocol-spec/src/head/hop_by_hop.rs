//! Which fields end at a hop (SPEC.md, Sections 10.2 and 10.3).

/// Fields that never pass, besides those that `connection` names and `te`.
const ALWAYS: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Fields that frame or route the message: `connection` cannot take them away, nor reserved ones, which
/// say what becomes of a request that is repeated.
const NEVER_NAMED: [&str; 3] = ["content-length", "host", "te"];

/// Prefix of the fields that only the proxy may set.
const RESERVED_PREFIX: &str = "steve-";

/// True for fields in the namespace of the proxy, also where another separator stands for `-`: gateway
/// interfaces map all of them to the same variable.
pub fn is_reserved(name: &str) -> bool {
    let normal =
        |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() >= RESERVED_PREFIX.len()
        && name.bytes().map(normal).zip(RESERVED_PREFIX.bytes()).all(|(a, b)| a == b)
}

/// The hop-by-hop fields of one message.
#[derive(Clone, Debug, Default)]
pub struct HopByHop<'a> {
    /// Sorted without regard to case, so that a field costs a search and not a walk: a peer can name
    /// tens of thousands.
    named: Vec<&'a [u8]>,
}

impl<'a> HopByHop<'a> {
    /// Reads the values of the message's `connection` fields.
    pub fn new(connection: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut named: Vec<_> = connection
            .into_iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|name| name.trim_ascii())
            .filter(|name| !name.is_empty())
            .collect();
        named.sort_unstable_by(|a, b| lower(a).cmp(lower(b)));
        Self { named }
    }

    /// True when the field (name in lower case) must not pass.
    pub fn drops(&self, name: &str, value: &[u8]) -> bool {
        ALWAYS.contains(&name)
            || (name == "te" && value != b"trailers")
            || (!NEVER_NAMED.contains(&name) && !is_reserved(name) && self.names(name.as_bytes()))
    }

    fn names(&self, name: &[u8]) -> bool {
        self.named.binary_search_by(|named| lower(named).cmp(lower(name))).is_ok()
    }
}

fn lower(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_21_hop_by_hop_fields_and_those_connection_names_are_dropped() {
        let fields = HopByHop::new([&b"close, X-Private ,,"[..], b"te", b"\xff"]);
        for name in ALWAYS {
            assert!(fields.drops(name, b"x"), "{name}");
        }
        assert!(fields.drops("x-private", b""));
        assert!(fields.drops("te", b"gzip"));
        assert!(fields.drops("te", b"trailers, gzip"));
        assert!(!fields.drops("te", b"trailers"));
        assert!(!fields.drops("accept", b"*/*"));
        let steering = HopByHop::new([&b"host, content-length"[..]]);
        assert!(!steering.drops("host", b"a") && !steering.drops("content-length", b"1"));
        let repeating = HopByHop::new([&b"steve-idempotency-key, steve-padding"[..]]);
        assert!(!repeating.drops("steve-idempotency-key", b"k"));
        assert!(!repeating.drops("steve-padding", b"padme"));
        assert!(!HopByHop::default().drops("x-private", b""));
        assert!(fields.drops("te", b"Trailers"), "not the exact value");
        let many = HopByHop::new([&b"X-b, x-D,x-A ,x-c,x-a"[..], b"X-E"]);
        for name in ["x-a", "x-b", "x-c", "x-d", "x-e"] {
            assert!(many.drops(name, b""), "{name}");
        }
        for name in ["x", "x-", "x-0", "x-aa", "x-f"] {
            assert!(!many.drops(name, b""), "{name}");
        }
    }

    #[test]
    fn row_22_the_namespace_of_the_proxy() {
        for name in
            ["steve-session", "steve-", "Steve-Session", "STEVE-X", "steve_session", "steve.x"]
        {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["steve", "steven-x", "x-steve-", "", "st"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
