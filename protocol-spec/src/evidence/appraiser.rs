//! The appraisal of evidence (SPEC.md, Section 7): every check, in order, in one place.

use super::attestation::{AttestationDocument, UnverifiedDocument};
use super::cose::CoseSign1;
use super::document::Document;
use super::es384::{RustCrypto, Verifier};
use super::report::Time;
use super::{
    AppraisalError, AppraisedEvidence, Challenge, Check, EncodingError, Evidence, NonceError,
    PendingAppraisal, Policy, Refusal, Report, TrustAnchor, VerifiedEnclave, merkle, user_data,
};
use crate::key_config::{KeyConfig, KeyConfigFields};
use sha2::{Digest, Sha256};

/// Default of [`Appraiser::max_evidence_age_ms`]: 5 minutes.
pub const DEFAULT_MAX_EVIDENCE_AGE_MS: u64 = 300_000;
/// Default of [`Appraiser::max_clock_skew_ms`]: 5 minutes.
pub const DEFAULT_MAX_CLOCK_SKEW_MS: u64 = 300_000;

/// Longest time from a document to the end of the keys it announces: 24 hours.
const MAX_KEY_LIFETIME_MS: u64 = 86_400_000;

/// Decides whether evidence is good enough for a client.
///
/// ```
/// use steve_protocol::evidence::{Appraiser, Challenge, Pcr, PcrProfile, Policy};
///
/// # fn build_output(register: u8) -> Pcr { Pcr::from([register + 1; 48]) }
/// # fn post(_: &[u8]) -> Vec<u8> { Vec::new() }
/// // From the reproducible build of the image:
/// let profile = PcrProfile::new([0, 1, 2].map(|register| (register, build_output(register))))?;
/// let appraiser = Appraiser::new(Policy::pinned([profile])?);
///
/// # let (mut rng, sent_ms, now_ms): (rand_chacha::ChaCha20Rng, u64, u64) = (rand_chacha::rand_core::SeedableRng::from_seed([0; 32]), 0, 0);
/// let challenge = Challenge::random(&mut rng);
/// let evidence: Vec<u8> = post(challenge.as_bytes());
/// match appraiser.appraise(&evidence, &challenge, sent_ms, "https://app.example", now_ms) {
///     Ok(enclave) => println!("{}", enclave.report()),
///     Err(refusal) => eprintln!("{refusal}\n{}", refusal.report()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Appraiser {
    anchor: TrustAnchor,
    policy: Policy,
    max_evidence_age_ms: u64,
    max_clock_skew_ms: u64,
}

impl Appraiser {
    /// An appraiser for enclaves on AWS, with the default age and skew.
    pub fn new(policy: Policy) -> Self {
        Self {
            anchor: TrustAnchor::AWS_NITRO_ROOT_G1,
            policy,
            max_evidence_age_ms: DEFAULT_MAX_EVIDENCE_AGE_MS,
            max_clock_skew_ms: DEFAULT_MAX_CLOCK_SKEW_MS,
        }
    }

