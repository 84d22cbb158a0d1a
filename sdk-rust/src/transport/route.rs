//! The value by which a load balancer finds the enclave again (SPEC.md, Section 11.2).

use http::{HeaderMap, Uri};

const FIELD: &str = "steve-route";
const MAX_LEN: usize = 64;

/// What a load balancer wants to see in the requests to one verified enclave, if anything. Nothing
/// vouches for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route(Option<String>);

impl Route {
    /// The one beside an evidence; none if it is not exactly one valid value.
    pub(super) fn beside_evidence(fields: &HeaderMap) -> Self {
        let mut values = fields.get_all(FIELD).iter();
        let (value, second) = (values.next(), values.next());
        let value = value.filter(|_| second.is_none()).and_then(|value| value.to_str().ok());
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let valid =
            |value: &&str| (1..=MAX_LEN).contains(&value.len()) && value.bytes().all(unreserved);
        Self(value.filter(valid).map(str::to_owned))
    }

    /// `uri`, which has no query, with it.
    pub(super) fn append_to(&self, uri: &Uri) -> Uri {
        let Some(value) = &self.0 else { return uri.clone() };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = format!("{}?route={value}", uri.path()).parse().ok();
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn route(values: &[&[u8]]) -> Route {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(FIELD, HeaderValue::from_bytes(value).unwrap());
        }
        Route::beside_evidence(&fields)
    }

    #[test]
    fn goes_into_the_query() {
        let uri = Uri::from_static("https://app.example.com/stream");
        let with = route(&[b"a-1._~Z"]).append_to(&uri);
        assert_eq!(with, "https://app.example.com/stream?route=a-1._~Z");
        assert_eq!(Route::default().append_to(&uri), uri);
        assert_ne!(route(&[&[b'a'; 64]]), Route::default());
    }

    #[test]
    fn anything_else_is_ignored() {
        let long = [b'a'; 65];
        let values: [&[u8]; 8] =
            [b"", &long, b"a b", b"a&b", b"a%41", b"a#", b"a/b", "\u{e4}".as_bytes()];
        for value in values {
            assert_eq!(route(&[value]), Route::default(), "{value:?}");
        }
        assert_eq!(route(&[b"a", b"a"]), Route::default());
        assert_eq!(route(&[]), Route::default());
    }
}
