//! The program: what it says when it cannot start, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

const PROXY: &str = env!("CARGO_BIN_EXE_steve-proxy");

/// Runs `serve`, which must fail; gives what it says.
fn refusal(environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = Command::new(PROXY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STEVE_")) {
        command.env_remove(name);
    }
    let output = command
        .arg("serve")
        .args(arguments)
        .env("STEVE_LISTEN_ADDR", "127.0.0.1:0")
        .env("RUST_BACKTRACE", "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty());
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("steve-proxy: "), "{said}");
    assert!(!said.contains("panicked") && !said.contains("backtrace"), "{said}");
    last
}

#[test]
fn without_an_nsm_it_says_so() {
    if !Path::new("/dev/nsm").exists() {
        let said = refusal(&[], &[]);
        assert!(
            said.contains("there is no /dev/nsm") && said.contains("inside an enclave"),
            "{said}"
        );
    }
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    for (name, value, said) in [
        ("STEVE_APP_UPSTREAM", "https://app", "upstream `https://app` is neither http://"),
        ("STEVE_APP_UPSTREAM", "app:80", "upstream `app:80` is not usable"),
        ("STEVE_CORS_ORIGINS", "https://a.example,*", "CORS origin `*` is refused"),
        ("STEVE_KEY_EXCHANGE", "rot13", "`rot13` is no suite"),
        ("STEVE_MANIFEST", "/does/not/exist", "manifest /does/not/exist cannot be read"),
        ("STEVE_PUBLIC_PATHS", "robots.txt", "public path `robots.txt` is not a path"),
        ("STEVE_KEY_ROTATION", "60", "keys must be rotated"),
    ] {
        let all = refusal(&[(name, value)], &[]);
        assert!(all.contains(said), "{all}");
    }
    #[cfg(feature = "e2p-v2")]
    {
        let all = refusal(&[("STEVE_E2P_V2_KEY_EXCHANGE", "XWING-DRAFT6")], &[]);
        assert!(all.contains("`XWING-DRAFT6` is no key exchange of E2P v2"), "{all}");
    }
    let mut manifest = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut manifest, &vec![b'x'; 65_536]).unwrap();
    let all = refusal(&[("STEVE_MANIFEST", manifest.path().to_str().unwrap())], &[]);
    assert!(all.contains("larger than 65535 bytes"), "{all}");
}

#[cfg(feature = "dangerous-dev-attester")]
#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refusal(&[("STEVE_LISTEN_ADDR", &address)], &["--dangerous-dev-attester"]);
    assert!(
        said.contains(&format!("cannot listen on {address}: Address already in use")),
        "{said}"
    );
}

/// Runs `serve` with the development attester until it listens; gives what it has said.
#[cfg(feature = "dangerous-dev-attester")]
fn started(arguments: &[&std::ffi::OsStr], environment: &[(&str, &str)]) -> String {
    use std::io::Read;
    let mut child = Command::new(PROXY)
        .args(["serve", "--dangerous-dev-attester"])
        .args(arguments)
        .env("STEVE_LISTEN_ADDR", "127.0.0.1:0")
        .envs(environment.iter().copied())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (mut said, mut chunk) = (String::new(), [0; 1024]);
    while !said.contains("listening on 127.0.0.1:") {
        let len = stderr.read(&mut chunk).unwrap();
        assert_ne!(len, 0, "{said}");
        said += std::str::from_utf8(&chunk[..len]).unwrap();
    }
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success());
    said
}

#[cfg(feature = "dangerous-dev-attester")]
#[test]
fn the_development_attester_warns_writes_its_root_and_ends_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.pem");
    let environment = [
        ("STEVE_KEY_EXCHANGE", "XWING-DRAFT10"),
        ("STEVE_ALLOW_PLAINTEXT_FALLBACK", "false"),
        ("STEVE_CORS_ORIGINS", ""),
    ];
    let said = started(&["--dangerous-dev-root-out".as_ref(), root.as_os_str()], &environment);
    assert!(said.contains("DANGEROUS DEVELOPMENT ATTESTER: NOTHING IS PROTECTED"), "{said}");
    let pem = std::fs::read_to_string(&root).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
}

#[cfg(all(feature = "dangerous-dev-attester", feature = "e2p-v2"))]
#[test]
fn what_old_start_scripts_cost_is_said() {
    let (xwing, memory) = ("offers no suite with X-Wing", "raise --memory-budget");
    let old = [
        ("STEVE_E2P_V2", "true"),
        ("STEVE_KEY_EXCHANGE", "X25519"),
        ("STEVE_MEMORY_BUDGET", "67108864"),
    ];
    let said = started(&[], &old);
    assert!(said.contains(xwing) && said.contains(memory), "{said}");
    let said = started(&[], &[("STEVE_E2P_V2", "true"), ("STEVE_E2P_V2_KEY_EXCHANGE", "X25519")]);
    assert!(!said.contains(xwing) && !said.contains(memory), "{said}");
}
