//! Signed policies: keys, signature files and policy files. Without the owner's signature nothing is
//! accepted; with it, a file is accepted only by the rules, which are read a second time here.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;
use steve_fuzz::world::NOW_MS;
use steve_protocol::evidence::dev::PolicySigner;
use steve_protocol::evidence::{PolicyFileError, PolicyOwner, SeenPolicy, SignerKey};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// A key, a signature file, or a file that the owner signs.
    what: What,
    seen: Option<u8>,
    minimum: u8,
    text: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum What {
    Key,
    Signature,
    /// The genuine signature file with a changed byte.
    Changed(u16, u8),
    File,
    Legacy,
}

const NAMESPACE: &str = "app.example";
const FILE: &[u8] = b"{}";

static SIGNER: LazyLock<PolicySigner> = LazyLock::new(|| PolicySigner::new([1; 8], [2; 32]));
static SIGNED: LazyLock<String> = LazyLock::new(|| SIGNER.sign(FILE));

/// What is signed: the line breaks, comments and base64 of a signature file are free only where
/// nothing depends on them.
fn is_free(at: usize) -> bool {
    let start = "untrusted comment: ".len();
    let end = SIGNED.find('\n').expect("four lines");
    (start..end).contains(&at)
}

fuzz_target!(|input: Input<'_>| {
    let key: SignerKey = SIGNER.public_key().parse().expect("genuine");
    let owner = PolicyOwner::new([key], NAMESPACE).expect("valid");
    let owner = owner.minimum_version(input.minimum.into());
    let verify = |file: &[u8], signature: &[u8], seen: Option<&SeenPolicy>| {
        owner.verify(file, signature, seen, NOW_MS)
    };
    match input.what {
        What::Key => {
            let Ok(text) = str::from_utf8(input.text) else { return };
            if let Ok(key) = text.parse::<SignerKey>() {
                assert!(text.starts_with("RW") && text.len() == 56);
                assert!(PolicyOwner::new([key], text).is_ok());
            }
            let _ = PolicyOwner::new(Vec::new(), text).expect_err("no key");
        }
        What::Signature => {
            let result = verify(FILE, input.text, None);
            let error = result.expect_err("the file is no policy");
            let verified = matches!(error, PolicyFileError::Content(_));
            // The owner has signed it, and this program may have found that.
            assert!(!verified || input.text.len() >= 250);
        }
        What::Changed(at, xor) => {
            let mut signature = SIGNED.clone().into_bytes();
            let at = usize::from(at) % signature.len();
            signature[at] ^= xor;
            let same = SIGNED.as_bytes() == signature;
            let text = str::from_utf8(&signature).is_ok() && !signature[..at + 1].ends_with(b"\n");
            let error = verify(FILE, &signature, None).expect_err("the file is no policy");
            let verified = matches!(error, PolicyFileError::Content(_));
            assert_eq!(verified, same || (is_free(at) && text));
        }
        What::Legacy => {
            let signature = SIGNER.sign_legacy(input.text);
            let error = verify(input.text, signature.as_bytes(), None).expect_err("legacy");
            assert!(matches!(error, PolicyFileError::SignatureFormat(_)), "{error:?}");
        }
        What::File => {
            let seen = input
                .seen
                .map(|version| SeenPolicy { version: u64::from(version), sha256: [3; 32] });
            let signature = SIGNER.sign(input.text);
            let result = verify(input.text, signature.as_bytes(), seen.as_ref());
            assert!(
                !matches!(
                    result,
                    Err(PolicyFileError::Signature { .. }
                        | PolicyFileError::TrustedComment { .. }
                        | PolicyFileError::SignatureFormat(_)
                        | PolicyFileError::UnknownSigner { .. })
                ),
                "the owner has signed it"
            );
            let Ok(policy) = result else { return };
            // What is accepted keeps the rules, as another reader of JSON sees it.
            let file: Value = serde_json::from_slice(input.text).expect("JSON");
            assert_eq!(file.as_object().map(|members| members.len()), Some(5));
            assert_eq!(file["steve_policy"], 1);
            assert_eq!(file["namespace"], NAMESPACE);
            assert_eq!(file["version"], policy.version());
            assert!((1..1 << 53).contains(&policy.version()));
            assert!(policy.version() >= input.minimum.into());
            assert!(seen.is_none_or(|seen| policy.version() > seen.version));
            assert!(policy.expires_ms() > NOW_MS);
            assert_eq!(file["expires"].as_str().map(str::len), Some(20));
            let profiles = file["profiles"].as_array().expect("an array");
            assert_eq!(profiles.len(), policy.profiles().len());
            for (json, profile) in profiles.iter().zip(policy.profiles()) {
                assert_eq!(json.get("label").and_then(Value::as_str), profile.label.as_deref());
                let pcrs = json["pcrs"].as_object().expect("an object");
                let count = pcrs.keys().filter(|name| *name != "HashAlgorithm").count();
                assert_eq!(count, profile.profile.values().count());
                assert!([0, 1, 2].iter().all(|index| profile.profile.names(*index)));
            }
        }
    }
});
