//! Requests behind a ClientHello.

use super::client::Call;
use super::{Fixture, STREAM, now_ms, outer, rng};
use bytes::BytesMut;
use steve_protocol::evidence::VerifiedEnclave;
use steve_protocol::handshake::EarlyHandshake;
use steve_protocol::suite::Suite;

const SUITE: Suite = Suite::X25519Aes256Gcm;

/// A ClientHello with a request behind it, as the host sees it.
pub struct Early {
    pub handshake: EarlyHandshake,
    pub wire: Vec<u8>,
    pub hello_len: usize,
}

pub fn early(enclave: &VerifiedEnclave, call: &Call) -> Early {
    let (handshake, hello, mut sealer) =
        EarlyHandshake::start(enclave, &[SUITE], now_ms(), &mut rng()).unwrap();
    let mut out = BytesMut::from(&hello[..]);
    sealer.head(&call.head(), call.body.is_none(), &mut out).unwrap();
    if let Some(body) = &call.body {
        sealer.data(body, true, &mut out).unwrap();
    }
    Early { handshake, wire: out.to_vec(), hello_len: hello.len() }
}

/// The outer answer to a copy of an early request.
pub async fn deliver(proxy: &Fixture, wire: &[u8]) -> outer::Answer {
    outer::call(proxy.address, "POST", STREAM, wire.to_vec()).await
}
