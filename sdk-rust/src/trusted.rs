//! Evidence from the proxy, and how long what it proved may be used.

use crate::clock::Clock;
use crate::error::{Error, SharedError};
use crate::transport::Transport;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use steve_protocol::evidence::{Appraiser, Challenge, MAX_EVIDENCE_LEN, VerifiedEnclave};

/// How a client appraises evidence.
pub(crate) struct Appraisal {
    pub(crate) appraiser: Arc<Appraiser>,
    pub(crate) origin: Arc<str>,
}

/// A verified enclave, and the clock that its validity counts on.
pub(crate) struct Trusted {
    pub(crate) enclave: VerifiedEnclave,
    pub(crate) clock: Clock,
    /// It has rejected an early request, or one did not get through.
    rejects_early: AtomicBool,
}

impl Trusted {
    /// Fetches evidence for a fresh challenge and appraises it.
    pub(crate) async fn fetch(transport: &Transport, appraisal: &Appraisal) -> Result<Self, Error> {
        let challenge = Challenge::random(&mut rng()?);
        let clock = Clock::start();
        let sent_ms = clock.now_ms();
        let evidence = transport.evidence(challenge.as_bytes(), MAX_EVIDENCE_LEN).await?;
        let Appraisal { appraiser, origin } = appraisal;
        let (appraiser, origin) = (appraiser.clone(), origin.clone());
        // Signatures take milliseconds, and a store of pins may have to wait for a disk.
        let appraising = tokio::task::spawn_blocking(move || {
            let now_ms = clock.now_ms();
            let enclave = appraiser.appraise(&evidence, &challenge, sent_ms, &origin, now_ms)?;
            Ok(Self { enclave, clock, rejects_early: AtomicBool::new(false) })
        });
        appraising.await.unwrap_or_else(|error| Err(Error::Internal(SharedError::new(error))))
    }

    /// True when it is worth while to send a request along with a handshake.
    pub(crate) fn may_take_early(&self) -> bool {
        !self.rejects_early.load(Relaxed)
    }

    /// Notes that it is not.
    pub(crate) fn rejects_early(&self) {
        self.rejects_early.store(true, Relaxed);
    }

    /// True while handshakes may be started.
    pub(crate) fn is_valid(&self) -> bool {
        self.clock.now_ms() < self.enclave.valid_until_ms()
    }
}

/// A generator seeded by the operating system; made anew for each use, so that a copied process does
/// not repeat what it gave.
pub(crate) fn rng() -> Result<StdRng, Error> {
    StdRng::try_from_rng(&mut SysRng).map_err(|_| Error::NoEntropy)
}
