use crate::error::InvalidRequest;
use http::Uri;
use http::uri::Scheme;
use std::fmt;

/// Why a URL is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// Not a URL at all, or not an absolute one.
    #[error("\"{0}\" is not an absolute URL, such as https://app.example.com")]
    NotAbsolute(String),
    /// Neither http nor https.
    #[error("the URL's scheme is \"{0}\"; only https and http are supported")]
    Scheme(String),
    /// User or password in the URL.
    #[error("the URL holds user information; send credentials in a header field instead")]
    UserInfo,
    /// More than scheme, host and port.
    #[error("the URL must be an origin: scheme, host and port without path, query or fragment")]
    NotAnOrigin,
}

/// Scheme, host and port of a service, in normal form: lower case, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    authority: String,
}

impl Origin {
    /// Reads an origin such as `https://app.example.com`.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let (origin, rest) = Self::split(url)?;
        if rest.is_empty() || rest == "/" { Ok(origin) } else { Err(OriginError::NotAnOrigin) }
    }

    /// Splits an absolute URL into its origin and the rest: path, query and fragment.
    pub fn split(url: &str) -> Result<(Self, &str), OriginError> {
        let not_absolute = || OriginError::NotAbsolute(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(not_absolute)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let uri: Uri =
            format!("{scheme}://{}", &rest[..end]).parse().map_err(|_| not_absolute())?;
        Ok((Self::of(&uri).ok_or_else(not_absolute)??, &rest[end..]))
    }

    /// The origin of an absolute URI; none if it is not one.
    fn of(uri: &Uri) -> Option<Result<Self, OriginError>> {
        let scheme = uri.scheme()?;
        let authority = uri.authority()?;
        let https = *scheme == Scheme::HTTPS;
        if !https && *scheme != Scheme::HTTP {
            return Some(Err(OriginError::Scheme(scheme.to_string())));
        }
        if authority.as_str().contains('@') {
            return Some(Err(OriginError::UserInfo));
        }
        Some(Ok(Self { https, authority: normal_authority(https, authority)? }))
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Host, and port if it is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path and query a request for `uri` has at this origin.
    pub(crate) fn path_of(&self, uri: &Uri) -> Result<String, InvalidRequest> {
        match Self::of(uri) {
            Some(Ok(origin)) if origin == *self => {}
            Some(_) => return Err(InvalidRequest::OtherOrigin(self.to_string())),
            None if uri.scheme().is_none() && uri.authority().is_none() => {}
            None => return Err(InvalidRequest::Uri),
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match path.as_bytes().first() {
            Some(b'/') => Ok(path.to_owned()),
            Some(b'?') => Ok(format!("/{path}")),
            Some(b'*') if path == "*" => Ok(path.to_owned()),
            _ => Err(InvalidRequest::Uri),
        }
    }

    /// True when `host`, a field value, names this origin.
    pub(crate) fn is_host(&self, host: &[u8]) -> bool {
        let Ok(uri) = Uri::try_from(host) else { return false };
        uri.scheme().is_none()
            && uri
                .authority()
                .and_then(|authority| normal_authority(self.https, authority))
                .is_some_and(|authority| authority == self.authority)
    }
}

/// None without a host, and where what follows the host is no port: `http` would pass over that.
fn normal_authority(https: bool, authority: &http::uri::Authority) -> Option<String> {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host).filter(|_| !host.is_empty())?;
    let port = match rest {
        "" | ":" => None,
        _ => {
            let digits = rest.strip_prefix(':')?;
            let number = digits.bytes().all(|digit| digit.is_ascii_digit());
            Some(digits.parse::<u16>().ok().filter(|_| number)?)
        }
    };
    let (host, default) = (host.to_ascii_lowercase(), if https { 443 } else { 80 });
    Some(match port {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host,
    })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form() {
        for (url, origin) in [
            ("https://App.Example.com", "https://app.example.com"),
            ("https://app.example.com/", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("HTTP://app.example.com:80", "http://app.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:443", "http://[::1]:443"),
        ] {
            assert_eq!(Origin::parse(url).unwrap().to_string(), origin);
        }
    }

    #[test]
    fn refuses_what_is_not_an_origin() {
        for url in [
            "",
            "app.example.com",
            "/path",
            "https://",
            "https://a b",
            "https://:443",
            "https://a:65536",
            "https://a:+1",
            "https://a:80:80",
            "http://[::1]88",
            "http://[::1]x:88",
        ] {
            assert!(matches!(Origin::parse(url), Err(OriginError::NotAbsolute(_))), "{url}");
        }
        for url in ["https://a/b", "https://a?b", "https://a#b", "https://a/#b"] {
            assert_eq!(Origin::parse(url), Err(OriginError::NotAnOrigin), "{url}");
        }
        assert!(matches!(Origin::parse("ftp://a"), Err(OriginError::Scheme(_))));
        assert_eq!(Origin::parse("https://me:secret@a"), Err(OriginError::UserInfo));
    }

    #[test]
    fn paths_and_hosts_of_the_same_origin_only() {
        let origin = Origin::parse("https://app.example.com").unwrap();
        for (uri, path) in [
            ("/a/b?c=d", "/a/b?c=d"),
            ("*", "*"),
            ("https://app.example.com", "/"),
            ("https://APP.example.com:443/a?b", "/a?b"),
            ("https://app.example.com?b", "/?b"),
        ] {
            assert_eq!(origin.path_of(&uri.parse().unwrap()).as_deref(), Ok(path), "{uri}");
        }
        for uri in [
            "https://other.example.com/",
            "http://app.example.com/",
            "https://app.example.com:8443/",
            "https://me@app.example.com/",
        ] {
            let result = origin.path_of(&uri.parse().unwrap());
            assert!(matches!(result, Err(InvalidRequest::OtherOrigin(_))), "{uri}");
        }
        assert_eq!(origin.path_of(&"app.example.com".parse().unwrap()), Err(InvalidRequest::Uri));
        assert!(origin.is_host(b"app.example.com"));
        assert!(origin.is_host(b"app.example.com:443"));
        assert!(!origin.is_host(b"app.example.com:80"));
        assert!(!origin.is_host(b"app.example.com:65979"), "443 and 2^16");
        assert!(!origin.is_host(b"evil.example.com"));
        assert!(!origin.is_host(b"https://app.example.com"));
    }
}
