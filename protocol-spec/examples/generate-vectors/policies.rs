use crate::evidence::{NOW_MS, sha256};
use crate::hex;
use serde_json::{Value, json};
use steve_protocol::evidence::dev::{PolicySigner, pcrs, policy_file};
use steve_protocol::evidence::{
    Pcr, PcrProfile, PolicyFileError, PolicyOwner, SeenPolicy, SignedPolicy, SignerKey,
};

const NAMESPACE: &str = "app.example.com";
const DAY_MS: u64 = 86_400_000;

/// What a client has, and what somebody brings.
#[derive(Clone)]
struct Case {
    signers: Vec<String>,
    namespace: &'static str,
    minimum_version: u64,
    seen: Option<SeenPolicy>,
    now_ms: u64,
    file: Vec<u8>,
    signature: String,
}

fn signer() -> PolicySigner {
    PolicySigner::new(*b"signer 1", [1; 32])
}

fn profiles() -> Vec<(&'static str, PcrProfile)> {
    let other = PcrProfile::new([0, 1, 2, 8].map(|index| (index, Pcr::from([index + 1; 48]))));
    let own = PcrProfile::of(&pcrs()).expect("PCR0 to PCR2 are measured");
    vec![("blue", own), ("green", other.expect("complete"))]
}

impl Case {
    fn good() -> Self {
        let file = policy_file(NAMESPACE, 7, NOW_MS + DAY_MS, &profiles());
        Self {
            signers: vec![signer().public_key()],
            namespace: NAMESPACE,
            minimum_version: 0,
            seen: None,
            now_ms: NOW_MS,
            signature: signer().sign(file.as_bytes()),
            file: file.into_bytes(),
        }
    }

    fn verify(&self) -> Result<SignedPolicy, PolicyFileError> {
        let keys: Vec<SignerKey> =
            self.signers.iter().map(|key| key.parse().expect("a key")).collect();
        PolicyOwner::new(keys, self.namespace)
            .expect("valid")
            .minimum_version(self.minimum_version)
            .verify(&self.file, self.signature.as_bytes(), self.seen.as_ref(), self.now_ms)
    }

    fn vector(&self, comment: &str, expected: &str) -> Value {
        let result = self.verify();
        let outcome = match &result {
            Ok(_) => "accepted",
            Err(error) => rule(error),
        };
        assert_eq!(outcome, expected, "{comment}: {result:?}");
        let seen = self.seen.map(|s| json!({ "version": s.version, "sha256": hex(s.sha256) }));
        json!({
            "comment": comment,
            "signers": self.signers,
            "namespace": self.namespace,
            "minimum_version": self.minimum_version,
            "seen": seen,
            "now": self.now_ms,
            "file": hex(&self.file),
            "signature": hex(&self.signature),
            "outcome": outcome,
            "policy": result.as_ref().ok().map(describe),
        })
    }
}

/// Which rule of Section 7.2 a file breaks first.
fn rule(error: &PolicyFileError) -> &'static str {
    match error {
        PolicyFileError::TooLong | PolicyFileError::SignatureFormat(_) => "form",
        PolicyFileError::UnknownSigner { .. }
        | PolicyFileError::Signature { .. }
        | PolicyFileError::TrustedComment { .. } => "signature",
        PolicyFileError::Content(_)
        | PolicyFileError::FormatVersion { .. }
        | PolicyFileError::Namespace { .. } => "content",
        PolicyFileError::BelowMinimum { .. } => "minimum",
        PolicyFileError::Rollback { .. } | PolicyFileError::Reused { .. } => "record",
        PolicyFileError::Expired { .. } => "expired",
        other => panic!("{other}"),
    }
}

fn describe(policy: &SignedPolicy) -> Value {
    let profiles: Vec<Value> = policy
        .profiles()
        .iter()
        .map(|labelled| {
            let pcrs: serde_json::Map<String, Value> = labelled
                .profile
                .values()
                .map(|(index, pcr)| (format!("pcr{index}"), hex(pcr.as_bytes()).into()))
                .collect();
            json!({ "label": labelled.label, "pcrs": pcrs })
        })
        .collect();
    json!({
        "signer": policy.signer().to_string(),
        "version": policy.version(),
        "sha256": hex(policy.seen().sha256),
        "expires": policy.expires_ms(),
        "trusted_comment": policy.trusted_comment(),
        "profiles": profiles,
    })
}

