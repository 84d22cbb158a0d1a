use super::*;
use crate::key_config::KeyConfig;
use crate::session::{ClientSession, ServerSession};
use crate::suite::Suite;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Duration;

pub(super) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

pub(super) fn keys(rng: &mut ChaCha20Rng) -> EnclaveKeys {
    EnclaveKeys::generate(&Suite::ALL, 1, 1_800_000_000_000, [1; 32], [2; 32], rng).unwrap()
}

pub(super) const NOW: u64 = 1_790_000_000_000;
pub(super) const VALID_UNTIL: u64 = NOW + 1;

pub(super) const PARAMETERS: SessionParameters = SessionParameters {
    lifetime: Duration::from_secs(3600),
    idle_timeout: Duration::from_secs(600),
    max_head_size: 32_768,
    max_streams: 256,
};

fn run(
    config: &KeyConfig,
    keys: &EnclaveKeys,
    suite: Suite,
    change_client_hello: impl FnOnce(&mut Vec<u8>),
    change_server_hello: impl FnOnce(&mut Vec<u8>),
) -> Result<(ClientSession, ServerSession), HandshakeError> {
    let mut rng = rng();
    let (client, mut client_hello) =
        ClientHandshake::begin(config, VALID_UNTIL, &[suite], false, &mut rng).unwrap();
    change_client_hello(&mut client_hello);
    let hello = ClientHello::decode(&client_hello).map_err(|_| HandshakeError::Malformed)?;
    let server = ServerHandshake::receive([keys], &hello).map_err(|_| HandshakeError::Malformed)?;
    let (session, mut server_hello) =
        server.reply(PARAMETERS, &mut rng).map_err(|_| HandshakeError::Malformed)?;
    assert_eq!(server_hello.len(), client.server_hello_len());
    change_server_hello(&mut server_hello);
    Ok((client.finish(&server_hello, NOW)?, session))
}

#[test]
fn both_ends_agree_in_every_suite() {
    let keys = keys(&mut rng());
    for suite in Suite::ALL {
        let (client, server) = run(keys.config(), &keys, suite, |_| {}, |_| {}).unwrap();
        assert_eq!(client.id(), server.id());
        assert_eq!(client.binding(), server.binding());
        assert_eq!(client.parameters(), PARAMETERS);
        assert_eq!((client.suite(), server.suite()), (suite, suite));
    }
}

#[test]
fn lengths_are_those_of_the_specification() {
    let keys = keys(&mut rng());
    for suite in Suite::ALL {
        let (client, hello) =
            ClientHandshake::begin(keys.config(), VALID_UNTIL, &[suite], false, &mut rng())
                .unwrap();
        let expected = match suite.kem() {
            crate::suite::Kem::X25519 => (78, 80),
            crate::suite::Kem::XWing => (2350, 1168),
        };
        assert_eq!((hello.len(), client.server_hello_len()), expected);
        let prefix = hello.first_chunk().unwrap();
        assert_eq!(ClientHello::len_from_prefix(prefix), Ok(hello.len()));
    }
}

#[test]
fn row_01_evidence_of_one_enclave_is_worth_nothing_with_the_keys_of_another() {
    let genuine = keys(&mut rng());
    let other = keys(&mut ChaCha20Rng::seed_from_u64(8));
    let mut rng = rng();
    for suite in Suite::ALL {
        let (client, hello) =
            ClientHandshake::begin(genuine.config(), VALID_UNTIL, &[suite], false, &mut rng)
                .unwrap();
        let mut hello = ClientHello::decode(&hello).unwrap();
        assert!(ServerHandshake::receive([&other], &hello).is_err());
        hello.key_id = other.config().key(suite).unwrap().key_id;
        let server = ServerHandshake::receive([&other], &hello).unwrap();
        let (_, server_hello) = server.reply(PARAMETERS, &mut rng).unwrap();
        assert!(matches!(
            client.finish(&server_hello, NOW),
            Err(HandshakeError::ConfirmationInvalid)
        ));
    }
}

#[test]
fn row_02_the_key_configuration_is_part_of_the_transcript() {
    let keys = keys(&mut rng());
    let mut fields = keys.config().fields().clone();
    fields.configuration_hash = [9; 32];
    let forged = KeyConfig::new(fields).unwrap();
    for suite in Suite::ALL {
        assert!(matches!(
            run(&forged, &keys, suite, |_| {}, |_| {}),
            Err(HandshakeError::ConfirmationInvalid)
        ));
    }
}

#[test]
fn row_04_keys_of_both_directions_and_all_purposes_differ() {
    let keys = keys(&mut rng());
    let mut rng = rng();
    let (client, hello) = ClientHandshake::begin(
        keys.config(),
        VALID_UNTIL,
        &[Suite::X25519Aes256Gcm],
        false,
        &mut rng,
    )
    .unwrap();
    drop(client);
    let hello = ClientHello::decode(&hello).unwrap();
    let pair = crate::kem::KeyPair::generate(crate::suite::Kem::X25519, &mut rng);
    let (enc, e) =
        crate::kem::send(crate::suite::Kem::X25519, pair.public_key(), b"info", &mut rng).unwrap();
    let s = pair.receive(&enc, b"info").unwrap();
    let secrets = crate::schedule::SessionSecrets::derive(&e, &s, &[1; 32]);
    let early = crate::schedule::early_traffic_key(&e, &[1; 32]);
    let values = [
        &secrets.c2s.key[..],
        &secrets.s2c.key,
        &early.key,
        secrets.exporter_secret(),
        &secrets.session_binding(),
        &hello.enc,
    ];
    for (index, value) in values.iter().enumerate() {
        assert!(!values[index + 1..].contains(value), "{index}");
    }
    assert_ne!(secrets.c2s.iv, secrets.s2c.iv);
}

