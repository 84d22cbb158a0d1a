//! Heads from anybody: what decodes encodes, and decodes to the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use steve_protocol::head::{
    Fields, RequestHead, ResponseHead, Trailers, encode_request, encode_response, encode_trailers,
};

fn lines(fields: &Fields) -> Vec<(&str, &[u8])> {
    fields.iter().map(|line| (line.name(), line.value().as_ref())).collect()
}

fuzz_target!(|data: &[u8]| {
    let content = Bytes::copy_from_slice(data);
    if let Ok(head) = RequestHead::decode(content.clone()) {
        let fields = lines(head.fields());
        let (method, scheme) = (head.method(), head.scheme());
        let (authority, path) = (head.authority(), head.path());
        let again = encode_request(method, scheme, authority, path, fields.into_iter());
        assert_eq!(again.and_then(RequestHead::decode), Ok(head));
    }
    if let Ok(head) = ResponseHead::decode(content.clone()) {
        let again = encode_response(head.status(), lines(head.fields()).into_iter());
        assert_eq!(again.and_then(ResponseHead::decode), Ok(head));
    }
    if let Ok(trailers) = Trailers::decode(content) {
        let again = encode_trailers(lines(trailers.fields()).into_iter());
        assert_eq!(again.and_then(Trailers::decode), Ok(trailers));
    }
});