pub(crate) fn policies() -> Vec<Value> {
    let good = Case::good();
    let with = |change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        case
    };
    // The file after a change to its text, signed again.
    let signed = |from: &str, to: &str| {
        let text = String::from_utf8(good.file.clone()).expect("text");
        assert!(text.contains(from), "{from}");
        let file = text.replacen(from, to, 1);
        Case { signature: signer().sign(file.as_bytes()), file: file.into_bytes(), ..good.clone() }
    };
    let other = PolicySigner::new(*b"signer 2", [2; 32]);
    let liar = PolicySigner::new(*b"signer 1", [2; 32]);
    let seen = |version| Some(SeenPolicy { version, sha256: sha256(&good.file) });
    vec![
        good.vector("nothing on record", "accepted"),
        with(&|c| c.signers.insert(0, other.public_key())).vector("the second key", "accepted"),
        with(&|c| c.minimum_version = 7).vector("the minimum version", "accepted"),
        with(&|c| c.seen = seen(7)).vector("the same file again", "accepted"),
        with(&|c| c.seen = Some(SeenPolicy { version: 6, sha256: [0; 32] }))
            .vector("a newer version", "accepted"),
        with(&|c| c.now_ms += DAY_MS - 1).vector("the last moment", "accepted"),
        with(&|c| c.signature.truncate(c.signature.len() - 1))
            .vector("no line feed at the end", "accepted"),
        signed("\"label\": \"blue\",", "").vector("a profile without a label", "accepted"),
        signed("\"PCR0\"", "\"HashAlgorithm\": \"SHA384\", \"pcr0\"")
            .vector("as it is printed by other tools", "accepted"),
        signed("\"version\": 7", "\"version\": 9007199254740991")
            .vector("the highest version", "accepted"),
        with(&|c| c.signature = signer().sign_legacy(&c.file)).vector("legacy mode", "form"),
        with(&|c| c.signature = c.signature.replace('\n', "\r\n")).vector("CR LF", "form"),
        with(&|c| c.signature.push('\n')).vector("a fifth line", "form"),
        with(&|c| c.file.push(b' ')).vector("a changed file", "signature"),
        with(&|c| c.signature = c.signature.replacen(": a c", ": b c", 1))
            .vector("a changed trusted comment", "signature"),
        with(&|c| c.signature = c.signature.replacen(": untrusted", ": changed", 1))
            .vector("a changed untrusted comment", "accepted"),
        with(&|c| c.signature = other.sign(&c.file)).vector("another signer", "signature"),
        with(&|c| c.signature = liar.sign(&c.file)).vector("the id of another key", "signature"),
        with(&|c| c.signature = signer().sign_legacy(&c.file).replacen("\nRW", "\nRU", 1))
            .vector("legacy mode under the other name", "signature"),
        with(&|c| c.namespace = "app.example.org").vector("another namespace", "content"),
        signed("\"steve_policy\": 1", "\"steve_policy\": 2").vector("another format", "content"),
        signed("\"version\": 7", "\"version\": 0").vector("version 0", "content"),
        signed("\"version\": 7", "\"version\": 7.0").vector("a fraction", "content"),
        signed("\"version\": 7", "\"version\": 9007199254740992")
            .vector("a version that readers round", "content"),
        signed("\"version\": 7", "\"version\": 7, \"version\": 8")
            .vector("a member that occurs twice", "content"),
        signed("\"version\": 7", "\"version\": 7, \"region\": \"eu\"")
            .vector("an unknown member", "content"),
        signed("\"label\": \"blue\"", "\"label\": \"bl\\u00fce\"")
            .vector("a label that is not ASCII", "content"),
        signed("\"label\": \"blue\"", "\"label\": null").vector("a label that is null", "content"),
        signed("T00:00:00Z", "T00:00:00+00:00").vector("another form of time", "content"),
        signed("\"PCR0\"", "\"pcr2\"").vector("a register that is named twice", "content"),
        signed("\"PCR8\"", "\"PCR08\"").vector("a leading zero", "content"),
        signed("\"PCR8\"", "\"PCR7\"").vector("a register that means nothing", "content"),
        signed("\"profiles\": [", "\"profiles\": [[],").vector("a profile that is none", "content"),
        with(&|c| c.minimum_version = 8).vector("below the minimum", "minimum"),
        with(&|c| c.seen = seen(8)).vector("an old version", "record"),
        with(&|c| c.seen = Some(SeenPolicy { version: 7, sha256: [0; 32] }))
            .vector("another file of the same version", "record"),
        with(&|c| c.now_ms += DAY_MS).vector("the first moment after", "expired"),
    ]
}
