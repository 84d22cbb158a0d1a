//! Signed policies: which files are accepted.

use serde_json::{Value, json};
use steve_protocol::evidence::dev::{self, PolicySigner};
use steve_protocol::evidence::{
    MAX_POLICY_FILE_LEN, MAX_POLICY_SIGNATURE_LEN, PcrProfile, PolicyFileError, PolicyOwner,
    PolicyOwnerError, SeenPolicy, SignatureFormatError, SignedPolicy, SignerKey,
};

pub(crate) const NAMESPACE: &str = "app.example.com";
/// 2027-02-01T00:00:00Z
pub(crate) const EXPIRES_MS: u64 = 1_801_440_000_000;
const NOW_MS: u64 = EXPIRES_MS - 1;

const FILE: &[u8] = include_bytes!("../data/policy/policy.json");
const SIGNATURE: &[u8] = include_bytes!("../data/policy/policy.json.minisig");
const LEGACY: &[u8] = include_bytes!("../data/policy/policy.json.legacy.minisig");
const PUBLIC_KEY: &str = include_str!("../data/policy/minisign.pub");

pub(crate) fn signer() -> PolicySigner {
    PolicySigner::new(*b"signer-1", [1; 32])
}

fn key(signer: &PolicySigner) -> SignerKey {
    signer.public_key().parse().unwrap()
}

pub(crate) fn owner() -> PolicyOwner {
    PolicyOwner::new([key(&signer())], NAMESPACE).unwrap()
}

/// The owner of the files in `tests/data`.
fn real_owner() -> PolicyOwner {
    PolicyOwner::new([PUBLIC_KEY.lines().nth(1).unwrap().parse().unwrap()], NAMESPACE).unwrap()
}

pub(crate) fn measurements(byte: u8) -> Value {
    let value = format!("{byte:02x}").repeat(48);
    json!({ "pcr0": value, "pcr1": value, "pcr2": value })
}

pub(crate) fn policy() -> Value {
    json!({
        "steve_policy": 1,
        "namespace": NAMESPACE,
        "version": 7,
        "expires": "2027-02-01T00:00:00Z",
        "profiles": [{ "label": "blue", "pcrs": measurements(1) }, { "pcrs": measurements(2) }],
    })
}

/// Signs a file and verifies it, with nothing on record.
fn verify(file: &[u8]) -> Result<SignedPolicy, PolicyFileError> {
    owner().verify(file, signer().sign(file).as_bytes(), None, NOW_MS)
}

/// Verifies the policy after a change to its JSON.
fn changed(change: impl FnOnce(&mut Value)) -> Result<SignedPolicy, PolicyFileError> {
    let mut policy = policy();
    change(&mut policy);
    verify(policy.to_string().as_bytes())
}

/// The reason why a signed file is no policy.
#[track_caller]
fn not_a_policy(file: &str) -> String {
    match verify(file.as_bytes()) {
        Err(PolicyFileError::Content(reason)) => reason,
        other => panic!("{file}: {other:?}"),
    }
}

#[test]
fn a_file_that_minisign_signed_is_accepted() {
    let policy = real_owner().verify(FILE, SIGNATURE, None, NOW_MS).unwrap();
    assert_eq!((policy.version(), policy.namespace()), (7, NAMESPACE));
    assert_eq!(policy.expires_ms(), EXPIRES_MS);
    assert!(PUBLIC_KEY.contains(&policy.signer().to_string()), "named as minisign names it");
    assert!(policy.trusted_comment().eq("policy 7 of app.example.com"));
    let [blue, green] = policy.profiles() else { panic!("two profiles") };
    assert_eq!(blue.label.as_deref(), Some("2027-01 blue"));
    assert_eq!(green.label.as_deref(), Some("2027-01 green"));
    assert_eq!(green.profile, PcrProfile::of(&dev::pcrs()).unwrap());
}

#[test]
fn row_27_every_flipped_bit_is_refused() {
    let owner = real_owner();
    for index in 0..FILE.len() * 8 {
        let mut file = FILE.to_vec();
        file[index / 8] ^= 1 << (index % 8);
        let error = owner.verify(&file, SIGNATURE, None, NOW_MS).unwrap_err();
        assert!(matches!(error, PolicyFileError::Signature { .. }), "{index}: {error}");
    }
    let prefix = b"untrusted comment: ".len();
    let line = SIGNATURE.iter().position(|byte| *byte == b'\n').unwrap();
    for index in 0..SIGNATURE.len() * 8 {
        let mut signature = SIGNATURE.to_vec();
        signature[index / 8] ^= 1 << (index % 8);
        let result = owner.verify(FILE, &signature, None, NOW_MS);
        // What nothing signs may change, as long as it is text in one line.
        let untrusted = (prefix..line).contains(&(index / 8));
        let text = signature[index / 8].is_ascii() && signature[index / 8] != b'\n';
        assert_eq!(result.is_ok(), untrusted && text, "bit {index}: {result:?}");
    }
}

