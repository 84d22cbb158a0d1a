//! Single values: their forms and ranges.

use super::given::{At, Given, Key, Value};
use std::ops::RangeInclusive;

/// Longest domain and longest part of one, in bytes: RFC 1035, Section 2.3.4.
const MAX_DOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

impl Given {
    pub(super) fn line(&self, key: Key) -> Option<usize> {
        self.entries.get(&key).map(|entry| entry.line)
    }

    /// The single value of a key.
    pub(super) fn text(&mut self, key: Key) -> Option<At<String>> {
        let At { line, value } = self.entries.get(&key)?;
        let line = *line;
        let reason = match value {
            Value::One(text) if text.is_empty() => "has no value",
            Value::One(text) => return Some(At { line, value: text.clone() }),
            Value::Many(_) => "is one value, no list",
            Value::Wrong => return None,
        };
        self.wrong(line, format!("{} {reason}", key.name()));
        None
    }

    /// The single value, as `read` understands it; `what` says what it must be.
    fn read<T>(
        &mut self,
        key: Key,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<At<T>> {
        let At { line, value } = self.text(key)?;
        let read = read(&value);
        if read.is_none() {
            self.wrong(line, format!("{} is `{value}`: it must be {what}", key.name()));
        }
        read.map(|value| At { line, value })
    }

    pub(super) fn flag(&mut self, key: Key) -> Option<At<bool>> {
        self.read(key, "true or false", |text| text.parse().ok())
    }

    pub(super) fn number(
        &mut self,
        key: Key,
        range: RangeInclusive<u32>,
        unit: &str,
    ) -> Option<At<u32>> {
        let what = format!("{} to {}{unit}", range.start(), range.end());
        self.read(key, &what, |text| digits(text).filter(|number| range.contains(number)))
    }

    pub(super) fn domain(&mut self) -> Option<At<String>> {
        let what = "the name of a host, such as app.example.com";
        self.read(Key::Domain, what, |text| is_domain(text).then(|| text.to_ascii_lowercase()))
    }

    /// The items of a list, none of them empty or twice.
    pub(super) fn list(&mut self, key: Key) -> Vec<At<String>> {
        let Some(At { line, value }) = self.entries.get(&key).cloned() else {
            return Vec::new();
        };
        let items = match value {
            Value::Many(items) => items,
            Value::One(value) => vec![At { line, value }],
            Value::Wrong => return Vec::new(),
        };
        if items.is_empty() {
            self.wrong(line, format!("{} is an empty list", key.name()));
        }
        let mut list: Vec<At<String>> = Vec::new();
        for item in items {
            if item.value.is_empty() {
                self.wrong(item.line, format!("{} has an empty item", key.name()));
            } else if list.iter().any(|other| other.value == item.value) {
                self.wrong(item.line, format!("{} has `{}` twice", key.name(), item.value));
            } else {
                list.push(item);
            }
        }
        list
    }

    /// Ports of a list, without those that are none.
    pub(super) fn ports(&mut self) -> Vec<At<u16>> {
        let mut ports = Vec::new();
        for At { line, value } in self.list(Key::Ports) {
            match port(&value) {
                Some(value) => ports.push(At { line, value }),
                None => self.wrong(line, format!("ports has `{value}`, which is no port")),
            }
        }
        ports
    }

    pub(super) fn http_port(&mut self) -> Option<At<u16>> {
        self.read(Key::HttpPort, "a port", port)
    }

    /// Where sources are: URLs, or `user@host:path` as git has it.
    pub(super) fn sources(&mut self, key: Key) -> Vec<String> {
        let mut sources = Vec::new();
        for At { line, value } in self.list(key) {
            if !is_source(&value) {
                let must = "it must be a URL, or user@host:path";
                self.wrong(line, format!("{} has `{value}`: {must}", key.name()));
            } else if has_password(&value) {
                let name = key.name();
                self.wrong(
                    line,
                    format!("{name} has a URL with a password: everybody can read it"),
                );
            } else {
                sources.push(value);
            }
        }
        sources
    }
}

/// Digits alone: no sign, nothing that another program may read as octal.
fn digits(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

fn port(text: &str) -> Option<u16> {
    digits(text).and_then(|number| number.try_into().ok())
}

/// A name as certificates have it, RFC 1123, Section 2.1; addresses have none.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= MAX_DOMAIN
        && text.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_source(text: &str) -> bool {
    let visible = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let parts =
        |separator| text.split_once(separator).filter(|(a, b)| !a.is_empty() && !b.is_empty());
    let scp = parts(":").is_some_and(|(host, _)| host.contains('@'));
    visible && (parts("://").is_some() || scp)
}

fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = "a.".repeat(124) + "example";
        for text in ["localhost", "a-1.example.com", "App.Example", "1.example"] {
            assert!(is_domain(text), "{text}");
        }
        for text in [
            "",
            ".",
            "a.",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "*.a.b",
            "a.b:1",
            "127.0.0.1",
            "[::1]",
            "https://a.b",
            "a b",
            "é.example",
            &long,
            &longer,
        ] {
            assert!(!is_domain(text), "{text}");
        }
    }

    #[test]
    fn numbers_are_plain_digits() {
        assert_eq!(digits("65536"), Some(65536));
        for text in ["", "+1", "-1", "01", "1.0", "0x1", "4294967296", " 1"] {
            assert_eq!(digits(text), None, "{text}");
        }
        assert_eq!((port("65535"), port("65536"), port("0")), (Some(65535), None, None));
    }

    #[test]
    fn sources() {
        for text in ["https://git.example/a#b", "git@git.example:a/b", "ssh://git@a/b"] {
            assert!(is_source(text) && !has_password(text), "{text}");
        }
        for text in ["a", "https://", "a:b", "https://a b", "://a"] {
            assert!(!is_source(text), "{text}");
        }
        assert!(has_password("https://user:word@git.example/a"));
        assert!(!has_password("https://git.example:8443/a@b"));
    }
}
