//! The back ends of the AEADs against each other: the same ciphertext; what one seals all open, in
//! place and into another buffer; what is changed none opens.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use steve_protocol::aead::{AeadKey, Backend, OpenError, TAG_LEN};
use steve_protocol::suite::AeadAlgorithm;

const FILL: u8 = 0xee;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    aes: bool,
    key: [u8; 32],
    nonce: [u8; 12],
    aad: &'a [u8],
    /// How often `content` is repeated: SIMD takes 256 bytes at once.
    repeated: u8,
    extra: &'a [u8],
    change: Option<Change>,
    content: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Change {
    Key(u8),
    Nonce(u8),
    Aad(u16),
    Ciphertext(u32),
    Tag(u8),
    Cut(u8),
}

/// What is in the buffers besides plaintext: what they are made with, or what erases it.
fn left(byte: u8) -> bool {
    byte == FILL || byte == 0
}

fn flip(bytes: &mut [u8], bit: usize) -> bool {
    let bits = bytes.len() * 8;
    if bits > 0 {
        bytes[bit % bits / 8] ^= 1 << (bit % 8);
    }
    bits > 0
}

fuzz_target!(|input: Input<'_>| {
    let algorithm =
        if input.aes { AeadAlgorithm::Aes256Gcm } else { AeadAlgorithm::ChaCha20Poly1305 };
    let content = input.content.repeat(usize::from(input.repeated % 16) + 1);
    let plaintext = [&content, input.extra].concat();
    let mut sealed: Option<Vec<u8>> = None;
    for backend in Backend::ALL {
        let key = AeadKey::with_backend(*backend, algorithm, &input.key);
        let mut out = vec![FILL; plaintext.len() + TAG_LEN];
        key.seal(&input.nonce, input.aad, &content, input.extra, &mut out);
        let sealed = sealed.get_or_insert_with(|| out.clone());
        assert_eq!(*sealed, out, "{backend:?}");
    }
    let sealed = sealed.expect("there is a back end");

    let (mut key, mut nonce, mut aad) = (input.key, input.nonce, input.aad.to_vec());
    let (ciphertext, tag) = sealed.split_last_chunk().expect("there is a tag");
    let (mut ciphertext, mut tag) = (ciphertext.to_vec(), *tag);
    let changed = match input.change {
        None => false,
        Some(Change::Key(bit)) => flip(&mut key, bit.into()),
        Some(Change::Nonce(bit)) => flip(&mut nonce, bit.into()),
        Some(Change::Aad(bit)) => flip(&mut aad, bit.into()),
        Some(Change::Ciphertext(bit)) => flip(&mut ciphertext, bit as usize),
        Some(Change::Tag(bit)) => flip(&mut tag, bit.into()),
        Some(Change::Cut(bytes)) => {
            let before = ciphertext.len();
            ciphertext.truncate(before.saturating_sub(bytes.into()));
            ciphertext.len() < before
        }
    };
    for backend in Backend::ALL {
        let key = AeadKey::with_backend(*backend, algorithm, &key);
        let mut out = vec![FILL; ciphertext.len()];
        let to = key.open_to(&nonce, &aad, &ciphertext, &tag, &mut out);
        let mut data = ciphertext.clone();
        let in_place = key.open_in_place(&nonce, &aad, &mut data, &tag);
        let expected = if changed { Err(OpenError) } else { Ok(()) };
        assert_eq!((to, in_place), (expected, expected), "{backend:?}");
        let is_plaintext = |bytes: &[u8]| bytes == &plaintext[..ciphertext.len()];
        if !changed {
            assert!(is_plaintext(&out) && is_plaintext(&data), "{backend:?}");
        } else if plaintext[..ciphertext.len()].iter().filter(|byte| !left(**byte)).count() >= 16 {
            let released = is_plaintext(&out) || is_plaintext(&data);
            assert!(!released, "{backend:?} releases what does not authenticate");
        }
    }
});
