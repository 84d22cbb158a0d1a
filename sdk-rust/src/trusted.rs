//! Evidence from the proxy, and how long what it proved may be used.

use crate::error::{Error, SharedError};
use crate::transport::Transport;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use steve_protocol::evidence::{Appraiser, Challenge, MAX_EVIDENCE_LEN, VerifiedEnclave};

/// How a client appraises evidence.
pub(crate) struct Appraisal {
    pub(crate) appraiser: Arc<Appraiser>,
    pub(crate) origin: Arc<str>,
}

/// A verified enclave, and when it was verified.
pub(crate) struct Trusted {
    pub(crate) enclave: VerifiedEnclave,
    verified_ms: u64,
    verified: Instant,
}

impl Trusted {
    /// Fetches evidence for a fresh challenge and appraises it.
    pub(crate) async fn fetch(
        transport: &Transport,
        appraisal: &Appraisal,
    ) -> Result<Self, Error> {
        let challenge = Challenge::random(&mut rng()?);
        let evidence = transport.evidence(challenge.as_bytes(), MAX_EVIDENCE_LEN).await?;
        let Appraisal { appraiser, origin } = appraisal;
        let (appraiser, origin) = (appraiser.clone(), origin.clone());
        // Signatures take milliseconds, and a store of pins may have to wait for a disk.
        let appraising = tokio::task::spawn_blocking(move || {
            let (verified, verified_ms) = (Instant::now(), wall_clock_ms());
            let enclave = appraiser.appraise(&evidence, &challenge, &origin, verified_ms)?;
            Ok(Self { enclave, verified_ms, verified })
        });
        appraising.await.unwrap_or_else(|error| Err(Error::Internal(SharedError::new(error))))
    }

    /// The time on the clock of the appraisal. It also runs on when the computer's clock is set back, or
    /// stands still while the computer sleeps.
    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.verified.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.verified_ms.saturating_add(elapsed).max(wall_clock_ms())
    }

    /// True while handshakes may be started.
    pub(crate) fn is_valid(&self) -> bool {
        self.now_ms() < self.enclave.valid_until_ms()
    }
}

/// A generator seeded by the operating system; made anew for each use, so that a copied process does
/// not repeat what it gave.
pub(crate) fn rng() -> Result<StdRng, Error> {
    StdRng::try_from_rng(&mut SysRng).map_err(|_| Error::NoEntropy)
}

fn wall_clock_ms() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
