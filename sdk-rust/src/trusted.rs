//! Evidence from the proxy, and how long what it proved may be used.

use crate::clock::Clock;
use crate::error::{Error, SharedError};
use crate::transport::{Route, Transport};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steve_protocol::evidence::{Appraiser, Challenge, MAX_EVIDENCE_LEN, Policy, VerifiedEnclave};

/// How a client appraises evidence.
pub(crate) struct Appraisal {
    rules: Mutex<Arc<Rules>>,
    origin: Arc<str>,
}

/// The rules of a client, until they are replaced.
pub(crate) struct Rules {
    appraiser: Appraiser,
    replaced: AtomicBool,
}

impl Rules {
    fn new(appraiser: Appraiser) -> Arc<Self> {
        Arc::new(Self { appraiser, replaced: AtomicBool::new(false) })
    }

    pub(crate) fn are_replaced(&self) -> bool {
        self.replaced.load(SeqCst)
    }
}

impl Appraisal {
    pub(crate) fn new(appraiser: Appraiser, origin: Arc<str>) -> Self {
        Self { rules: Mutex::new(Rules::new(appraiser)), origin }
    }

    /// What was verified under the policy before is not valid any more.
    pub(crate) fn replace_policy(&self, policy: Policy) {
        let mut rules = self.lock();
        rules.replaced.store(true, SeqCst);
        *rules = Rules::new(rules.appraiser.with_policy(policy));
    }

    /// Those that hold now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.lock().clone()
    }

    pub(crate) fn origin(&self) -> Arc<str> {
        self.origin.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Rules>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A verified enclave, and the clock that its validity counts on.
pub(crate) struct Trusted {
    pub(crate) enclave: VerifiedEnclave,
    pub(crate) clock: Clock,
    /// Goes along with every request to it.
    pub(crate) route: Route,
    rules: Arc<Rules>,
    /// It has rejected an early request, or one did not get through.
    rejects_early: AtomicBool,
}

impl Trusted {
    /// Fetches evidence for a fresh challenge and appraises it.
    pub(crate) async fn fetch(
        transport: &Transport,
        rules: Arc<Rules>,
        origin: Arc<str>,
    ) -> Result<Self, Error> {
        let challenge = Challenge::random(&mut rng()?);
        let clock = Clock::start();
        let sent_ms = clock.now_ms();
        let (evidence, route) = transport.evidence(challenge.as_bytes(), MAX_EVIDENCE_LEN).await?;
        // Signatures take milliseconds, and a store of pins may have to wait for a disk.
        let appraising = tokio::task::spawn_blocking(move || {
            let now_ms = clock.now_ms();
            let enclave =
                rules.appraiser.appraise(&evidence, &challenge, sent_ms, &origin, now_ms)?;
            Ok(Self { enclave, clock, route, rules, rejects_early: AtomicBool::new(false) })
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
        !self.rules.are_replaced() && self.clock.now_ms() < self.enclave.valid_until_ms()
    }
}

/// A generator seeded by the operating system; made anew for each use, so that a copied process does
/// not repeat what it gave.
pub(crate) fn rng() -> Result<StdRng, Error> {
    StdRng::try_from_rng(&mut SysRng).map_err(|_| Error::NoEntropy)
}
