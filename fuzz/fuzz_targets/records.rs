//! Files and texts that the SDK and its command read: stores of pins and of policy versions, files
//! of PCRs, URLs, manifests. A damaged store is an error and stays as it is; nothing on record is
//! lost or replaced; what is read is read alike when it is written again.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;
use steve_sdk::{
    FilePinStore, FilePolicyStore, Origin, Pcr, PcrProfile, Pin, PinStore, parse_profiles,
};
use tempfile::TempDir;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A genuine store, with a byte changed or not.
    Store {
        origins: Vec<&'a str>,
        change: Option<(u16, u8)>,
        origin: Option<&'a str>,
    },
    Pins {
        origin: &'a str,
        text: &'a [u8],
    },
    Policies {
        namespace: &'a str,
        text: &'a [u8],
    },
    Profiles {
        text: &'a str,
    },
    Origin {
        url: &'a str,
    },
    Manifest {
        bytes: &'a [u8],
    },
}

/// In memory, if the system has that.
static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    TempDir::new_in(place).expect("a directory for the stores")
});

fn pins(origin: &str, text: &[u8]) {
    let path = DIRECTORY.path().join("pins.json");
    std::fs::write(&path, text).expect("in memory");
    let store = FilePinStore::new(&path);
    let profile = PcrProfile::new([0, 1, 2].map(|index| (index, Pcr::from([1; 48]))));
    let new = Pin { profile: profile.expect("complete"), first_seen_ms: 1 };
    let content = || std::fs::read(&path).expect("it is there");
    match store.load(origin) {
        Err(_) => {
            store.record(origin, &new).expect_err("a damaged store takes nothing");
            assert_eq!(content(), text, "a damaged store stays as it is");
        }
        Ok(Some(pin)) => {
            assert_eq!(store.record(origin, &new).as_ref(), Ok(&pin), "the first record stays");
            assert_eq!(content(), text);
        }
        Ok(None) => {
            let other = store.load("https://app.example").expect("the same store");
            assert_eq!(store.record(origin, &new).as_ref(), Ok(&new));
            assert_eq!(store.load(origin).as_ref(), Ok(&Some(new)));
            if origin != "https://app.example" {
                assert_eq!(store.load("https://app.example"), Ok(other), "no record is lost");
            }
        }
    }
}

fn store(origins: &[&str], change: Option<(u16, u8)>, origin: Option<&str>) {
    let path = DIRECTORY.path().join("genuine.json");
    let _ = std::fs::remove_file(&path);
    let store = FilePinStore::new(&path);
    for (at, origin) in origins.iter().take(4).enumerate() {
        let profile = PcrProfile::new([0, 1, 2].map(|index| (index, Pcr::from([9; 48]))));
        let pin = Pin { profile: profile.expect("complete"), first_seen_ms: at as u64 };
        let recorded = store.record(origin, &pin).expect("in memory");
        let first = origins.iter().position(|other| other == origin).expect("it is there");
        assert_eq!(recorded.first_seen_ms, first as u64, "the first record stays");
    }
    let Ok(mut text) = std::fs::read(&path) else { return };
    if let Some((at, xor)) = change {
        let at = usize::from(at) % text.len();
        text[at] ^= xor;
    }
    pins(origin.unwrap_or(origins[0]), &text);
}

fn policies(namespace: &str, text: &[u8]) {
    let path = DIRECTORY.path().join("policies.json");
    std::fs::write(&path, text).expect("in memory");
    let store = FilePolicyStore::new(&path);
    let seen = store.seen(namespace);
    assert_eq!(seen, store.seen(namespace));
    let Ok(Some(seen)) = seen else { return };
    let sha256 = seen.sha256.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory");
        text
    });
    let file: serde_json::Value = serde_json::from_slice(text).expect("JSON");
    let record = &file["policies"][namespace];
    assert_eq!(record["version"].as_u64(), Some(seen.version));
    let text = record["sha256"].as_str().map(str::to_ascii_lowercase);
    assert_eq!(text, Some(sha256));
}

fn profiles(text: &str) {
    let Ok(profiles) = parse_profiles(text) else { return };
    assert!(!profiles.is_empty());
    let mut json = String::from("[");
    for (at, profile) in profiles.iter().enumerate() {
        assert!((0..3).all(|index| profile.names(index)));
        let values: Vec<_> =
            profile.values().map(|(index, pcr)| format!("\"PCR{index}\":\"{pcr}\"")).collect();
        let comma = if at > 0 { "," } else { "" };
        write!(json, "{comma}{{{}}}", values.join(",")).expect("memory");
    }
    json.push(']');
    assert_eq!(parse_profiles(&json), Ok(profiles));
}

fn origin(url: &str) {
    let Ok((origin, rest)) = Origin::split(url) else { return };
    let text = origin.to_string();
    assert_eq!(Origin::parse(&text).as_ref(), Ok(&origin), "the normal form is its own");
    assert!(rest.is_empty() || rest.starts_with(['/', '?', '#']));
    assert_eq!(Origin::parse(url).is_ok(), rest.is_empty() || rest == "/");
    // Another host or port than the text's would be somebody else's.
    let (_, after) = url.split_once("://").expect("an absolute URL");
    let authority = after[..after.len() - rest.len()].to_ascii_lowercase();
    let default = if origin.scheme() == "https" { ":443" } else { ":80" };
    let normal = authority.strip_suffix(default).unwrap_or(&authority);
    let normal = normal.strip_suffix(':').unwrap_or(normal);
    let (host, port) = normal.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).unzip();
    match (host, port.map(str::parse::<u16>)) {
        (Some(host), Some(Ok(port))) if format!(":{port}") == default => {
            assert_eq!(origin.authority(), host);
        }
        (Some(host), Some(Ok(port))) => assert_eq!(origin.authority(), format!("{host}:{port}")),
        _ => assert_eq!(origin.authority(), normal, "{url}"),
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Store { origins, change, origin } => store(&origins, change, origin),
        Input::Pins { origin, text } => pins(origin, text),
        Input::Policies { namespace, text } => policies(namespace, text),
        Input::Profiles { text } => profiles(text),
        Input::Origin { url } => origin(url),
        Input::Manifest { bytes } => {
            let text = steve_fuzz::manifest::text(bytes);
            assert!(text.starts_with("Manifest"));
        }
    }
});
