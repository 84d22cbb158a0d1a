//! The command `steve`: what it prints, and its exit codes.

use crate::proxy::{Fate, Proxy};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use steve_protocol::evidence::dev;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A proxy, and files for the command.
pub(crate) struct Setup {
    pub(crate) proxy: Arc<Proxy>,
    files: TempDir,
}

pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let proxy = Proxy::start(None).await;
        let files = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        for (register, pcr) in dev::pcrs().iter().take(3) {
            lines += &format!("PCR{register}: {pcr}\n");
        }
        fs::write(files.path().join("pcrs"), &lines).unwrap();
        fs::write(files.path().join("wrong"), lines.replace(&lines[6..10], "abcd")).unwrap();
        fs::write(files.path().join("root.der"), proxy.enclave.authority.root_der()).unwrap();
        fs::write(files.path().join("data"), "from a\nfile").unwrap();
        Self { proxy, files }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.address)
    }

    pub(crate) fn path(&self) -> &Path {
        self.files.path()
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "").await
    }

    /// Runs with the development root and a profile that fits.
    pub(crate) async fn trusting(&self, arguments: &[&str]) -> Output {
        let command = [&arguments[..1], &TRUSTING, &arguments[1..]].concat();
        self.run(&command).await
    }

    async fn run_with(&self, arguments: &[&str], stdin: &'static str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_steve"))
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        let output = Output {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
        output
    }
}

pub(crate) const TRUSTING: [&str; 4] = ["--dangerous-dev-root", "root.der", "--pcrs", "pcrs"];