    /// The same appraiser with another policy. A signed policy is never replaced by an older one of its
    /// namespace.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        let policy = if self.policy.is_newer_than(&policy) { self.policy.clone() } else { policy };
        Self { policy, ..self.clone() }
    }

    /// Trusts another root instead of AWS's. Whoever holds its key can make evidence for anything.
    #[cfg(feature = "dangerous-trust-anchor")]
    #[must_use]
    pub fn dangerous_with_anchor(self, anchor: TrustAnchor) -> Self {
        Self { anchor, ..self }
    }

    /// How old a document may be, and for how long a verified enclave may be used: milliseconds.
    #[must_use]
    pub fn max_evidence_age_ms(self, max_evidence_age_ms: u64) -> Self {
        Self { max_evidence_age_ms, ..self }
    }

    /// How far in the future a document may be: milliseconds.
    #[must_use]
    pub fn max_clock_skew_ms(self, max_clock_skew_ms: u64) -> Self {
        Self { max_clock_skew_ms, ..self }
    }

    /// Appraises the answer to `challenge`: all checks.
    ///
    /// `evidence` is the body as received. `sent_ms` is when the challenge was sent and `now_ms` the
    /// time now, both in milliseconds since 1970 on the client's clock. `origin` names the service to
    /// a policy that trusts on first use, which records the enclave if everything else has passed;
    /// pinned policies ignore it.
    pub fn appraise(
        &self,
        evidence: &[u8],
        challenge: &Challenge,
        sent_ms: u64,
        origin: &str,
        now_ms: u64,
    ) -> Result<VerifiedEnclave, Refusal> {
        let sent = Sent::new(challenge, sent_ms, now_ms);
        self.appraise_with(evidence, sent, origin, now_ms, &RustCrypto)
    }

    /// Begins the same appraisal, for a caller who verifies signatures.
    pub fn begin(
        &self,
        evidence: Vec<u8>,
        challenge: Challenge,
        sent_ms: u64,
        origin: String,
        now_ms: u64,
    ) -> PendingAppraisal {
        PendingAppraisal::new(self.clone(), evidence, challenge, sent_ms, origin, now_ms)
    }

    pub(super) fn appraise_with(
        &self,
        evidence: &[u8],
        sent: Sent<'_>,
        origin: &str,
        now_ms: u64,
        verifier: &dyn Verifier,
    ) -> Result<VerifiedEnclave, Refusal> {
        let input = Input { evidence, sent: Some(sent), origin, now_ms, verifier };
        let findings = self.examine(&input)?;
        Ok(VerifiedEnclave::new(findings.evidence, findings.valid_until_ms))
    }

    /// Shows `collector` each signature that an appraisal of this evidence would verify.
    pub(super) fn read_signatures(
        &self,
        evidence: &[u8],
        now_ms: u64,
        collector: &dyn Verifier,
    ) -> Result<(), AppraisalError> {
        let evidence = Evidence::decode(evidence).map_err(|_| EncodingError::Evidence)?;
        let document = UnverifiedDocument::decode(evidence.document)?;
        document.check_root(&self.anchor)?;
        let leaf = document.check_certificates(now_ms, collector)?;
        document.check_signature(&leaf, collector)
    }

    /// Appraises evidence that was not made for a challenge, for auditors.
    ///
    /// The check `nonce` is not performed: the evidence can be a recording, so the result does not
    /// start handshakes. Nothing is recorded; a policy that trusts on first use compares with its
    /// record if there is one.
    pub fn audit(
        &self,
        evidence: &[u8],
        origin: &str,
        now_ms: u64,
    ) -> Result<AppraisedEvidence, Refusal> {
        let verifier = &RustCrypto;
        let findings = self.examine(&Input { evidence, sent: None, origin, now_ms, verifier })?;
        Ok(findings.evidence)
    }

    fn examine(&self, input: &Input<'_>) -> Result<Findings, Refusal> {
        let mut report = Report::new();
        match self.run(input, &mut report) {
            Ok(mut findings) => {
                report.succeed(&self.anchor, findings.evidence.trust());
                findings.evidence.report = report;
                Ok(findings)
            }
            Err(error) => {
                report.fail(&error);
                Err(Refusal::new(error, report))
            }
        }
    }

    /// The checks of SPEC.md, Section 7, in its order.
    fn run(&self, input: &Input<'_>, report: &mut Report) -> Result<Findings, AppraisalError> {
        let Input { sent, origin, now_ms, verifier, .. } = input;
        let evidence = Evidence::decode(input.evidence).map_err(|_| EncodingError::Evidence)?;
        let key_config =
            KeyConfig::decode(evidence.key_config).map_err(|_| EncodingError::KeyConfig)?;
        report.pass(Check::Encoding, format_args!("epoch {}", key_config.fields().epoch));

        let document = self.attested(evidence.document, *now_ms, report, *verifier)?;

        match sent {
            Some(Sent { challenge, .. }) => {
                check_nonce(&evidence, &document, challenge)?;
                let Evidence { leaf_index, tree_size, .. } = evidence;
                report.pass(Check::Nonce, format_args!("challenge {leaf_index} of {tree_size}"));
            }
            None => {
                check_unchallenged(&evidence)?;
                report.skip(Check::Nonce, "no challenge was sent");
            }
        }

        if document.user_data() != Some(&user_data(&key_config)) {
            return Err(AppraisalError::KeyConfig);
        }
        let KeyConfigFields { not_after, configuration_hash, manifest_hash, keys, .. } =
            key_config.fields();
        let suites: Vec<_> = keys.iter().map(|entry| entry.suite.name()).collect();
        report.pass(Check::KeyConfig, suites.join(", "));

        check_key_lifetime(document.timestamp_ms, *not_after)?;
        let valid_until_ms = match sent {
            Some(sent) => self.valid_until_ms(&document, *not_after, sent.at_ms),
            None => u64::MAX,
        };
        if *now_ms >= valid_until_ms {
            return Err(AppraisalError::Stale { valid_until_ms, now_ms: *now_ms });
        }
        report.pass(Check::KeyLifetime, format_args!("until {}", Time(*not_after)));

        if Sha256::digest(evidence.configuration)[..] != configuration_hash[..] {
            return Err(AppraisalError::Configuration);
        }
        report.pass(Check::Configuration, format_args!("{} bytes", evidence.configuration.len()));

        if Sha256::digest(evidence.manifest)[..] != manifest_hash[..] {
            return Err(AppraisalError::Manifest);
        }
        report.pass(Check::Manifest, format_args!("{} bytes", evidence.manifest.len()));

        document.check_debug_mode()?;
        report.pass(Check::DebugMode, "PCR0, PCR1 and PCR2 are measured");

        let trust = match sent {
            Some(_) => Some(self.policy.appraise(&document.pcrs, origin, *now_ms)?),
            None => self.policy.compare(&document.pcrs, origin, *now_ms)?,
        };
        match &trust {
            Some(trust) => report.pass(Check::Policy, trust),
            None => report.skip(Check::Policy, "nothing is on record to compare with"),
        }

        let evidence = AppraisedEvidence {
            key_config,
            timestamp_ms: document.timestamp_ms,
            pcrs: document.pcrs,
            module_id: document.module_id,
            configuration: evidence.configuration.to_vec(),
            manifest: evidence.manifest.to_vec(),
            trust,
            report: Report::new(),
        };
        let valid_until_ms = valid_until_ms.min(self.policy.expires_ms());
        Ok(Findings { evidence, valid_until_ms })
    }

    /// The checks of the document alone: `cose` to `timestamp`.
    fn attested(
        &self,
        document: &[u8],
        now_ms: u64,
        report: &mut Report,
        verifier: &dyn Verifier,
    ) -> Result<AttestationDocument, AppraisalError> {
        let cose = CoseSign1::decode(document)?;
        report.pass(Check::Cose, format_args!("ES384, {} bytes", document.len()));

        let decoded = UnverifiedDocument { cose, document: Document::decode(cose.payload)? };
        // Not verified yet: what it says must not look like lines of the report.
        report.pass(Check::Document, decoded.module_id().escape_debug());

        decoded.check_root(&self.anchor)?;
        report.pass(Check::Root, self.anchor);

        let leaf = decoded.check_certificates(now_ms, verifier)?;
        let count = decoded.document.cabundle.len() + 1;
        let until = Time(leaf.not_after_ms);
        report.pass(Check::Certificates, format_args!("{count} certificates, valid until {until}"));

        decoded.check_signature(&leaf, verifier)?;
        report.pass(Check::Signature, "made with the leaf's key");
        let document = decoded.verified(&leaf);

        document.check_timestamp(now_ms, self.max_evidence_age_ms, self.max_clock_skew_ms)?;
        report.pass(Check::Timestamp, Time(document.timestamp_ms));
        Ok(document)
    }

    /// Three durations between trusted times, counted from when the challenge was sent: the document
    /// was made after that, so neither delay nor a clock that is off prolongs anything.
    fn valid_until_ms(
        &self,
        document: &AttestationDocument,
        not_after_ms: u64,
        sent_ms: u64,
    ) -> u64 {
        let timestamp_ms = document.timestamp_ms;
        let keys = not_after_ms.saturating_sub(timestamp_ms);
        let certificates = document.not_after_ms().saturating_sub(timestamp_ms);
        sent_ms.saturating_add(self.max_evidence_age_ms.min(keys).min(certificates))
    }
}