#[test]
fn row_27_the_comment_is_signed_too() {
    let text = core::str::from_utf8(SIGNATURE).unwrap().replace("policy 7", "policy 8");
    let error = real_owner().verify(FILE, text.as_bytes(), None, NOW_MS).unwrap_err();
    assert!(matches!(error, PolicyFileError::TrustedComment { .. }), "{error}");
}

#[test]
fn row_27_another_signer_is_refused() {
    let file = policy().to_string();
    let other = PolicySigner::new(*b"signer-2", [2; 32]);
    let error =
        owner().verify(file.as_bytes(), other.sign(file.as_bytes()).as_bytes(), None, NOW_MS);
    let expected =
        PolicyFileError::UnknownSigner { found: other.id(), pinned: vec![signer().id()] };
    assert_eq!(error, Err(expected));
    // The id is a name that anybody can take.
    let liar = PolicySigner::new(*b"signer-1", [2; 32]).sign(file.as_bytes());
    let expected = PolicyFileError::Signature { signer: signer().id() };
    assert_eq!(owner().verify(file.as_bytes(), liar.as_bytes(), None, NOW_MS), Err(expected));
    // Each of several keys will do, under its own id.
    let both = PolicyOwner::new([key(&signer()), key(&other)], NAMESPACE).unwrap();
    for signer in [signer(), other] {
        let signature = signer.sign(file.as_bytes());
        let policy = both.verify(file.as_bytes(), signature.as_bytes(), None, NOW_MS).unwrap();
        assert_eq!(policy.signer(), signer.id());
    }
}

#[test]
fn row_27_legacy_signatures_are_refused_under_either_name() {
    let legacy = PolicyFileError::SignatureFormat(SignatureFormatError::Legacy);
    assert_eq!(real_owner().verify(FILE, LEGACY, None, NOW_MS), Err(legacy.clone()));
    let file = policy().to_string();
    let signature = signer().sign_legacy(file.as_bytes());
    assert_eq!(
        owner().verify(file.as_bytes(), signature.as_bytes(), None, NOW_MS),
        Err(legacy.clone())
    );
    // The two characters after "R" hold the algorithm: "RW" is Ed, "RU" is ED.
    let renamed = signature.replacen("\nRW", "\nRU", 1);
    let expected = PolicyFileError::Signature { signer: signer().id() };
    assert_eq!(owner().verify(file.as_bytes(), renamed.as_bytes(), None, NOW_MS), Err(expected));
    let renamed = signer().sign(file.as_bytes()).replacen("\nRU", "\nRW", 1);
    assert_eq!(owner().verify(file.as_bytes(), renamed.as_bytes(), None, NOW_MS), Err(legacy));
}

#[test]
fn signature_files_of_another_form_are_refused() {
    use SignatureFormatError as Error;
    let good = signer().sign(policy().to_string().as_bytes());
    let lines: Vec<&str> = good.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n");
    let mut long = good.replacen("untrusted\n", &"x".repeat(MAX_POLICY_SIGNATURE_LEN), 1);
    long.push('\n');
    for (signature, expected) in [
        (String::new(), Error::Lines),
        (joined(&lines[..3]), Error::Lines),
        (good.clone() + "\n", Error::Lines),
        (good.clone() + "more", Error::Lines),
        (good.replace('\n', "\r\n"), Error::Base64 { line: 2 }),
        (good.replacen("untrusted", "trusted", 1), Error::Lines),
        (good.replacen("\ntrusted comment: ", "\ntrusted comment:", 1), Error::Lines),
        (joined(&[lines[0], lines[3], lines[2], lines[3]]), Error::Base64 { line: 2 }),
        (joined(&[lines[0], lines[1], lines[2], lines[1]]), Error::Base64 { line: 4 }),
        (joined(&[lines[0], lines[1], lines[2], &lines[3][..84]]), Error::Base64 { line: 4 }),
        (joined(&[lines[0], &"A".repeat(4000), lines[2], lines[3]]), Error::Base64 { line: 2 }),
        (good.replacen("\nRU", "\nRX", 1), Error::Algorithm),
        (long, Error::TooLong),
    ] {
        let result = owner().verify(b"", signature.as_bytes(), None, NOW_MS);
        assert_eq!(result, Err(expected.into()), "{signature}");
    }
    let result = owner().verify(b"", b"untrusted comment: \xff\n\n\n\n", None, NOW_MS);
    assert_eq!(result, Err(Error::Lines.into()));
}

