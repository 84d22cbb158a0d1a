//! Requests that another reader could understand in another way are refused (RFC 9112, Section 11).

use super::refusal::Refusal;
use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Version, request};

/// `asks_and_sends`: the request asks to change the protocol, and has a body.
pub(super) fn check(request: &request::Parts, asks_and_sends: bool) -> Result<(), Refusal> {
    check_coding(&request.headers)?;
    check_host(request)?;
    match request.uri.scheme() {
        None if request.uri.authority().is_some() => {
            return Err(Refusal::malformed("the target has no scheme"));
        }
        Some(scheme) if ![Scheme::HTTP, Scheme::HTTPS].contains(scheme) => {
            return Err(Refusal::malformed("the scheme of the target is neither http nor https"));
        }
        _ => {}
    }
    if asks_and_sends {
        return Err(Refusal::malformed("a request for a WebSocket cannot have a body"));
    }
    Ok(())
}

/// The parser has read a body in chunks already if that is the last of several codings.
fn check_coding(fields: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refusal::transfer_coding()),
    }
}

/// One host in HTTP/1.1 (RFC 9112, Section 3.2), and none besides `:authority` in HTTP/2 (RFC 9113,
/// Section 8.3.1).
fn check_host(request: &request::Parts) -> Result<(), Refusal> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::malformed("there is more than one host field"));
    }
    if request.version < Version::HTTP_2 {
        return match first {
            Some(_) => Ok(()),
            None => Err(Refusal::malformed("there is no host field")),
        };
    }
    match (first, request.uri.authority()) {
        (Some(host), Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(Refusal::malformed("the host field is not the :authority"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn status(version: Version, target: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, false).err().map(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn row_21_no_transfer_coding_but_chunked() {
        let codings = |values: &[&'static str]| {
            let values = values.iter().map(|value| ("transfer-encoding", *value));
            let fields: Vec<_> = [("host", "a")].into_iter().chain(values).collect();
            status(Version::HTTP_11, "/", &fields)
        };
        for values in [&[][..], &["chunked"], &["Chunked"]] {
            assert_eq!(codings(values), None, "{values:?}");
        }
        for values in [
            &["gzip, chunked"][..],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["gzip", "chunked"],
            &[",chunked"],
            &["identity"],
            &[""],
        ] {
            assert_eq!(codings(values), Some(501), "{values:?}");
        }
    }

    #[test]
    fn row_21_one_host() {
        let (http1, http2) = (Version::HTTP_11, Version::HTTP_2);
        let twice = [("host", "a"), ("host", "a")];
        let (a, capital) = ([("host", "a")], [("host", "A")]);
        for (version, target, hosts, expected) in [
            (http1, "/", &[][..], Some(400)),
            (http1, "/", &a, None),
            (http1, "/", &twice, Some(400)),
            (http1, "http://a/", &[], Some(400)),
            (http1, "http://a/", &a, None),
            (http2, "http://a/", &[], None),
            (http2, "http://a/", &capital, None),
            (http2, "http://b/", &a, Some(400)),
            (http2, "http://a/", &twice, Some(400)),
        ] {
            assert_eq!(status(version, target, hosts), expected, "{version:?} {target} {hosts:?}");
        }
    }

    #[test]
    fn targets_of_http() {
        for (target, expected) in [
            ("/", None),
            ("*", None),
            ("HTTP://a/", None),
            ("https://a/", None),
            ("ftp://a/", Some(400)),
            ("a", Some(400)),
            ("a:80", Some(400)),
        ] {
            assert_eq!(status(Version::HTTP_11, target, &[("host", "a")]), expected, "{target}");
        }
    }
}
