//! The appraisal of evidence (SPEC.md, Section 7): every check, in order, in one place.

use super::attestation::{AttestationDocument, UnverifiedDocument};
use super::cose::CoseSign1;
use super::document::Document;
use super::report::{Outcome, Time};
use super::{
    AppraisalError, AppraisedEvidence, Challenge, Check, EncodingError, Evidence, NonceError,
    PcrTrust, Policy, Refusal, Report, TrustAnchor, VerifiedEnclave, merkle, user_data_of_hash,
};
use crate::key_config::KeyConfig;
use core::fmt;
use sha2::{Digest, Sha256};

/// Default of [`Appraiser::max_evidence_age_ms`]: 5 minutes.
pub const DEFAULT_MAX_EVIDENCE_AGE_MS: u64 = 300_000;
/// Default of [`Appraiser::max_clock_skew_ms`]: 5 minutes.
pub const DEFAULT_MAX_CLOCK_SKEW_MS: u64 = 300_000;

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
/// # let (mut rng, now_ms): (rand_chacha::ChaCha20Rng, u64) = (rand_chacha::rand_core::SeedableRng::from_seed([0; 32]), 0);
/// let challenge = Challenge::random(&mut rng);
/// let evidence: Vec<u8> = post(challenge.as_bytes());
/// match appraiser.appraise(&evidence, &challenge, "https://app.example", now_ms) {
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
    /// `evidence` is the body as received, `now_ms` the time in milliseconds since 1970. `origin`
    /// names the service to a policy that trusts on first use, which records the enclave if
    /// everything else has passed; pinned policies ignore it.
    pub fn appraise(
        &self,
        evidence: &[u8],
        challenge: &Challenge,
        origin: &str,
        now_ms: u64,
    ) -> Result<VerifiedEnclave, Refusal> {
        let input = Input { evidence, challenge: Some(challenge), origin, now_ms };
        let (evidence, valid_until_ms) = self.examine(&input)?;
        Ok(VerifiedEnclave::new(evidence, valid_until_ms))
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
        let input = Input { evidence, challenge: None, origin, now_ms };
        Ok(self.examine(&input)?.0)
    }

    fn examine(&self, input: &Input<'_>) -> Result<(AppraisedEvidence, u64), Refusal> {
        let mut report = Report::new();
        match self.run(input, &mut report) {
            Ok(Findings { evidence, key_config, document, trust }) => {
                report.succeed(&self.anchor, trust.as_ref());
                let valid_until_ms = self.valid_until_ms(&document, &key_config, input.now_ms);
                let evidence = AppraisedEvidence {
                    key_config,
                    timestamp_ms: document.timestamp_ms,
                    pcrs: document.pcrs,
                    module_id: document.module_id,
                    configuration: evidence.configuration.to_vec(),
                    manifest: evidence.manifest.to_vec(),
                    trust,
                    report,
                };
                Ok((evidence, valid_until_ms))
            }
            Err(error) => {
                report.fail(&error);
                Err(Refusal::new(error, report))
            }
        }
    }

    /// The checks of SPEC.md, Section 7, in its order.
    fn run<'a>(
        &self,
        input: &Input<'a>,
        report: &mut Report,
    ) -> Result<Findings<'a>, AppraisalError> {
        let Input { now_ms, origin, .. } = *input;
        let mut pass = |check, detail: fmt::Arguments<'_>| {
            report.record(check, Outcome::Passed, detail);
        };

        let evidence = Evidence::decode(input.evidence).map_err(|_| EncodingError::Evidence)?;
        let key_config =
            KeyConfig::decode(evidence.key_config).map_err(|_| EncodingError::KeyConfig)?;
        let fields = key_config.fields();
        pass(Check::Encoding, format_args!("epoch {}", fields.epoch));

        let cose = CoseSign1::decode(evidence.document)?;
        pass(Check::Cose, format_args!("ES384, {} bytes", evidence.document.len()));

        let decoded = UnverifiedDocument { cose, document: Document::decode(cose.payload)? };
        pass(Check::Document, format_args!("{}", decoded.module_id()));

        decoded.check_root(&self.anchor)?;
        pass(Check::Root, format_args!("{}", self.anchor));

        let leaf = decoded.check_certificates(now_ms)?;
        let count = decoded.document.cabundle.len() + 1;
        let not_after = Time(leaf.not_after_ms);
        pass(Check::Certificates, format_args!("{count} certificates, leaf until {not_after}"));

        decoded.check_signature(&leaf)?;
        pass(Check::Signature, format_args!("by the leaf's key"));
        let document = decoded.verified(&leaf);

        document.check_timestamp(now_ms, self.max_evidence_age_ms, self.max_clock_skew_ms)?;
        pass(Check::Timestamp, format_args!("{}", Time(document.timestamp_ms)));

        match input.challenge {
            Some(challenge) => {
                check_nonce(&evidence, &document, challenge)?;
                let Evidence { leaf_index, tree_size, .. } = evidence;
                pass(Check::Nonce, format_args!("challenge {leaf_index} of {tree_size}"));
            }
            None => {
                check_unchallenged(&evidence)?;
                report.record(Check::Nonce, Outcome::NotPerformed, "no challenge was sent");
            }
        }
        let mut pass = |check, detail: fmt::Arguments<'_>| {
            report.record(check, Outcome::Passed, detail);
        };

        let key_config_hash = Sha256::digest(evidence.key_config).into();
        if document.user_data() != Some(&user_data_of_hash(&key_config_hash)) {
            return Err(AppraisalError::KeyConfig);
        }
        let suites = fields.keys.iter().map(|entry| entry.suite.name()).collect::<Vec<_>>();
        pass(Check::KeyConfig, format_args!("{}", suites.join(", ")));

        let (timestamp_ms, not_after_ms) = (document.timestamp_ms, fields.not_after);
        if timestamp_ms >= not_after_ms {
            return Err(AppraisalError::KeyLifetime { not_after_ms, timestamp_ms });
        }
        pass(Check::KeyLifetime, format_args!("until {}", Time(not_after_ms)));

        if Sha256::digest(evidence.configuration)[..] != fields.configuration_hash {
            return Err(AppraisalError::Configuration);
        }
        pass(Check::Configuration, format_args!("{} bytes", evidence.configuration.len()));

        if Sha256::digest(evidence.manifest)[..] != fields.manifest_hash {
            return Err(AppraisalError::Manifest);
        }
        pass(Check::Manifest, format_args!("{} bytes", evidence.manifest.len()));

        document.check_debug_mode()?;
        pass(Check::DebugMode, format_args!("PCR0, PCR1 and PCR2 are measured"));

        let trust = match input.challenge {
            Some(_) => Some(self.policy.appraise(&document.pcrs, origin, now_ms)?),
            None => self.policy.compare(&document.pcrs, origin)?,
        };
        match &trust {
            Some(trust) => pass(Check::Policy, format_args!("{trust}")),
            None => report.record(Check::Policy, Outcome::NotPerformed, "nothing is on record"),
        }
        Ok(Findings { evidence, key_config, document, trust })
    }

    /// Three durations, each from a source that is trusted for it, on the caller's clock.
    fn valid_until_ms(
        &self,
        document: &AttestationDocument,
        key_config: &KeyConfig,
        now_ms: u64,
    ) -> u64 {
        let timestamp_ms = document.timestamp_ms;
        let keys = key_config.fields().not_after.saturating_sub(timestamp_ms);
        let leaf = document.leaf_not_after_ms().saturating_sub(now_ms.max(timestamp_ms));
        now_ms.saturating_add(self.max_evidence_age_ms.min(keys).min(leaf))
    }
}

struct Input<'a> {
    evidence: &'a [u8],
    challenge: Option<&'a Challenge>,
    origin: &'a str,
    now_ms: u64,
}

struct Findings<'a> {
    evidence: Evidence<'a>,
    key_config: KeyConfig,
    document: AttestationDocument,
    trust: Option<PcrTrust>,
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
