//! The enclave's KEM keys: one generation announced, the one before still honoured for a while.

use crate::clock::NsmClock;
use crate::entropy::Entropy;
use crate::error::StartError;
use rand::Rng;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use steve_protocol::handshake::EnclaveKeys;
use steve_protocol::key_config::Instance;
use steve_protocol::schedule::Hash;
use steve_protocol::suite::Suite;
use tokio::time::{Instant, sleep_until};

/// What every generation is made from.
pub(crate) struct KeyPlan {
    pub(crate) suites: Vec<Suite>,
    pub(crate) manifest_hash: Hash,
    pub(crate) configuration_hash: Hash,
    pub(crate) rotation: Duration,
    pub(crate) overlap: Duration,
    /// Early requests that a generation remembers; none are accepted beyond them.
    pub(crate) early_requests: usize,
}

impl KeyPlan {
    /// For how long a generation is honoured.
    fn life(&self) -> Duration {
        self.rotation + self.overlap
    }
}

struct Generations {
    current: Arc<EnclaveKeys>,
    /// When `current` was made.
    born: Instant,
    /// With when it ends to be honoured.
    previous: Option<(Arc<EnclaveKeys>, Instant)>,
}

/// The generations that are honoured now. A generation is erased when the ring lets go of it.
pub(crate) struct KeyRing {
    plan: KeyPlan,
    clock: Arc<NsmClock>,
    entropy: Arc<Entropy>,
    /// The same for all generations: what a process remembers outlives its keys.
    instance: Instance,
    generations: RwLock<Generations>,
}

impl KeyRing {
    /// Makes the first generation.
    pub(crate) fn new(
        plan: KeyPlan,
        clock: Arc<NsmClock>,
        entropy: Arc<Entropy>,
    ) -> Result<Self, StartError> {
        let born = Instant::now();
        let mut instance = Instance::default();
        entropy.fork().fill_bytes(&mut instance);
        let current = generate(&plan, 1, instance, &clock, &entropy)?;
        let generations = RwLock::new(Generations { current, born, previous: None });
        Ok(Self { plan, clock, entropy, instance, generations })
    }

    /// The generation that evidence announces.
    pub(crate) fn current(&self) -> Arc<EnclaveKeys> {
        self.read(|generations| generations.current.clone())
    }

    /// The generations that are honoured. One that has reached its end is not, erased or not.
    pub(crate) fn honoured(&self) -> [Option<Arc<EnclaveKeys>>; 2] {
        let now = Instant::now();
        self.read(|Generations { current, born, previous }| {
            let current = Some((current, *born + self.plan.life()));
            let previous = previous.as_ref().map(|(keys, end)| (keys, *end));
            [current, previous]
                .map(|keys| keys.filter(|(_, end)| now < *end).map(|(keys, _)| keys.clone()))
        })
    }

    fn read<T>(&self, f: impl FnOnce(&Generations) -> T) -> T {
        f(&self.generations.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, f: impl FnOnce(&mut Generations)) {
        f(&mut self.generations.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn rotate(&self) -> Result<(), StartError> {
        let epoch = self.current().config().fields().epoch + 1;
        let born = Instant::now();
        let next = generate(&self.plan, epoch, self.instance, &self.clock, &self.entropy)?;
        self.write(|generations| {
            let end = generations.born + self.plan.life();
            let previous = std::mem::replace(&mut generations.current, next);
            generations.previous = Some((previous, end));
            generations.born = born;
        });
        Ok(())
    }

    /// Rotates for ever, on the monotonic clock: the host sets the other one (row 15). Calls
    /// `announce` after every change of the announced generation.
    pub(crate) async fn run(&self, announce: impl Fn()) {
        let KeyPlan { rotation, overlap, .. } = self.plan;
        let mut born = self.read(|generations| generations.born);
        loop {
            sleep_until(born + rotation).await;
            born = Instant::now();
            match self.rotate() {
                Ok(()) => {
                    let epoch = self.current().config().fields().epoch;
                    tracing::info!(epoch, "keys rotated");
                    announce();
                }
                Err(error) => tracing::error!(%error, "key rotation failed"),
            }
            sleep_until(born + overlap).await;
            self.write(|generations| generations.previous = None);
        }
    }
}

fn generate(
    plan: &KeyPlan,
    epoch: u64,
    instance: Instance,
    clock: &NsmClock,
    entropy: &Entropy,
) -> Result<Arc<EnclaveKeys>, StartError> {
    let not_after = clock.now_ms().saturating_add(plan.life().as_millis() as u64);
    let keys = EnclaveKeys::generate(
        &plan.suites,
        epoch,
        not_after,
        plan.manifest_hash,
        plan.configuration_hash,
        &mut entropy.fork(),
    );
    let keys = keys
        .and_then(|keys| keys.for_instance(instance))
        .map(|keys| keys.with_early_requests(plan.early_requests));
    keys.map(Arc::new).map_err(|_| StartError::KeyConfig)
}
