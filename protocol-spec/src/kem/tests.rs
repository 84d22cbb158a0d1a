use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

const KEMS: [Kem; 2] = [Kem::X25519, Kem::XWing];

#[test]
fn both_back_ends_agree() {
    for kem in KEMS {
        for seed in 0..8 {
            let rng = || StdRng::seed_from_u64(seed);
            let pair = KeyPair::generate(kem, &mut rng());
            let (other, public) = hpke_crate::PrivateKey::generate(kem, &mut rng());
            assert_eq!(pair.public_key(), public);
            #[cfg(feature = "dangerous-dev-attester")]
            assert_eq!(*pair.dangerous_private_key(), other.to_bytes());
            let (enc, sender) = send(kem, &public, b"info", &mut rng()).unwrap();
            let (same, other_sender) = hpke_crate::send(kem, &public, b"info", &mut rng()).unwrap();
            assert_eq!(enc, same);
            let secret = sender.export(b"what for");
            assert_eq!(*pair.receive(&enc, b"info").unwrap().export(b"what for"), *secret);
            for context in [other_sender, other.receive(&enc, b"info").unwrap()] {
                let mut out = [0; 32];
                context.export(b"what for", &mut out);
                assert_eq!(out, *secret);
            }
            let other_info = pair.receive(&enc, b"another").unwrap();
            assert_ne!(*other_info.export(b"what for"), *secret);
            assert_ne!(*sender.export(b"what else for"), *secret);
        }
    }
}

#[test]
fn what_is_no_key_is_an_error() {
    for kem in KEMS {
        let rng = &mut StdRng::seed_from_u64(1);
        let pair = KeyPair::generate(kem, rng);
        let (mut enc, _) = send(kem, pair.public_key(), b"", rng).unwrap();
        assert!(pair.receive(&enc[1..], b"").is_err());
        assert!(pair.receive(&[], b"").is_err());
        assert!(send(kem, &pair.public_key()[1..], b"", rng).is_err());
        assert!(pair.receive(&[&enc[..], &[0]].concat(), b"").is_err());
        assert!(send(kem, &[pair.public_key(), &[0]].concat(), b"", rng).is_err());
        // SubjectPublicKeyInfo of X25519 (RFC 8410, Section 4).
        let der = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00";
        assert!(pair.receive(&[der, &enc[enc.len() - 32..]].concat(), b"").is_err());
        let point = &pair.public_key()[pair.public_key().len() - 32..];
        assert!(send(kem, &[&der[..], point].concat(), b"", rng).is_err());
        // A point of small order, whose secret everybody knows (row 4). X-Wing has another.
        let x25519 = enc.len() - 32;
        enc[x25519..].fill(0);
        let (other, _) = hpke_crate::PrivateKey::generate(kem, &mut StdRng::seed_from_u64(1));
        let (ours, theirs) = (pair.receive(&enc, b""), other.receive(&enc, b""));
        match kem {
            Kem::X25519 => assert!(ours.is_err() && theirs.is_err()),
            Kem::XWing => {
                let mut secret = [0; 32];
                theirs.unwrap().export(b"", &mut secret);
                assert_eq!(*ours.unwrap().export(b""), secret);
            }
        }
    }
}

#[test]
fn x_wing_sends_to_any_point() {
    let rng = || StdRng::seed_from_u64(2);
    let mut public = KeyPair::generate(Kem::XWing, &mut rng()).public_key().to_vec();
    let x25519 = public.len() - 32;
    public[x25519..].fill(0);
    let (enc, ours) = send(Kem::XWing, &public, b"", &mut rng()).unwrap();
    let (same, theirs) = hpke_crate::send(Kem::XWing, &public, b"", &mut rng()).unwrap();
    let mut secret = [0; 32];
    theirs.export(b"", &mut secret);
    assert_eq!((enc, *ours.export(b"")), (same, secret));
}
