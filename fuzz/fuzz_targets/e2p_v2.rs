//! The messages of E2P v2. What an envelope's decoder accepts has, whatever the order of its keys, as
//! many bytes as the encoder writes: there is no second form of anything. Names of fields are unique.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use steve_fuzz::e2p_v2::{envelope, request, session_request};

fuzz_target!(|input: &[u8]| {
    let _ = session_request(input);
    if let Some((ciphertext, head)) = envelope(input) {
        assert_eq!(head.len() + ciphertext.len(), input.len());
        if ciphertext.end == input.len() && input.starts_with(&head[..9]) {
            let mut second = head;
            second.extend_from_slice(&input[ciphertext]);
            let (_, again) = envelope(&second).expect("what is encoded decodes");
            assert!(second.starts_with(&again));
        }
    }
    if let Some((names, body)) = request(input) {
        let unique: HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(body.is_none_or(|body| body.len() < input.len()));
    }
});
