//! The development authority.

use super::scene::MADE_MS;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use steve_protocol::evidence::dev::{self, DevAuthority, DevError, Request};
use steve_protocol::evidence::{AttestationDocument, TrustAnchor};

fn authority() -> DevAuthority {
    DevAuthority::new(&mut ChaCha20Rng::from_seed([3; 32]), MADE_MS).unwrap()
}

#[test]
fn documents_verify_at_any_time_of_the_authoritys_life() {
    let authority = authority();
    let hour = 3_600_000;
    let year = 365 * 24 * hour;
    let steps = [0, 1, hour, 2 * hour - 1, 5 * hour, 24 * hour, 144 * hour, 480 * hour, year];
    for later in steps.into_iter().chain([10 * year, 29 * year]) {
        let now_ms = MADE_MS + later;
        let document = authority.attest(&dev::pcrs(), &Request::default(), now_ms).unwrap();
        let verified =
            AttestationDocument::verify(&document, &authority.trust_anchor(), now_ms).unwrap();
        assert_eq!(verified.timestamp_ms(), now_ms);
        assert_eq!(verified.module_id(), authority.module_id());
        let left = verified.not_after_ms() - now_ms;
        assert!(left > hour && left <= 3 * hour, "{left}");
    }
    let late = MADE_MS + 31 * year;
    let document = authority.attest(&dev::pcrs(), &Request::default(), late).unwrap();
    AttestationDocument::verify(&document, &authority.trust_anchor(), late).unwrap_err();
    for extreme in [0, u64::MAX] {
        authority.attest(&dev::pcrs(), &Request::default(), extreme).unwrap();
        DevAuthority::new(&mut ChaCha20Rng::from_seed([4; 32]), extreme).unwrap();
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let [one, two] = [authority(), authority()];
    let attest = |authority: &DevAuthority| {
        authority.attest(&dev::pcrs(), &Request::default(), MADE_MS).unwrap()
    };
    assert!(attest(&one) == attest(&two));
    assert_eq!(one.root_der(), two.root_der());
    assert_eq!(one.root_sha256(), *Sha256::digest(one.root_der()));
    assert_eq!(one.trust_anchor(), TrustAnchor::dangerous_from_sha256(one.root_sha256()));
    assert!(!one.trust_anchor().is_aws());
}

#[test]
fn what_is_asked_for_is_attested_within_the_nsms_limits() {
    let authority = authority();
    let (user_data, nonce, public_key) = ([1; 512], [2; 512], [3; 1024]);
    let request =
        Request { user_data: Some(&user_data), nonce: Some(&nonce), public_key: Some(&public_key) };
    let document = authority.attest(&dev::pcrs(), &request, MADE_MS).unwrap();
    let verified =
        AttestationDocument::verify(&document, &authority.trust_anchor(), MADE_MS).unwrap();
    assert_eq!(verified.user_data(), Some(&user_data[..]));
    assert_eq!(verified.nonce(), Some(&nonce[..]));
    assert_eq!(verified.public_key(), Some(&public_key[..]));
    assert_eq!(verified.pcrs(), &dev::pcrs());

    let (user_data, nonce, public_key) = ([1; 513], [2; 513], [3; 1025]);
    for request in [
        Request { user_data: Some(&user_data), ..Request::default() },
        Request { nonce: Some(&nonce), ..Request::default() },
        Request { public_key: Some(&public_key), ..Request::default() },
    ] {
        let error = authority.attest(&dev::pcrs(), &request, MADE_MS).unwrap_err();
        assert_eq!(error, DevError::TooLong);
    }
}