#[test]
fn keys_and_namespaces_are_checked() {
    let good = signer().public_key();
    // A point of small order, under which one signature holds for many messages.
    let weak = "RWRzaWduZXItMQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let ed = good.replacen("RW", "RU", 1);
    for bad in ["", "RW", &good[..52], &format!("{good}A"), &ed, PUBLIC_KEY, weak] {
        assert!(bad.parse::<SignerKey>().is_err(), "{bad}");
    }
    let key = || key(&signer());
    assert_eq!(PolicyOwner::new([], NAMESPACE), Err(PolicyOwnerError::NoSigners));
    let same = PolicyOwnerError::SameKeyId(signer().id());
    assert_eq!(PolicyOwner::new([key(), key()], NAMESPACE), Err(same));
    for bad in ["", "a b", "a\n", "ä", &"a".repeat(256)] {
        assert_eq!(PolicyOwner::new([key()], bad), Err(PolicyOwnerError::Namespace), "{bad}");
        let Err(PolicyFileError::Content(_)) = changed(|p| p["namespace"] = bad.into()) else {
            panic!("{bad}")
        };
    }
}

#[test]
fn row_27_a_policy_for_another_namespace_is_refused() {
    for found in ["app.example.org", "App.example.com", "app.example.com/", "app.example.co"] {
        let expected =
            PolicyFileError::Namespace { expected: NAMESPACE.to_owned(), found: found.to_owned() };
        assert_eq!(changed(|p| p["namespace"] = found.into()), Err(expected));
    }
}

#[test]
fn row_27_a_policy_ends_when_it_expires() {
    let (file, signature) = (policy().to_string(), signer().sign(policy().to_string().as_bytes()));
    let verify = |now_ms| owner().verify(file.as_bytes(), signature.as_bytes(), None, now_ms);
    assert!(verify(0).is_ok() && verify(EXPIRES_MS - 1).is_ok());
    for now_ms in [EXPIRES_MS, EXPIRES_MS + 1, u64::MAX] {
        let expected = PolicyFileError::Expired {
            version: 7,
            signer: signer().id(),
            expires_ms: EXPIRES_MS,
            now_ms,
        };
        assert_eq!(verify(now_ms), Err(expected));
    }
    let message = verify(EXPIRES_MS).unwrap_err().to_string();
    assert!(message.contains("expired at 2027-02-01T00:00:00Z, and now"), "{message}");
}

#[test]
fn rows_27_and_30_older_versions_are_refused() {
    let file = policy().to_string();
    let signature = signer().sign(file.as_bytes());
    let verify = |owner: &PolicyOwner, seen: Option<SeenPolicy>| {
        owner.verify(file.as_bytes(), signature.as_bytes(), seen.as_ref(), NOW_MS)
    };
    let first = verify(&owner(), None).unwrap();
    assert!(!first.earlier_on_record());
    let seen = first.seen();
    assert!(verify(&owner(), Some(seen)).unwrap().earlier_on_record());
    let with = |version, sha256| Some(SeenPolicy { version, sha256 });
    assert!(verify(&owner(), with(6, [0; 32])).is_ok());
    let reused = PolicyFileError::Reused { version: 7 };
    assert_eq!(verify(&owner(), with(7, [0; 32])), Err(reused));
    for version in [8, u64::MAX] {
        let rollback = PolicyFileError::Rollback { version: 7, seen: version };
        assert_eq!(verify(&owner(), with(version, seen.sha256)), Err(rollback));
    }
    assert!(verify(&owner().minimum_version(7), None).is_ok());
    let below = PolicyFileError::BelowMinimum { version: 7, minimum: 8 };
    assert_eq!(verify(&owner().minimum_version(8), with(6, [0; 32])), Err(below));
}

