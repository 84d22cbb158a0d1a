use super::super::{AeadKey, Backend, OpenError, TAG_LEN};
use super::poly1305::Poly1305;
use super::{Key, PIECE_LEN};
use crate::suite::AeadAlgorithm::ChaCha20Poly1305;
use proptest::prelude::*;

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_chunks().0.iter().map(byte).collect()
}

fn mac(r: [u32; 4], pad: [u32; 4], data: &[u8]) -> [u8; TAG_LEN] {
    let mut mac = Poly1305::new(r, pad);
    mac.padded(data);
    mac.finish()
}

/// Section 2.8.2.
#[test]
fn seals_and_opens_as_rfc_8439_says() {
    let key: [u8; 32] = std::array::from_fn(|i| 0x80 + i as u8);
    let nonce = hex("070000004041424344454647").try_into().unwrap();
    let aad = hex("50515253c0c1c2c3c4c5c6c7");
    let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
        tip for the future, sunscreen would be it.";
    let expected = hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
         3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
         92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
         3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
    let mut sealed = vec![0; plaintext.len() + TAG_LEN];
    Key::new(&key).seal(&nonce, &aad, plaintext, b"", &mut sealed);
    assert_eq!(sealed, expected);
    let (data, tag) = sealed.split_last_chunk_mut().unwrap();
    Key::new(&key).open_in_place(&nonce, &aad, data, tag).unwrap();
    assert_eq!(data, plaintext);
}

/// Appendix A.3, vectors 7 to 11: sums around 2^128 and 2^130 - 5.
#[test]
fn poly1305_reduces_as_rfc_8439_says() {
    let ones = "ffffffffffffffffffffffffffffffff";
    for (r, pad, data, tag) in [
        ([2, 0, 0, 0], [0; 4], ones.to_owned(), "03"),
        ([2, 0, 0, 0], [u32::MAX; 4], "02000000000000000000000000000000".to_owned(), "03"),
        (
            [1, 0, 0, 0],
            [0; 4],
            format!("{ones}f0ffffffffffffffffffffffffffffff11000000000000000000000000000000"),
            "05",
        ),
        (
            [1, 0, 0, 0],
            [0; 4],
            format!("{ones}fbfefefefefefefefefefefefefefefe01010101010101010101010101010101"),
            "00",
        ),
        ([2, 0, 0, 0], [0; 4], "fdffffffffffffffffffffffffffffff".to_owned(), "faffffffffffffffffffffffffffffff"),
        (
            [1, 0, 4, 0],
            [0; 4],
            "e33594d7505e43b900000000000000003394d7505e4379cd01000000000000000000000000000000000000000000000001000000000000000000000000000000".to_owned(),
            "14000000000000005500000000000000",
        ),
        (
            [1, 0, 4, 0],
            [0; 4],
            "e33594d7505e43b900000000000000003394d7505e4379cd010000000000000000000000000000000000000000000000".to_owned(),
            "13",
        ),
    ] {
        let mut expected = hex(tag);
        expected.resize(TAG_LEN, 0);
        assert_eq!(mac(r, pad, &hex(&data)).as_slice(), expected, "{data}");
    }
}

/// Three blocks whose sum, with the bit above each, is 2^130 - 5, and one less.
#[test]
fn poly1305_reduces_exactly_from_the_modulus_on() {
    let mut data = [0; 48];
    data[..16].copy_from_slice(&(u128::MAX - 4).to_le_bytes());
    assert_eq!(mac([1, 0, 0, 0], [0; 4], &data), [0; TAG_LEN]);
    data[0] -= 1;
    assert_eq!(mac([1, 0, 0, 0], [0; 4], &data), (u128::MAX - 5).to_le_bytes());
}

/// With the largest words a sum can have, arithmetic that overflowed would panic.
#[test]
fn the_largest_words_do_not_overflow() {
    let mut data = vec![0xff; 64 * 1024];
    mac([u32::MAX; 4], [u32::MAX; 4], &data);
    data.fill(0);
    mac([u32::MAX; 4], [u32::MAX; 4], &data);
}

fn compare(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8], offset: usize) {
    let ours = Key::new(key);
    let mut buffer = vec![0; offset + plaintext.len() + TAG_LEN];
    let sealed = &mut buffer[offset..];
    let (content, extra) = plaintext.split_at(plaintext.len() - plaintext.len() % 3);
    ours.seal(nonce, aad, content, extra, sealed);
    for backend in Backend::ALL {
        let theirs = AeadKey::with_backend(*backend, ChaCha20Poly1305, key);
        let mut expected = vec![0; sealed.len()];
        theirs.seal(nonce, aad, content, extra, &mut expected);
        assert_eq!(sealed, expected, "{backend:?}");
    }

    let (data, tag) = sealed.split_last_chunk_mut().unwrap();
    let mut out = vec![1; plaintext.len()];
    tag[plaintext.len() % TAG_LEN] ^= 0x80;
    assert_eq!(ours.open_to(nonce, aad, data, tag, &mut out), Err(OpenError));
    assert!(out.iter().all(|byte| *byte == 0));
    let mut copy = data.to_vec();
    assert_eq!(ours.open_in_place(nonce, aad, &mut copy, tag), Err(OpenError));
    assert!(copy.iter().all(|byte| *byte == 0));

    tag[plaintext.len() % TAG_LEN] ^= 0x80;
    assert_eq!(ours.open_to(nonce, aad, data, tag, &mut out), Ok(()));
    assert_eq!(out, plaintext);
    assert_eq!(ours.open_in_place(nonce, aad, data, tag), Ok(()));
    assert_eq!(data, plaintext);
}

#[test]
fn every_length_is_as_in_the_other_back_ends() {
    let bytes: Vec<u8> = (0..1100 + 16).map(|i| (i * 7 % 251) as u8).collect();
    for len in 0..=1100 {
        compare(&[7; 32], &[1; 12], &bytes[..len % 40], &bytes[len % 16..][..len], len % 16);
    }
    for offset in 0..16 {
        compare(&[7; 32], &[1; 12], b"aad", &bytes[offset..][..3 * PIECE_LEN + 1], offset);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn anything_is_as_in_the_other_back_ends(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..100),
        plaintext in prop::collection::vec(any::<u8>(), 0..=66_560),
        offset in 0..16usize,
    ) {
        compare(&key, &nonce, &aad, &plaintext, offset);
    }

    /// Blocks and keys of extreme words, where carries are.
    #[test]
    fn carries_are_as_in_the_other_back_ends(
        key in prop::array::uniform32(prop::sample::select(vec![0u8, 1, 0xfb, 0xfe, 0xff])),
        fill in prop::sample::select(vec![0u8, 0xfb, 0xff]),
        len in 0..600usize,
    ) {
        compare(&key, &[fill; 12], &[0xff; 48], &vec![fill; len], 0);
    }
}