struct Input<'a> {
    evidence: &'a [u8],
    sent: Option<Sent<'a>>,
    origin: &'a str,
    now_ms: u64,
    verifier: &'a dyn Verifier,
}

pub(super) struct Sent<'a> {
    challenge: &'a Challenge,
    at_ms: u64,
}

impl<'a> Sent<'a> {
    pub(super) fn new(challenge: &'a Challenge, at_ms: u64, now_ms: u64) -> Self {
        Self { challenge, at_ms: at_ms.min(now_ms) }
    }
}

struct Findings {
    evidence: AppraisedEvidence,
    /// Without meaning for unchallenged evidence.
    valid_until_ms: u64,
}

fn check_nonce(
    evidence: &Evidence<'_>,
    document: &AttestationDocument,
    challenge: &Challenge,
) -> Result<(), NonceError> {
    let Evidence { leaf_index, tree_size, path, .. } = *evidence;
    if tree_size == 0 {
        return Err(NonceError::Unchallenged);
    }
    if tree_size as usize > merkle::MAX_LEAVES || leaf_index >= tree_size {
        return Err(NonceError::OutOfBounds);
    }
    let root = document.nonce().and_then(|nonce| nonce.try_into().ok());
    let root = root.ok_or(NonceError::NotAHash)?;
    if merkle::verify_inclusion(challenge, leaf_index, tree_size, path, root) {
        Ok(())
    } else {
        Err(NonceError::NotIncluded)
    }
}

fn check_unchallenged(evidence: &Evidence<'_>) -> Result<(), NonceError> {
    if evidence.tree_size == 0 && evidence.leaf_index == 0 && evidence.path.is_empty() {
        Ok(())
    } else {
        Err(NonceError::Challenged)
    }
}

fn check_key_lifetime(timestamp_ms: u64, not_after_ms: u64) -> Result<(), AppraisalError> {
    match not_after_ms.checked_sub(timestamp_ms) {
        Some(1..=MAX_KEY_LIFETIME_MS) => Ok(()),
        _ => Err(AppraisalError::KeyLifetime { not_after_ms, timestamp_ms }),
    }
}
