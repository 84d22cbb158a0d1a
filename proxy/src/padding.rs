//! Which responses are padded, and how (SPEC.md, Section 9.8).

use crate::error::ConfigError;
use http::Uri;
use std::collections::BTreeMap;
use steve_protocol::head::RequestHead;
use steve_protocol::shaping::{FIELD, Shaping, ShapingError};

/// The least that responses are shaped, by the path of their request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(BTreeMap<String, Shaping>);

impl Routes {
    /// `list` holds items of the form `PREFIX=POLICY`.
    pub(crate) fn parse(list: &[String]) -> Result<Self, ConfigError> {
        let mut routes = BTreeMap::new();
        for item in list {
            let parsed = item.split_once('=').and_then(|(prefix, policy)| {
                let is_path = prefix.starts_with('/')
                    && !prefix.contains(['?', '#'])
                    && prefix.parse::<Uri>().is_ok();
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                is_path.then_some((prefix.to_owned(), policy.trim().parse().ok()?))
            });
            let (prefix, shaping) = parsed.ok_or_else(|| ConfigError::Padding(item.clone()))?;
            if routes.insert(prefix, shaping).is_some() {
                return Err(ConfigError::PaddingTwice(item.clone()));
            }
        }
        Ok(Self(routes))
    }

    /// In canonical form and order.
    pub(crate) fn items(&self) -> Vec<String> {
        let item = |(prefix, shaping): (&String, &Shaping)| match prefix.as_str() {
            "" => format!("/={shaping}"),
            prefix => format!("{prefix}={shaping}"),
        };
        self.0.iter().map(item).collect()
    }

    /// Of the longest prefix that ends where a segment of the path does.
    pub(crate) fn minimum(&self, path: &str) -> Shaping {
        let mut prefix = path.split('?').next().unwrap_or_default();
        loop {
            if let Some(shaping) = self.0.get(prefix) {
                return *shaping;
            }
            match prefix.rfind('/') {
                Some(end) => prefix = &prefix[..end],
                None => return self.0.get("").copied().unwrap_or_default(),
            }
        }
    }

    /// How the response to a request is shaped. The second value is an error if its wish is malformed.
    pub(crate) fn shaping(&self, head: &RequestHead) -> (Shaping, Result<(), ShapingError>) {
        let minimum = self.minimum(head.path());
        match wish(head) {
            Ok(wish) => (wish.at_least(minimum), Ok(())),
            Err(error) => (minimum, Err(error)),
        }
    }
}

fn wish(head: &RequestHead) -> Result<Shaping, ShapingError> {
    let mut values = head.fields().all(FIELD);
    let Some(value) = values.next() else { return Ok(Shaping::default()) };
    if values.next().is_some() {
        return Err(ShapingError);
    }
    std::str::from_utf8(value).map_err(|_| ShapingError)?.parse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use steve_protocol::head::encode_request;

    fn routes(list: &[&str]) -> Result<Routes, ConfigError> {
        Routes::parse(&list.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_decides() {
        let routes = routes(&["/=block=64", "/v1/chat/=padme, coalesce=50", "/v1/chat/open=none"]);
        let routes = routes.unwrap();
        for (path, policy) in [
            ("/v1/chat", "padme, coalesce=50"),
            ("/v1/chat?stream=/a", "padme, coalesce=50"),
            ("/v1/chat/", "padme, coalesce=50"),
            ("/v1/chat/x/y", "padme, coalesce=50"),
            ("/v1/chatty", "block=64"),
            ("/v1/chat/open", "none"),
            ("/", "block=64"),
            ("*", "block=64"),
        ] {
            assert_eq!(routes.minimum(path).to_string(), policy, "{path}");
        }
        assert!(Routes::default().minimum("/v1").is_none());
        let canonical = ["/=block=64", "/v1/chat=padme, coalesce=50", "/v1/chat/open=none"];
        assert_eq!(routes.items(), canonical);
    }

    #[test]
    fn refuses_what_is_no_route() {
        for item in ["/v1", "v1=padme", "/v1=", "/v1=big", "/a?b=padme", "/a b=padme", "=padme"] {
            assert!(matches!(routes(&[item]), Err(ConfigError::Padding(_))), "{item}");
        }
        let twice = routes(&["/v1=padme", "/v1/=none"]);
        assert!(matches!(twice, Err(ConfigError::PaddingTwice(_))));
    }

    #[test]
    fn row_25_a_wish_is_honoured_and_the_minimum_kept() {
        let routes = routes(&["/v1=block=1024"]).unwrap();
        let shaping = |path, wishes: &[&str]| {
            let fields = wishes.iter().map(|wish| (FIELD, wish.as_bytes()));
            let head = encode_request("GET", "https", "app.example", path, fields).unwrap();
            let (shaping, result) = routes.shaping(&RequestHead::decode(head).unwrap());
            (shaping.to_string(), result.is_ok())
        };
        assert_eq!(shaping("/", &["padme"]), ("padme".into(), true));
        assert_eq!(shaping("/v1", &["none"]), ("block=1024".into(), true));
        assert_eq!(shaping("/v1", &["block=4096"]), ("block=4096".into(), true));
        assert_eq!(shaping("/v1", &["wide"]), ("block=1024".into(), false));
        assert_eq!(shaping("/", &["padme", "padme"]), ("none".into(), false));
    }
}
