//! What the envelopes of `request` hold: a request for the app, and its response.

use super::cbor::{Malformed, once, whole_map};
use super::messages::encoded;

/// Fields of a request that are looked at at all.
const MAX_FIELDS: usize = 256;
/// Bytes that the length of a response's body takes at most: the body is below 4 GiB.
pub(crate) const BODY_HEAD: usize = 5;

/// A request, as slices of the plaintext.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AppRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Each name once, in the client's spelling.
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: Option<&'a [u8]>,
}

impl<'a> AppRequest<'a> {
    pub(crate) fn decode(input: &'a [u8]) -> Result<Self, Malformed> {
        let (mut method, mut path, mut headers, mut body) = (None, None, None, None);
        whole_map(input, |key, reader| match key {
            "method" => once(&mut method, reader.text()?),
            "path" => once(&mut path, reader.text()?),
            "headers" => {
                let mut fields: Vec<(&str, &str)> = Vec::new();
                reader.map(|name, reader| {
                    if fields.len() == MAX_FIELDS || fields.iter().any(|(one, _)| *one == name) {
                        return Err(Malformed);
                    }
                    fields.push((name, reader.text()?));
                    Ok(())
                })?;
                once(&mut headers, fields)
            }
            "body" => once(&mut body, reader.bytes_or_null()?),
            _ => Err(Malformed),
        })?;
        Ok(Self {
            method: method.ok_or(Malformed)?,
            path: path.ok_or(Malformed)?,
            headers: headers.ok_or(Malformed)?,
            body: body.ok_or(Malformed)?,
        })
    }
}

/// The beginning of a response, up to its body. A value's bytes become the characters with the same
/// numbers, as in the `Headers` of a web page.
pub(crate) fn response_head(status: u16, fields: &[(&str, &[u8])]) -> Vec<u8> {
    encoded(|out| {
        out.map(3)?.str("status")?.u16(status)?;
        out.str("headers")?.array(fields.len() as u64)?;
        for (name, value) in fields {
            let value: String = value.iter().map(|byte| char::from(*byte)).collect();
            out.array(2)?.str(name)?.str(&value)?;
        }
        out.str("body")?;
        Ok(())
    })
}

/// A body that is not there.
pub(crate) fn null() -> Vec<u8> {
    encoded(|out| out.null().map(drop))
}

/// What goes before a body of `len` bytes.
pub(crate) fn body_head(len: usize) -> Vec<u8> {
    encoded(|out| out.bytes_len(len as u64).map(drop))
}

/// A whole response with an error instead of a body.
pub(crate) fn error(status: u16, code: &str) -> Vec<u8> {
    encoded(|out| {
        out.map(3)?.str("status")?.u16(status)?.str("headers")?.array(0)?;
        out.str("error")?.str(code)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let message = b"\xa4\x66method\x64POST\x64path\x64/a?b\x67headers\xa1\x61x\x61y\
            \x64body\x42hi";
        let request = AppRequest::decode(message).unwrap();
        assert_eq!((request.method, request.path), ("POST", "/a?b"));
        assert_eq!((request.headers, request.body), (vec![("x", "y")], Some(&b"hi"[..])));
        let none = b"\xa4\x64body\xf6\x66method\x63GET\x64path\x61/\x67headers\xa0";
        assert_eq!(AppRequest::decode(none).unwrap().body, None);
        for (what, bad) in [
            ("no body", &b"\xa3\x66method\x63GET\x64path\x61/\x67headers\xa0"[..]),
            (
                "a name twice",
                b"\xa4\x64body\xf6\x66method\x63GET\x64path\x61/\x67headers\xa2\x61x\x60\x61x\x60",
            ),
            (
                "a value that is no text",
                b"\xa4\x64body\xf6\x66method\x63GET\x64path\x61/\x67headers\xa1\x61x\x01",
            ),
            ("a text body", b"\xa4\x64body\x61x\x66method\x63GET\x64path\x61/\x67headers\xa0"),
        ] {
            assert!(AppRequest::decode(bad).is_err(), "{what}");
        }
    }

    #[test]
    fn as_many_fields_as_the_app_may_get() {
        let request = |count: usize| {
            encoded(|out| {
                out.map(4)?
                    .str("method")?
                    .str("GET")?
                    .str("path")?
                    .str("/")?
                    .str("body")?
                    .null()?;
                out.str("headers")?.map(count as u64)?;
                for number in 0..count {
                    out.str(&format!("x-{number}"))?.str("")?;
                }
                Ok(())
            })
        };
        assert!(AppRequest::decode(&request(MAX_FIELDS)).is_ok());
        assert!(AppRequest::decode(&request(MAX_FIELDS + 1)).is_err());
    }

    #[test]
    fn responses() {
        let head = response_head(200, &[("set-cookie", b"a"), ("set-cookie", b"\xe9")]);
        let expected = b"\xa3\x66status\x18\xc8\x67headers\x82\x82\x6aset-cookie\x61a\
            \x82\x6aset-cookie\x62\xc3\xa9\x64body";
        assert_eq!(head, expected);
        assert_eq!(null(), [0xf6]);
        assert_eq!(body_head(0), [0x40]);
        assert_eq!(body_head(256), [0x59, 1, 0]);
        assert!(body_head(u32::MAX as usize).len() <= BODY_HEAD);
        let expected = b"\xa3\x66status\x19\x01\xf6\x67headers\x80\x65error\x61e";
        assert_eq!(error(502, "e"), expected);
    }
}