#[tokio::test(flavor = "multi_thread")]
async fn code_0_verify_reports_every_check() {
    let setup = Setup::new().await;
    let output = setup.trusting(&["verify", &setup.url("")]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    for expected in ["VERIFIED", "certificates", "policy", "Not proven:", "PCR2"] {
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    assert_eq!(output.stdout, "");
    let output = setup.trusting(&["verify", "--json", &setup.url("")]).await;
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((report["verified"].as_bool(), output.stderr.as_str()), (Some(true), ""));
    assert_eq!(report["checks"].as_array().unwrap().len(), 14);
    assert_eq!(report["configuration"]["app"], "test");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_0_requests() {
    let setup = Setup::new().await;
    let echo = setup.url("/echo?a=b");
    let output = setup.trusting(&["request", "-d", "some text", &echo]).await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "some text"), "{}", output.stderr);
    assert!(output.stderr.contains("VERIFIED"), "{}", output.stderr);
    let output = setup.trusting(&["request", "-v", "--data-binary", "@data", &echo]).await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "from a\nfile"));
    assert!(output.stderr.contains("< HTTP 200"), "{}", output.stderr);
    let output =
        setup.trusting(&["request", "--json", "-X", "PUT", "-d", "x", "-o", "out", &echo]).await;
    assert_eq!((output.code, output.stdout.as_str()), (0, ""));
    assert_eq!(fs::read(setup.path().join("out")).unwrap(), b"x");
    let report: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!(report["verified"], true);

    let arguments = [&["request"], &TRUSTING[..], &["-d", "@-", &echo]].concat();
    let output = setup.run_with(&arguments, "from standard input").await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "from standard input"));
    let padded = ["request", "--padding", "block=4096", "--coalesce", "10", "-d", "@data", &echo];
    let output = setup.trusting(&padded).await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "from a\nfile"), "{}", output.stderr);
    let requests = setup.proxy.app.requests.lock().unwrap();
    assert_eq!(requests[..2], ["POST /echo?a=b", "POST /echo?a=b"]);
    assert_eq!(requests[2..], ["PUT /echo?a=b", "POST /echo?a=b", "POST /echo?a=b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_2_wrong_usage() {
    let setup = Setup::new().await;
    let url = setup.url("");
    for (arguments, expected) in [
        (
            &["verify", &url][..],
            "say which enclaves to accept, with --pcrs, --policy or --tofu-store",
        ),
        (&["verify", "--pcrs", "pcrs", "--tofu-store", "t", &url], "cannot be used with"),
        (&["verify", "--pcrs", "pcrs", "--suite", "rot13", &url], "xwing-aes256gcm"),
        (&["verify", "--pcrs", "absent", &url], "absent: "),
        (&["verify", "--pcrs", "data", &url], "data: line 1"),
        (&["verify", "--pcrs", "pcrs", "no-url"], "not an absolute URL"),
        (&["verify", "--pcrs", "pcrs", "--cacert", "data", &url], "no certificate"),
        (&["request", "--pcrs", "pcrs", "-d", "@absent", &url], "absent"),
        (&["request", "--pcrs", "pcrs", "-H", "no colon", &url], "name: value"),
        (&["request", "--pcrs", "pcrs", "--padding", "block=8", &url], "block=16"),
        (&["request", "--pcrs", "pcrs", "--coalesce", "5", &url], "10 to 1000"),
    ] {
        let output = setup.run(arguments).await;
        assert_eq!(output.code, 2, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{arguments:?}: {}", output.stderr);
    }
    let output = setup.run(&["--help"]).await;
    assert!(output.stdout.contains("22  the app's HTTP status"), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_3_policy_and_code_4_evidence() {
    let setup = Setup::new().await;
    let url = setup.url("/secret");
    let root = ["--dangerous-dev-root", "root.der"];
    let arguments = [&["request"], &root[..], &["--pcrs", "wrong", &url]].concat();
    let output = setup.run(&arguments).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    for expected in ["REFUSED", "FAILED", "PCR0 expected", "abcd"] {
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    // One of several profiles suffices.
    let origin = setup.url("");
    assert_eq!(setup.trusting(&["verify", "--pcrs", "wrong", &origin]).await.code, 0);

    let output = setup.run(&["request", "--pcrs", "pcrs", &url]).await;
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(output.stderr.contains("root"), "{}", output.stderr);
    assert!(setup.proxy.app.requests.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_on_first_use_from_the_command_line() {
    let setup = Setup::new().await;
    let url = setup.url("");
    let verify = ["verify", "--dangerous-dev-root", "root.der", "--tofu-store", "pins.json", &url];
    let output = setup.run(&verify).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("first"), "{}", output.stderr);
    assert_eq!(setup.run(&verify).await.code, 0);
    fs::write(setup.path().join("pins.json"), "").unwrap();
    let output = setup.run(&verify).await;
    assert_eq!(output.code, 2, "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_5_transport() {
    let setup = Setup::new().await;
    let output = setup.run(&["verify", "--pcrs", "pcrs", "http://127.0.0.1:1"]).await;
    assert_eq!(output.code, 5, "{}", output.stderr);
    let arguments = ["request", "--timeout", "0.5", &setup.url("/never")];
    assert_eq!(setup.trusting(&arguments).await.code, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_6_channel_leaves_no_file() {
    let setup = Setup::new().await;
    let url = setup.url("/");
    for fate in [Fate::CutLast(1), Fate::FlipLast] {
        setup.proxy.plan([fate]);
        let output = setup.trusting(&["request", "-d", "x", "-o", "out", &url]).await;
        assert_eq!(output.code, 6, "{}", output.stderr);
        assert!(!setup.path().join("out").exists());
    }
    let output = setup.trusting(&["request", &setup.url("/dies")]).await;
    assert_eq!((output.code, output.stdout.as_str()), (6, "half"));
    assert!(output.stderr.contains("app-failed"), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_22_status() {
    let setup = Setup::new().await;
    let url = setup.url("/ignored");
    let output = setup.trusting(&["request", "-d", "x", "--fail", &url]).await;
    assert_eq!((output.code, output.stdout.as_str()), (22, ""));
    assert!(output.stderr.contains("413"), "{}", output.stderr);
    let output = setup.trusting(&["request", "-d", "x", &url]).await;
    assert_eq!((output.code, output.stdout.as_str()), (0, "too much"));
}
