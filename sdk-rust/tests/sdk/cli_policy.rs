//! The command `steve` with signed policies.

use crate::cli::{Output, Setup};
use crate::enclave::now_ms;
use crate::gateway::Gateway;
use crate::signed_policy::{NAMESPACE, YEAR_3000_MS, profiles, signer};
use std::fs;
use std::time::Duration;
use steve_protocol::evidence::dev::{PolicySigner, policy_file};

const ROOT: [&str; 2] = ["--dangerous-dev-root", "root.der"];

/// Writes a policy with its signature.
fn write(setup: &Setup, name: &str, version: u64, expires_ms: u64, good: bool) {
    let file = policy_file(NAMESPACE, version, expires_ms, &profiles(good));
    fs::write(setup.path().join(name), &file).unwrap();
    let signature = signer().sign(file.as_bytes());
    fs::write(setup.path().join(format!("{name}.minisig")), signature).unwrap();
}

/// Runs with `--policy` or `policy check`, and more arguments.
async fn run(setup: &Setup, command: &[&str], more: &[&str]) -> Output {
    let key = signer().public_key();
    let owner = ["--signer", &key, "--namespace", NAMESPACE];
    setup.run(&[command, &owner, more].concat()).await
}

async fn verify(setup: &Setup, file: &str, more: &[&str]) -> Output {
    let url = setup.url("");
    run(setup, &["verify", "--policy", file, ROOT[0], ROOT[1], &url], more).await
}

#[tokio::test(flavor = "multi_thread")]
async fn code_0_a_signed_policy() {
    let setup = Setup::new().await;
    write(&setup, "policy", 7, YEAR_3000_MS, true);
    let output = verify(&setup, "policy", &[]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    for expected in ["policy version 7 of signer 0707070707070707", "\"2026-11 green\"", "old one"]
    {
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    let echo = setup.url("/echo");
    let request = ["request", "--policy", "policy", ROOT[0], ROOT[1], "-d", "text", &echo];
    let output = run(&setup, &request, &[]).await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "text"), "{}", output.stderr);

    let output = run(&setup, &["policy", "check", "policy"], &["--policy-store", "store"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    for expected in [
        "version 7",
        "expires at 3000-01-01T00:00:00Z",
        "namespace        app.example.com",
        "profile 0: 2026-11 blue",
        "PCR0   0909",
        "No earlier version is on record",
    ] {
        assert!(output.stdout.contains(expected), "{expected}: {}", output.stdout);
    }
    assert!(!setup.path().join("store").exists(), "a check records nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_2_signed_policies_wrongly_used() {
    let setup = Setup::new().await;
    write(&setup, "policy", 7, YEAR_3000_MS, true);
    write(&setup, "unsigned", 7, YEAR_3000_MS, true);
    fs::remove_file(setup.path().join("unsigned.minisig")).unwrap();
    fs::write(setup.path().join("damaged"), "{}").unwrap();
    let (url, key) = (setup.url(""), signer().public_key());
    for (arguments, expected) in [
        (&["verify", "--policy", "policy", &url][..], "--signer"),
        (&["verify", "--policy", "policy", "--signer", &key, &url], "--namespace"),
        (&["verify", "--policy", "policy", "--signer", "RWx", "--namespace", "a", &url], "56 char"),
        (&["verify", "--pcrs", "pcrs", "--signer", &key, &url], "go with --policy"),
        (&["verify", "--pcrs", "pcrs", "--minimum-version", "1", &url], "go with --policy"),
        (&["verify", "--pcrs", "pcrs", "--policy", "policy", &url], "cannot be used with"),
        (&["policy", "check", "policy", "--namespace", NAMESPACE], "no signer's key"),
        (&["policy", "check", "policy", "--signer", &key], "a namespace is"),
    ] {
        let output = setup.run(arguments).await;
        assert_eq!(output.code, 2, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{arguments:?}: {}", output.stderr);
    }
    for (file, more, expected) in [
        ("absent", &[][..], "absent: "),
        ("unsigned", &[], "unsigned.minisig: "),
        ("policy", &["--policy-store", "damaged"], "damaged: "),
    ] {
        let output = verify(&setup, file, more).await;
        assert_eq!(output.code, 2, "{file}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_27_code_3_what_a_signed_policy_refuses_and_policies_that_are_refused() {
    let setup = Setup::new().await;
    write(&setup, "seven", 7, YEAR_3000_MS, true);
    write(&setup, "eight", 8, YEAR_3000_MS, true);
    write(&setup, "expired", 9, 1_000_000_000_000, true);
    write(&setup, "other-image", 7, YEAR_3000_MS, false);
    for from in ["seven", "eight.minisig"] {
        fs::copy(setup.path().join(from), setup.path().join(from.replace(&from[..5], "mixed")))
            .unwrap();
    }
    let output = verify(&setup, "other-image", &[]).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    for expected in
        ["REFUSED", "policy version 7", "profile 0 \"2026-11 blue\": PCR0 expected 0909"]
    {
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    assert_eq!(verify(&setup, "eight", &["--policy-store", "store"]).await.code, 0);
    let other = PolicySigner::new([1; 8], [1; 32]).public_key();
    for (file, more, expected) in [
        ("mixed", &[][..], "does not verify"),
        ("expired", &[], "expired at 2001-09-09T01:46:40Z, and now it is 20"),
        ("seven", &["--minimum-version", "8"], "8 is the lowest that is accepted"),
        ("seven", &["--policy-store", "store"], "version 8 has been accepted before"),
    ] {
        for command in
            [&["policy", "check", file][..], &["verify", &setup.url(""), "--policy", file]]
        {
            let output = run(&setup, command, more).await;
            assert_eq!(output.code, 3, "{command:?}: {}", output.stderr);
            assert!(output.stderr.contains(expected), "{command:?}: {}", output.stderr);
        }
    }
    let check = ["policy", "check", "seven", "--signer", &other, "--namespace", NAMESPACE];
    let output = setup.run(&check).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    let expected = "signed with key 0707070707070707, but the owner's keys are 0101010101010101";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    let key = signer().public_key();
    let output =
        setup.run(&["policy", "check", "seven", "--signer", &key, "--namespace", "other"]).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("is for \"app.example.com\", not for \"other\""));
    let output = verify(&setup, "eight", &["--policy-store", "store"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!output.stderr.contains("old one"), "there is a record: {}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_27_a_gateway_ends_with_code_3_when_its_policy_has_expired() {
    let setup = Setup::new().await;
    let expires_ms = (now_ms() / 1000 + 10) * 1000;
    write(&setup, "policy", 7, expires_ms, true);
    let key = signer().public_key();
    let trust = ["--policy", "policy", "--signer", &key, "--namespace", NAMESPACE];
    let mut gateway = Gateway::start_in(setup, &[&ROOT[..], &trust].concat(), &[]).await;
    assert!(gateway.get("/fields").await.starts_with("HTTP/1.1 200 "));
    tokio::time::sleep(Duration::from_millis(expires_ms.saturating_sub(now_ms()))).await;
    let answer = gateway.get("/fields").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("policy_refused"), "{answer}");
    let (code, said) = gateway.exit().await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the policy has expired"), "{said}");
}
