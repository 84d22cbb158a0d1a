//! The command `steve` and what an enclave is made of: its image and its manifest.

use crate::cli::Setup;
use crate::enclave::MANIFEST;
use std::fs;
use std::path::Path;
use std::process::Command;
use steve_sdk::parse_profiles;

#[tokio::test(flavor = "multi_thread")]
async fn measure_writes_what_the_policies_read() {
    let setup = Setup::new().await;
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let image = format!("{data}/signed.eif");
    let output = setup.run(&["measure", &image]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("image example "), "{}", output.stderr);
    let profiles = parse_profiles(&output.stdout).unwrap();
    assert_eq!(profiles[0].values().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1, 2, 8]);

    let written = setup.run(&["measure", "-o", "image.json", &image]).await;
    assert_eq!((written.code, written.stdout.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(setup.path().join("image.json")).unwrap(), output.stdout);
    // Another image than the one that runs.
    let arguments = ["verify", "--dangerous-dev-root", "root.der", "--pcrs", "image.json"];
    assert_eq!(setup.run(&[&arguments[..], &[&setup.url("")]].concat()).await.code, 3);

    for (file, expected) in [("data", "data: the file ends"), ("absent", "absent: No such file")] {
        let output = setup.run(&["measure", file]).await;
        assert_eq!((output.code, output.stdout.as_str()), (2, ""));
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_printed_and_compared() {
    let setup = Setup::new().await;
    let url = setup.url("");
    fs::write(setup.path().join("same"), MANIFEST).unwrap();
    let changed = std::str::from_utf8(MANIFEST).unwrap().replace("app.git", "fork.git");
    fs::write(setup.path().join("other"), changed).unwrap();
    let output = setup.trusting(&["verify", "--expect-manifest", "same", &url]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let line = "app_sources      https://example.com/app.git";
    assert!(output.stderr.contains(line), "{}", output.stderr);
    let output = setup.trusting(&["verify", "--expect-manifest", "other", &url]).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("expected [\"https://example.com/fork.git\"]"));
    let output = setup.trusting(&["verify", "--expect-manifest", "absent", &url]).await;
    assert_eq!(output.code, 2, "{}", output.stderr);
}

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a");
        command.env(format!("GIT_{who}_EMAIL"), "a@example.com");
        command.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
    }
    assert!(command.status().unwrap().success(), "git {arguments:?}");
}

/// Author, time and content give the commit that the manifest names.
#[tokio::test(flavor = "multi_thread")]
async fn the_checkout_is_compared_with_the_manifest() {
    let setup = Setup::new().await;
    let url = setup.url("");
    let app = setup.path().join("app");
    let verify = ["verify", "--source", "app", &url];
    fs::create_dir(&app).unwrap();
    let output = setup.trusting(&verify).await;
    assert_eq!(output.code, 2, "{}", output.stderr);

    git(&app, &["init", "-q", "-b", "main"]);
    fs::write(app.join("app"), "app\n").unwrap();
    git(&app, &["add", "app"]);
    git(&app, &["commit", "-q", "-m", "app"]);
    let output = setup.trusting(&verify).await;
    assert_eq!(output.code, 0, "{}", output.stderr);

    fs::write(app.join("more"), "").unwrap();
    let output = setup.trusting(&verify).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("has changes"), "{}", output.stderr);
    git(&app, &["add", "more"]);
    git(&app, &["commit", "-q", "-m", "more"]);
    let output = setup.trusting(&verify).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("names commit 7696d8b5"), "{}", output.stderr);
}
