//! Frame path against the bare AEAD of the same back end, and handshakes.
//!
//! `cargo bench -p steve-benches`

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::hint::black_box;
use std::time::Duration;
use steve_protocol::aead::TAG_LEN;
use steve_protocol::frame::{FrameOpener, FrameSealer, FrameType};
use steve_protocol::handshake::{ClientHello, EnclaveKeys, ServerHandshake, SessionParameters};
use steve_protocol::kem::{self, KeyPair};
use steve_protocol::schedule::{self, TrafficKey};
use steve_protocol::suite::Suite;

const AEAD_SUITES: [Suite; 2] = [Suite::X25519ChaCha20Poly1305, Suite::X25519Aes256Gcm];

fn traffic() -> TrafficKey {
    TrafficKey { key: [1; 32], iv: [2; 12] }
}

fn frames(criterion: &mut Criterion) {
    for suite in AEAD_SUITES {
        for size in [64, 16_384, 65_536] {
            let content = vec![7u8; size];
            let mut group = criterion.benchmark_group(format!("{:?}/{size}", suite.aead()));
            group.throughput(Throughput::Bytes(size as u64));

            let key = traffic().aead(suite.aead());
            let mut out = vec![0; size + 1 + TAG_LEN];
            group.bench_function("aead seal", |bench| {
                bench.iter(|| key.seal(&[0; 12], &[0; 4], black_box(&content), &[2], &mut out));
            });
            let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic(), 1);
            let mut buffer = BytesMut::with_capacity(size + 64);
            group.bench_function("frame seal", |bench| {
                bench.iter(|| {
                    buffer.clear();
                    sealer
                        .seal(FrameType::Data, false, black_box(&content), 0, &mut buffer)
                        .unwrap_or_else(|_| {
                            sealer = FrameSealer::dangerous_standalone(suite, &traffic(), 1);
                        });
                });
            });

            let (ciphertext, tag) = out.split_last_chunk().expect("has a tag");
            let mut plaintext = vec![0; ciphertext.len()];
            group.bench_function("aead open", |bench| {
                bench.iter(|| {
                    key.open_to(&[0; 12], &[0; 4], black_box(ciphertext), tag, &mut plaintext)
                        .expect("authentic");
                });
            });
            let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic(), 1);
            let wires: Vec<Bytes> = (0..256)
                .map(|_| {
                    let mut wire = BytesMut::new();
                    sealer
                        .seal(FrameType::Data, false, &content, 0, &mut wire)
                        .expect("far below the limit");
                    wire.freeze()
                })
                .collect();
            let mut opener = FrameOpener::dangerous_standalone(suite, &traffic(), 1);
            let mut next = 0;
            group.bench_function("frame open", |bench| {
                bench.iter(|| {
                    if next == wires.len() {
                        opener = FrameOpener::dangerous_standalone(suite, &traffic(), 1);
                        next = 0;
                    }
                    opener.push(black_box(wires[next].clone()));
                    next += 1;
                    opener.next_frame().expect("authentic")
                });
            });
        }
    }
}

fn handshakes(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = EnclaveKeys::generate(&Suite::ALL, 1, 1, [0; 32], [0; 32], &mut rng)
        .expect("all suites are valid");
    let parameters = SessionParameters {
        lifetime: Duration::from_secs(3600),
        idle_timeout: Duration::from_secs(600),
        max_head_size: 32_768,
        max_streams: 256,
    };
    for suite in [Suite::X25519Aes256Gcm, Suite::XWingAes256Gcm] {
        let entry = keys.config().key(suite).expect("offered").clone();
        let ephemeral = KeyPair::generate(suite.kem(), &mut rng);
        let th0 =
            schedule::th0(&keys.config().hash(), suite, &entry.key_id, ephemeral.public_key());
        let info = schedule::hello_info(&th0);
        let (enc, _) = kem::send(suite.kem(), &entry.public_key, &info, &mut rng).expect("valid");
        let hello = ClientHello {
            suite,
            early_data: false,
            key_id: entry.key_id,
            enc,
            epk: ephemeral.public_key().to_vec(),
        };
        criterion.bench_function(&format!("handshake, proxy side/{suite}"), |bench| {
            bench.iter(|| {
                ServerHandshake::receive([&keys], black_box(&hello))
                    .and_then(|handshake| handshake.reply(parameters, &mut rng))
                    .map(|(_, hello)| hello)
            });
        });
    }
}

criterion_group!(benches, frames, handshakes);
criterion_main!(benches);
