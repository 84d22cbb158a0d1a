//! The client's side of a session, from the protocol core alone.

use crate::Result;
use crate::http::Http;
use crate::request::STREAM_PATH;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use steve_protocol::evidence::dev::pcrs;
use steve_protocol::evidence::{
    Appraiser, Challenge, PcrProfile, Policy, TrustAnchor, VerifiedEnclave,
};
use steve_protocol::handshake::ClientHandshake;
use steve_protocol::session::ClientSession;
use steve_protocol::suite::Suite;

pub(crate) const EVIDENCE_PATH: &str = "/.well-known/steve/v3/evidence";

/// For how long sessions are made on one attestation: longer than any case takes.
const EVIDENCE_AGE_MS: u64 = 3_600_000;

pub(crate) fn rng() -> Result<StdRng> {
    Ok(StdRng::try_from_rng(&mut SysRng)?)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

/// The policy that the development attester fulfils.
pub(crate) fn policy() -> Result<Policy> {
    Ok(Policy::pinned([PcrProfile::of(&pcrs())?])?)
}

/// Challenges a proxy and appraises its evidence.
pub(crate) async fn attest(http: &mut Http, root: TrustAnchor) -> Result<Arc<VerifiedEnclave>> {
    let appraiser = Appraiser::new(policy()?).dangerous_with_anchor(root);
    let appraiser = appraiser.max_evidence_age_ms(EVIDENCE_AGE_MS);
    let challenge = Challenge::random(&mut rng()?);
    let sent_ms = now_ms();
    let evidence = http.post(EVIDENCE_PATH, challenge.as_bytes()).await?;
    let enclave = appraiser.appraise(&evidence, &challenge, sent_ms, "bench", now_ms());
    Ok(Arc::new(enclave.map_err(|refusal| refusal.to_string())?))
}

/// Makes a session.
pub(crate) async fn handshake(
    http: &mut Http,
    enclave: &VerifiedEnclave,
    suite: Suite,
) -> Result<ClientSession> {
    let (handshake, hello) = ClientHandshake::start(enclave, &[suite], now_ms(), &mut rng()?)?;
    let answer = http.post(STREAM_PATH, &hello).await?;
    Ok(handshake.finish(&answer, now_ms())?)
}
