//! The resource `session`: key exchange and document.

use super::messages::{SessionReply, SessionRequest};
use super::schedule::{Keys, Transcript};
use super::sessions::Session;
use super::{Refusal, Service, answer::Answer};
use crate::routes::Outer;
use crate::server::Proxy;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use rand::Rng;
use serde::Serialize;
use tokio::time::timeout;

/// What the answer may hold until it is written, in bytes.
const REPLY_BYTES: usize = 16 * 1024;

/// User data of a session's document. The order is part of the format as far as we are concerned:
/// clients parse JSON.
#[derive(Serialize)]
struct UserData<'a> {
    protocol: &'a str,
    key_exchange: &'a str,
    session_id: String,
    transcript_hash: String,
    binder: String,
}

/// Nothing is computed before there is a place in the attester's queue, and as on our own path a
/// connection has no more of it than it may leave unread (rows 17 and 18).
pub(super) async fn session(
    proxy: &Proxy,
    service: &Service,
    outer: &Outer,
    message: &[u8],
) -> Result<Answer, Refusal> {
    let request = SessionRequest::decode(message)?;
    let key_exchange = service.key_exchange.name();
    if request.key_exchange != key_exchange {
        return Err(Refusal::Protocol);
    }
    if proxy.is_draining() {
        return Err(Refusal::Unavailable);
    }
    let limits = &proxy.limits;
    let unread = timeout(limits.challenge_timeout, outer.unread.clone().acquire_owned()).await;
    let unread = unread.ok().and_then(Result::ok).ok_or(Refusal::Unavailable)?;
    let place = service.memory.place(&outer.messages);
    let room = place.take(REPLY_BYTES).ok_or(Refusal::Unavailable)?;
    let place = proxy.evidence.place()?;
    let (id, keys, server_key_material) = {
        let mut rng = proxy.entropy.fork();
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let (server_key_material, shared) =
            service.key_exchange.respond(request.client_key_material, &mut rng)?;
        let transcript = Transcript {
            key_exchange,
            client_nonce: request.client_nonce,
            client_key_material: request.client_key_material,
            server_key_material: &server_key_material,
            session_id: &id,
            context_hash: request.context_hash,
        };
        (id, Keys::derive(&shared, transcript.hash()), server_key_material)
    };
    let user_data = UserData {
        protocol: "STEVE-E2P-V2",
        key_exchange,
        session_id: URL_SAFE_NO_PAD.encode(id),
        transcript_hash: URL_SAFE_NO_PAD.encode(keys.transcript_hash),
        binder: URL_SAFE_NO_PAD.encode(keys.binder),
    };
    let user_data = serde_json::to_vec(&user_data).map_err(|_| Refusal::Unavailable)?;
    let document = proxy.evidence.document(place, user_data, *request.client_nonce).await?;
    service.sessions.insert(Session::new(id, keys, service.memory.of_peer()));
    let reply = SessionReply {
        key_exchange,
        session_id: &id,
        server_key_material: &server_key_material,
        attestation_document: &document,
        expires_in_seconds: limits.unconfirmed_lifetime.as_secs().max(1),
    };
    let bytes = Bytes::from_owner(Held { bytes: reply.encode(), _room: room });
    Ok(Answer::new(bytes, limits.e2p_v2_timeout, None, Some(unread)))
}

/// Bytes with the memory that is counted for them.
struct Held {
    bytes: Vec<u8>,
    _room: super::memory::Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
