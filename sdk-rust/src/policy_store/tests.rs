use super::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use steve_protocol::evidence::PcrProfile;
use steve_protocol::evidence::dev::{self, PolicySigner, policy_file};
use tempfile::TempDir;

const NAMESPACE: &str = "app.example.com";

fn signer() -> PolicySigner {
    PolicySigner::new([3; 8], [4; 32])
}

fn loader() -> PolicyLoader {
    let key = signer().public_key().parse().unwrap();
    PolicyLoader::new(PolicyOwner::new([key], NAMESPACE).unwrap())
}

fn store() -> (TempDir, FilePolicyStore) {
    let directory = TempDir::new().unwrap();
    let store = FilePolicyStore::new(directory.path().join("policies.json"));
    (directory, store)
}

fn file(version: u64) -> String {
    let profile = PcrProfile::of(&dev::pcrs()).unwrap();
    policy_file(NAMESPACE, version, 32_503_680_000_000, &[("one", profile)])
}

fn load(loader: &PolicyLoader, file: &str) -> Result<SignedPolicy, PolicyLoadError> {
    loader.load(file.as_bytes(), signer().sign(file.as_bytes()).as_bytes())
}

fn rollback(version: u64, seen: u64) -> Result<SignedPolicy, PolicyLoadError> {
    Err(PolicyFileError::Rollback { version, seen }.into())
}

#[test]
fn rows_27_and_30_what_was_seen_is_remembered_by_loader_and_store() {
    let (_directory, store) = store();
    let first = loader().store(store.clone());
    assert!(!load(&first, &file(5)).unwrap().earlier_on_record());
    let second = loader().store(FilePolicyStore::new(store.path()));
    assert_eq!(load(&second, &file(4)), rollback(4, 5));
    assert!(load(&second, &file(5)).unwrap().earlier_on_record());
    load(&second, &file(7)).unwrap();
    assert_eq!(load(&first, &file(6)), rollback(6, 7));
    assert_eq!(store.seen(NAMESPACE).unwrap().unwrap().version, 7);
    let again = load(&first, &(file(7) + "\n"));
    assert_eq!(again, Err(PolicyFileError::Reused { version: 7 }.into()));

    // Without a store, and when the record is lost meanwhile, the loader itself remembers.
    let alone = loader();
    load(&alone, &file(5)).unwrap();
    assert_eq!(load(&alone.clone(), &file(4)), rollback(4, 5));
    std::fs::remove_file(store.path()).unwrap();
    assert_eq!(load(&second, &file(6)), rollback(6, 7));
    assert!(!load(&loader().store(store), &file(1)).unwrap().earlier_on_record(), "and says so");
}

#[test]
fn a_check_and_a_refused_file_record_nothing() {
    let (_directory, store) = store();
    let loader = loader().store(store.clone());
    let good = file(5);
    let signature = signer().sign(good.as_bytes());
    loader.check(good.as_bytes(), signature.as_bytes()).unwrap();
    assert_eq!(store.seen(NAMESPACE), Ok(None));
    let other = loader.load(file(6).as_bytes(), signature.as_bytes()).unwrap_err();
    assert!(matches!(other, PolicyLoadError::File(PolicyFileError::Signature { .. })), "{other}");
    assert_eq!(store.seen(NAMESPACE), Ok(None));
    load(&loader, &good).unwrap();
    let older = file(4);
    let signature = signer().sign(older.as_bytes());
    assert_eq!(loader.check(older.as_bytes(), signature.as_bytes()), rollback(4, 5));
}

#[test]
fn row_27_concurrent_loaders_never_lower_the_record() {
    let (_directory, store) = store();
    let highest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (path, highest) = (store.path(), &highest);
            scope.spawn(move || {
                // Every thread in another order, all of them over the same versions.
                for version in (1..=16).map(|step| (step * (2 * thread + 1)) % 17) {
                    let before = highest.load(SeqCst);
                    // A loader of its own, as in another process.
                    match load(&loader().store(FilePolicyStore::new(path)), &file(version)) {
                        Ok(_) => {
                            assert!(version >= before, "{version} after {before}");
                            highest.fetch_max(version, SeqCst);
                        }
                        Err(error) => {
                            let PolicyLoadError::File(PolicyFileError::Rollback { seen, .. }) =
                                error
                            else {
                                panic!("{error}")
                            };
                            assert!(seen > version);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.seen(NAMESPACE).unwrap().unwrap().version, 16);
}

#[test]
fn a_damaged_store_is_refused_and_left_alone() {
    let (_directory, store) = store();
    load(&loader().store(store.clone()), &file(5)).unwrap();
    let whole = std::fs::read_to_string(store.path()).unwrap();
    let sha256 = whole.split('"').find(|part| part.len() == 64).unwrap();
    for damaged in [
        String::new(),
        "{}".to_owned(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace(r#""version": 1"#, r#""version": 2"#),
        whole.replace(r#""version": 5"#, r#""version": 5.5"#),
        whole.replace(sha256, &sha256[1..]),
        whole.replace(sha256, &"g".repeat(64)),
        whole.replace("policies", "pins"),
    ] {
        assert_ne!(damaged, whole);
        std::fs::write(store.path(), &damaged).unwrap();
        let error = load(&loader().store(store.clone()), &file(6)).unwrap_err();
        assert!(matches!(&error, PolicyLoadError::Store(text) if text.contains("policies.json")));
        assert_eq!(std::fs::read_to_string(store.path()).unwrap(), damaged);
    }
    let nowhere = loader().store(FilePolicyStore::new("/nonexistent/policies.json"));
    assert!(matches!(load(&nowhere, &file(5)), Err(PolicyLoadError::Store(_))));
}
