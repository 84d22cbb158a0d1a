//! Evidence for clients, made by one thread that owns the attester (row 17).
//!
//! Group commit: while one attestation is in flight later challenges queue, and the next attestation
//! answers all of them with one Merkle tree. The queue is bounded; what does not fit is refused.

use crate::attester::{AttestError, Attester};
use crate::clock::NsmClock;
use crate::keys::KeyRing;
use crate::limits::Limits;
use crate::metrics::Metrics;
use bytes::Bytes;
#[cfg(feature = "e2p-v2")]
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;
use steve_protocol::evidence::{
    AppraisalError, Challenge, Evidence, MerkleTree, UnverifiedDocument, user_data,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
#[cfg(feature = "e2p-v2")]
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// Documents for one client each that wait for the attester. At 30 ms each, with a batch of challenges
/// in between, the last one is there within the 10 s that clients wait.
#[cfg(feature = "e2p-v2")]
const MAX_DOCUMENTS: usize = 64;
#[cfg(not(feature = "e2p-v2"))]
const MAX_DOCUMENTS: usize = 0;

/// No evidence is to be had now.
#[derive(Debug)]
pub(crate) struct NoEvidence;

/// Hands requests for evidence to the attester's thread.
pub(crate) struct EvidenceService {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    renew: Notify,
    /// Places for documents of their own. Challenges have the rest of the queue.
    #[cfg(feature = "e2p-v2")]
    documents: Arc<Semaphore>,
    challenge_timeout: Duration,
    refresh: Duration,
    retry: Duration,
}

enum Job {
    Challenge(Challenge, oneshot::Sender<Encoded>),
    Unchallenged(oneshot::Sender<Result<(), AttestError>>),
    #[cfg(feature = "e2p-v2")]
    Document(DocumentJob),
}

/// A document that is for one client alone.
#[cfg(feature = "e2p-v2")]
struct DocumentJob {
    user_data: Vec<u8>,
    nonce: [u8; 32],
    reply: oneshot::Sender<Vec<u8>>,
    _place: OwnedSemaphorePermit,
}

/// Evidence for one client. The configuration and the manifest, which are most of it and the same for
/// all, are kept once: an answer that its client does not read holds little memory (row 18).
#[derive(Clone)]
pub(crate) struct Encoded {
    /// All up to the configuration.
    pub(crate) own: Bytes,
    pub(crate) shared: Bytes,
}

/// What is sent along with every document.
pub(crate) struct Statements {
    pub(crate) configuration: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    unchallenged: RwLock<Option<Prefetched>>,
    /// The last attestation succeeded.
    works: AtomicBool,
}

/// Evidence made in advance.
struct Prefetched {
    encoded: Encoded,
    made: Instant,
    /// How long its signing certificate was valid when it was made: hours, or minutes if the NSM is
    /// about to renew it.
    leaf_life: Duration,
}

impl EvidenceService {
    /// Starts the attester's thread. It ends when the service is dropped.
    pub(crate) fn start(
        attester: Box<dyn Attester>,
        keys: Arc<KeyRing>,
        clock: Arc<NsmClock>,
        statements: Statements,
        metrics: Arc<Metrics>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(limits.max_challenges + MAX_DOCUMENTS);
        let shared = Arc::new(Shared::default());
        let max_batch = limits.max_challenges;
        let owner = Owner {
            attester,
            keys,
            clock,
            statements,
            tail: Bytes::new(),
            shared: shared.clone(),
            metrics,
            max_batch,
        };
        thread::Builder::new().name("attester".into()).spawn(move || owner.run(queue))?;
        Ok(Self {
            jobs,
            shared,
            renew: Notify::new(),
            #[cfg(feature = "e2p-v2")]
            documents: Arc::new(Semaphore::new(MAX_DOCUMENTS)),
            challenge_timeout: limits.challenge_timeout,
            refresh: limits.unchallenged_refresh,
            retry: limits.attester_retry,
        })
    }

    /// Evidence that is fresh for `challenge`.
    pub(crate) async fn challenge(&self, challenge: Challenge) -> Result<Encoded, NoEvidence> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Challenge(challenge, reply), answer).await
    }

    /// A document over this user data and nonce, for a client of E2P v2. There are few places to wait,
    /// and one document is made between two batches of challenges: it takes a call of the attester for
    /// itself, and must not keep the others from theirs (row 17).
    #[cfg(feature = "e2p-v2")]
    pub(crate) async fn document(
        &self,
        user_data: Vec<u8>,
        nonce: [u8; 32],
    ) -> Result<Vec<u8>, NoEvidence> {
        let place = self.documents.clone().try_acquire_owned().map_err(|_| NoEvidence)?;
        let (reply, answer) = oneshot::channel();
        let job = DocumentJob { user_data, nonce, reply, _place: place };
        self.ask(Job::Document(job), answer).await
    }

    async fn ask<T>(&self, job: Job, answer: oneshot::Receiver<T>) -> Result<T, NoEvidence> {
        self.jobs.try_send(job).map_err(|error| {
            if let TrySendError::Closed(_) = error {
                self.gone();
            }
            NoEvidence
        })?;
        let answer = timeout(self.challenge_timeout, answer).await.map_err(|_| NoEvidence)?;
        answer.map_err(|_| {
            // The attester has failed. That it works again must not be noticed at the next refresh only.
            self.renew.notify_one();
            NoEvidence
        })
    }

    /// Evidence made in advance, for nobody in particular.
    pub(crate) fn unchallenged(&self) -> Result<Encoded, NoEvidence> {
        let made = self.shared.unchallenged.read().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            made.as_ref().filter(|made| made.made.elapsed() < made.leaf_life.min(2 * self.refresh));
        fresh.map(|made| made.encoded.clone()).ok_or(NoEvidence)
    }

    /// True when the last attestation succeeded.
    pub(crate) fn works(&self) -> bool {
        self.shared.works.load(Relaxed)
    }

    /// Makes the unchallenged evidence anew.
    pub(crate) async fn renew(&self) -> Result<(), AttestError> {
        let gone = || self.gone();
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Unchallenged(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn gone(&self) -> AttestError {
        self.shared.works.store(false, Relaxed);
        AttestError::Document("the attester's thread has ended".into())
    }

    /// Says that a new key generation is to be announced.
    pub(crate) fn keys_changed(&self) {
        self.renew.notify_one();
    }

    /// Until the unchallenged evidence is made anew, well before its certificate expires.
    fn pause(&self) -> Duration {
        let made = self.shared.unchallenged.read().unwrap_or_else(PoisonError::into_inner);
        let leaf = made.as_ref().map_or(self.refresh, |made| made.leaf_life / 2);
        leaf.clamp(self.retry.min(self.refresh), self.refresh)
    }

    /// Keeps the unchallenged evidence fresh, for ever. It is also what notices that an attester
    /// that had failed works again.
    pub(crate) async fn run(&self) {
        loop {
            let pause = if self.works() { self.pause() } else { self.retry };
            let _ = timeout(pause, self.renew.notified()).await;
            if self.renew().await.is_err() {
                sleep(self.retry).await;
            }
        }
    }
}

/// The attester with its thread.
struct Owner {
    attester: Box<dyn Attester>,
    keys: Arc<KeyRing>,
    clock: Arc<NsmClock>,
    statements: Statements,
    /// The statements as evidence holds them, once they have been encoded.
    tail: Bytes,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    max_batch: usize,
}

impl Owner {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        #[cfg(feature = "e2p-v2")]
        let mut documents = VecDeque::new();
        loop {
            #[cfg(feature = "e2p-v2")]
            let waits = documents.is_empty();
            #[cfg(not(feature = "e2p-v2"))]
            let waits = true;
            let mut job = if waits { queue.blocking_recv() } else { queue.try_recv().ok() };
            if waits && job.is_none() {
                return;
            }
            let (mut challenges, mut replies) = (Vec::new(), Vec::new());
            while let Some(next) = job {
                match next {
                    Job::Unchallenged(reply) => {
                        let _ = reply.send(self.unchallenged());
                    }
                    // Nobody waits any more for what is closed.
                    Job::Challenge(challenge, reply) if !reply.is_closed() => {
                        challenges.push(challenge);
                        replies.push(reply);
                    }
                    Job::Challenge(..) => {}
                    #[cfg(feature = "e2p-v2")]
                    Job::Document(job) => documents.push_back(job),
                }
                job = (challenges.len() < self.max_batch).then(|| queue.try_recv().ok()).flatten();
            }
            // Those who wait see their reply dropped.
            let _ = self.batch(&challenges, replies);
            #[cfg(feature = "e2p-v2")]
            if let Some(job) = documents.pop_front() {
                self.document(job);
            }
        }
    }

    /// A reply that is dropped says that there is none.
    #[cfg(feature = "e2p-v2")]
    fn document(&mut self, job: DocumentJob) {
        if !job.reply.is_closed()
            && let Ok(document) = self.sign(&job.user_data, Some(&job.nonce))
        {
            let _ = job.reply.send(document);
        }
    }

    /// One document for all challenges. A reply that is dropped says that there is none.
    fn batch(
        &mut self,
        challenges: &[Challenge],
        replies: Vec<oneshot::Sender<Encoded>>,
    ) -> Result<(), AttestError> {
        let Ok(tree) = MerkleTree::new(challenges) else { return Ok(()) };
        let (key_config, document) = self.attest(Some(&tree.root()))?;
        self.metrics.answered(challenges.len());
        for (leaf_index, reply) in (0..).zip(replies) {
            let path = tree.path(leaf_index).unwrap_or_default();
            let encoded = self.encode(&key_config, &document, leaf_index, tree.size(), &path)?;
            let _ = reply.send(encoded);
        }
        Ok(())
    }

    fn unchallenged(&mut self) -> Result<(), AttestError> {
        let (key_config, document) = self.attest(None)?;
        let leaf_life = leaf_life(&document)?;
        let encoded = self.encode(&key_config, &document, 0, 0, &[])?;
        let mut made = self.shared.unchallenged.write().unwrap_or_else(PoisonError::into_inner);
        *made = Some(Prefetched { encoded, made: Instant::now(), leaf_life });
        Ok(())
    }

    /// A document that announces the current key generation, with that generation's configuration.
    fn attest(&mut self, nonce: Option<&[u8]>) -> Result<(Vec<u8>, Vec<u8>), AttestError> {
        let keys = self.keys.current();
        let document = self.sign(&user_data(keys.config()), nonce)?;
        Ok((keys.config().encoded().to_vec(), document))
    }

    fn sign(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        let begun = Instant::now();
        let document = self.attester.attest(user_data, nonce);
        let document = document.and_then(|document| {
            self.clock.set(timestamp_ms(&document)?, begun);
            Ok(document)
        });
        self.metrics.evidence_call(document.is_ok(), begun.elapsed());
        match (&document, self.shared.works.swap(document.is_ok(), Relaxed)) {
            (Err(error), true) => tracing::warn!(%error, "the attester fails"),
            (Ok(_), false) => tracing::info!("the attester works"),
            _ => {}
        }
        document
    }

    fn encode(
        &mut self,
        key_config: &[u8],
        document: &[u8],
        leaf_index: u32,
        tree_size: u32,
        path: &[u8],
    ) -> Result<Encoded, AttestError> {
        let Statements { configuration, manifest } = &self.statements;
        let evidence =
            Evidence { key_config, document, leaf_index, tree_size, path, configuration, manifest };
        let encoded =
            evidence.encode().map_err(|_| AttestError::Document("it is too large".into()))?;
        // The statements come last, each after two bytes of length.
        let statements = 2 + configuration.len() + 2 + manifest.len();
        let (own, shared) = encoded.split_at(encoded.len().saturating_sub(statements));
        if self.tail != shared {
            self.tail = Bytes::copy_from_slice(shared);
        }
        Ok(Encoded { own: Bytes::copy_from_slice(own), shared: self.tail.clone() })
    }
}

/// The time that a document of our own attester states.
pub(crate) fn timestamp_ms(document: &[u8]) -> Result<u64, AttestError> {
    decode(document).map(|document| document.timestamp_ms())
}

/// How long the certificate that signed it was still valid.
fn leaf_life(document: &[u8]) -> Result<Duration, AttestError> {
    let document = decode(document)?;
    let until_ms = document.leaf_not_after_ms().map_err(failed)?;
    Ok(Duration::from_millis(until_ms.saturating_sub(document.timestamp_ms())))
}

fn decode(document: &[u8]) -> Result<UnverifiedDocument<'_>, AttestError> {
    UnverifiedDocument::decode(document).map_err(failed)
}

fn failed(error: AppraisalError) -> AttestError {
    AttestError::Document(error.to_string())
}
