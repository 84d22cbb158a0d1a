use super::*;
use steve_protocol::evidence::{Pcr, PcrProfile};
use tempfile::TempDir;

fn pin(byte: u8) -> Pin {
    let pcr = Pcr::from([byte; 48]);
    let profile = PcrProfile::new([0, 1, 2].map(|register| (register, pcr))).unwrap();
    Pin { profile, first_seen_ms: 1_700_000_000_000 + u64::from(byte) }
}

fn store() -> (TempDir, FilePinStore) {
    let directory = TempDir::new().unwrap();
    let store = FilePinStore::new(directory.path().join("pins.json"));
    (directory, store)
}

#[test]
fn the_first_record_stays() {
    let (_directory, store) = store();
    assert_eq!(store.load("https://a").unwrap(), None);
    assert_eq!(store.record("https://a", &pin(1)).unwrap(), pin(1));
    assert_eq!(store.record("https://a", &pin(2)).unwrap(), pin(1));
    assert_eq!(store.record("https://b", &pin(2)).unwrap(), pin(2));
    let again = FilePinStore::new(store.path());
    assert_eq!(again.load("https://a").unwrap(), Some(pin(1)));
    assert_eq!(again.load("https://b").unwrap(), Some(pin(2)));
}

#[test]
fn concurrent_writers_lose_no_record() {
    let (_directory, store) = store();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            // A store of its own, as in another process.
            let store = FilePinStore::new(store.path());
            scope.spawn(move || {
                for round in 0..8 {
                    let own = format!("https://{writer}-{round}");
                    assert_eq!(store.record(&own, &pin(writer + 1)).unwrap(), pin(writer + 1));
                    store.record("https://shared", &pin(writer + 1)).unwrap();
                }
            });
        }
    });
    for writer in 0..8 {
        for round in 0..8 {
            let pinned = store.load(&format!("https://{writer}-{round}")).unwrap();
            assert_eq!(pinned, Some(pin(writer + 1)));
        }
    }
    assert!(store.load("https://shared").unwrap().is_some());
}

#[test]
fn a_damaged_store_is_refused_and_left_alone() {
    let (_directory, store) = store();
    store.record("https://a", &pin(1)).unwrap();
    let whole = std::fs::read_to_string(store.path()).unwrap();
    for damaged in [
        String::new(),
        "{}".to_owned(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace(r#""version": 1"#, r#""version": 2"#),
        whole.replacen("0101", "01", 1),
        whole.replacen("0101", "zz01", 1),
        whole.replace(r#""1":"#, r#""9":"#),
    ] {
        assert_ne!(damaged, whole);
        std::fs::write(store.path(), &damaged).unwrap();
        let error = store.load("https://a").unwrap_err();
        assert!(error.to_string().contains("pins.json"), "{error}");
        store.load("https://b").unwrap_err();
        store.record("https://b", &pin(2)).unwrap_err();
        assert_eq!(std::fs::read_to_string(store.path()).unwrap(), damaged);
    }
}

#[test]
fn a_store_that_cannot_be_written_is_an_error() {
    let store = FilePinStore::new("/nonexistent/pins.json");
    assert!(store.record("https://a", &pin(1)).is_err());
}