#[test]
fn row_04_an_all_zero_shared_secret_is_refused() {
    let keys = keys(&mut rng());
    let mut rng = rng();
    let suite = Suite::X25519ChaCha20Poly1305;
    let (_, hello) =
        ClientHandshake::begin(keys.config(), VALID_UNTIL, &[suite], false, &mut rng).unwrap();
    let mut zero_enc = ClientHello::decode(&hello).unwrap();
    zero_enc.enc.fill(0);
    assert!(ServerHandshake::receive([&keys], &zero_enc).is_err());
    let mut zero_epk = ClientHello::decode(&hello).unwrap();
    zero_epk.epk.fill(0);
    let replied = ServerHandshake::receive([&keys], &zero_epk)
        .and_then(|server| server.reply(PARAMETERS, &mut rng));
    assert!(replied.is_err());
}

#[test]
fn every_bit_of_the_server_hello_is_authenticated() {
    let keys = keys(&mut rng());
    for suite in [Suite::X25519ChaCha20Poly1305, Suite::X25519Aes256Gcm] {
        for bit in 0..80 * 8 {
            let result =
                run(keys.config(), &keys, suite, |_| {}, |hello| hello[bit / 8] ^= 1 << (bit % 8));
            assert!(result.is_err(), "bit {bit}");
        }
    }
    for byte in (0..1168).step_by(37) {
        let suite = Suite::XWingAes256Gcm;
        let result = run(keys.config(), &keys, suite, |_| {}, |hello| hello[byte] ^= 0x10);
        assert!(result.is_err(), "byte {byte}");
    }
}

#[test]
fn every_bit_of_the_client_hello_is_authenticated() {
    let keys = keys(&mut rng());
    for bit in 0..78 * 8 {
        let suite = Suite::X25519ChaCha20Poly1305;
        let result =
            run(keys.config(), &keys, suite, |hello| hello[bit / 8] ^= 1 << (bit % 8), |_| {});
        assert!(result.is_err(), "bit {bit}");
    }
}

#[test]
fn row_07_an_early_request_is_rejected_under_the_confirmation() {
    let keys = keys(&mut rng());
    let mut rng = rng();
    let (_, hello) = ClientHandshake::begin(
        keys.config(),
        VALID_UNTIL,
        &[Suite::XWingAes256Gcm],
        false,
        &mut rng,
    )
    .unwrap();
    let mut hello = ClientHello::decode(&hello).unwrap();
    hello.early_data = true;
    let server = ServerHandshake::receive([&keys], &hello).unwrap();
    let (_, server_hello) = server.reply(PARAMETERS, &mut rng).unwrap();
    assert_eq!(server_hello[1 + 16 + 1120], 2);
}

#[test]
fn no_suite_outside_the_allow_list() {
    let keys = EnclaveKeys::generate(&[Suite::X25519Aes256Gcm], 1, 1, [0; 32], [0; 32], &mut rng())
        .unwrap();
    assert!(matches!(
        ClientHandshake::begin(
            keys.config(),
            VALID_UNTIL,
            &Suite::DEFAULT_ALLOWED,
            false,
            &mut rng()
        ),
        Err(HandshakeError::NoCommonSuite)
    ));
}

#[test]
fn malformed_messages_are_refused() {
    let keys = keys(&mut rng());
    let (_, hello) = ClientHandshake::begin(
        keys.config(),
        VALID_UNTIL,
        &[Suite::X25519Aes256Gcm],
        false,
        &mut rng(),
    )
    .unwrap();
    for len in 0..hello.len() {
        assert!(ClientHello::decode(&hello[..len]).is_err());
    }
    assert!(ClientHello::decode(&[&hello[..], &[0]].concat()).is_err());
    for (index, value) in [(0, 2), (2, 4), (4, 9), (5, 2)] {
        let mut bad = hello.clone();
        bad[index] = value;
        assert!(ClientHello::decode(&bad).is_err(), "{index}");
    }
    let run = |change: fn(&mut Vec<u8>)| {
        run(keys.config(), &keys, Suite::X25519Aes256Gcm, |_| {}, change).map(|_| ())
    };
    assert_eq!(run(|hello| hello.clear()), Err(HandshakeError::Malformed));
    assert_eq!(run(|hello| hello.push(0)), Err(HandshakeError::Malformed));
    assert_eq!(run(|hello| hello[50..54].fill(0)), Err(HandshakeError::Malformed), "lifetime 0");
}

#[test]
fn row_03_a_confirmation_that_comes_too_late_is_refused() {
    let keys = keys(&mut rng());
    let mut rng = rng();
    let (client, hello) = ClientHandshake::begin(
        keys.config(),
        VALID_UNTIL,
        &[Suite::X25519Aes256Gcm],
        false,
        &mut rng,
    )
    .unwrap();
    let hello = ClientHello::decode(&hello).unwrap();
    let server = ServerHandshake::receive([&keys], &hello).unwrap();
    let (_, server_hello) = server.reply(PARAMETERS, &mut rng).unwrap();
    assert!(matches!(
        client.finish(&server_hello, VALID_UNTIL),
        Err(HandshakeError::EvidenceExpired)
    ));
}