#[test]
fn row_27_what_is_signed_but_no_policy_is_refused() {
    let policy = policy().to_string();
    for file in [
        "",
        "{}",
        "null",
        "[1]",
        r#"[1,"app.example.com",7,"2027-02-01T00:00:00Z",[]]"#,
        &policy[..policy.len() - 1],
        &format!("{policy} {{}}"),
        &format!("\u{feff}{policy}"),
        &"[".repeat(MAX_POLICY_FILE_LEN),
        &format!("{{\"steve_policy\":1,\"x\":{}", "[".repeat(1000)),
    ] {
        not_a_policy(file);
    }
    for name in ["steve_policy", "namespace", "version", "expires", "profiles"] {
        let mut value = super::policy_file::policy();
        value.as_object_mut().unwrap().remove(name);
        assert!(not_a_policy(&value.to_string()).contains("missing field"), "{name}");
        // serde_json alone would take the last one.
        let twice = format!("{},\"{name}\":{}}}", &policy[..policy.len() - 1], value["version"]);
        assert!(not_a_policy(&twice).contains("duplicate field"), "{twice}");
    }
    let unknown = changed(|p| p["minimum_tls"] = "1.3".into()).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `minimum_tls`"), "{unknown}");
    let later = changed(|p| (p["steve_policy"], p["more"]) = (2.into(), 1.into()));
    assert_eq!(later, Err(PolicyFileError::FormatVersion { found: 2 }));
    let long = format!("{}{policy}", " ".repeat(MAX_POLICY_FILE_LEN + 1 - policy.len()));
    assert_eq!(verify(long.as_bytes()), Err(PolicyFileError::TooLong));
    assert!(verify(&long.as_bytes()[1..]).is_ok());
}

#[test]
fn row_27_numbers_and_times_have_one_form() {
    for version in ["0", "-1", "1.0", "1e3", "9007199254740992", "1e400", "\"7\"", "null"] {
        not_a_policy(&policy().to_string().replace(":7", &format!(":{version}")));
    }
    let largest = changed(|p| p["version"] = ((1_u64 << 53) - 1).into()).unwrap();
    assert_eq!(largest.version(), (1 << 53) - 1);
    for expires in [
        "",
        "never",
        "2027-02-01",
        "2027-02-01T00:00:00",
        "2027-02-01T00:00:00z",
        "2027-02-01T00:00:00+00:00",
        "2027-02-01T00:00:00.5Z",
        "2027-02-29T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "99999-01-01T00:00:00Z",
    ] {
        assert!(changed(|p| p["expires"] = expires.into()).is_err(), "{expires}");
    }
    assert!(changed(|p| p["expires"] = EXPIRES_MS.into()).is_err());
}

#[test]
fn rows_11_and_27_profiles_are_complete_or_the_file_is_refused() {
    let changes: [fn(&mut Value); 16] = [
        |p| p["profiles"] = json!([]),
        |p| p["profiles"] = json!([{ "label": "empty" }]),
        |p| p["profiles"] = vec![json!({ "pcrs": measurements(1) }); 65].into(),
        |p| p["profiles"][0] = measurements(1),
        |p| p["profiles"][0]["label"] = "".into(),
        |p| p["profiles"][0]["label"] = Value::Null,
        |p| p["profiles"][0]["label"] = "a\nb".into(),
        |p| p["profiles"][0]["label"] = "x".repeat(65).into(),
        |p| p["profiles"][0]["pcrs"]["pcr0"] = "00".repeat(48).into(),
        |p| p["profiles"][0]["pcrs"]["pcr0"] = "01".repeat(47).into(),
        |p| p["profiles"][0]["pcrs"]["PCR0"] = "01".repeat(48).into(),
        |p| p["profiles"][0]["pcrs"]["pcr08"] = "01".repeat(48).into(),
        |p| p["profiles"][0]["pcrs"]["pcr5"] = "01".repeat(48).into(),
        |p| p["profiles"][0]["pcrs"]["pcr256"] = "01".repeat(48).into(),
        |p| p["profiles"][0]["pcrs"]["HashAlgorithm"] = "SHA256".into(),
        |p| drop(p["profiles"][1]["pcrs"].as_object_mut().unwrap().remove("pcr2")),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let result = changed(change);
        assert!(matches!(result, Err(PolicyFileError::Content(_))), "{index}: {result:?}");
    }
    let twice = policy().to_string().replacen("\"pcr1\"", "\"pcr0\"", 1);
    assert!(not_a_policy(&twice).contains("named twice"));
    let most = vec![json!({ "pcrs": measurements(1) }); 64];
    assert_eq!(changed(|p| p["profiles"] = most.into()).unwrap().profiles().len(), 64);
    let more = changed(|p| p["profiles"][0]["pcrs"]["PCR16"] = "AB".repeat(48).into()).unwrap();
    assert!(more.profiles()[0].profile.names(16));
}
