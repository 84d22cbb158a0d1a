//! What `render` writes: byte for byte, and as the programs understand it that it is for.
#![cfg(feature = "render")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use steve_proxy::relay::{Route, Target};
use tempfile::TempDir;

const CASES: [&str; 3] = ["encrypted", "direct", "platform"];

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_steve-proxy"));
    program.env_clear();
    program
}

/// The directory of a case, and its file as arguments.
fn case(name: &str) -> (PathBuf, [String; 2]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render").join(name);
    let (option, file) =
        if name == "platform" { ("--hcl", "caution.hcl") } else { ("--procfile", "Procfile") };
    let file = directory.join(file).display().to_string();
    (directory, [option.into(), file])
}

fn render(source: &[String], out: &Path, more: &[&str]) -> Output {
    program().arg("render").args(source).arg("--out").arg(out).args(more).output().unwrap()
}

fn rendered(name: &str) -> TempDir {
    let out = tempfile::tempdir().unwrap();
    let done = render(&case(name).1, out.path(), &[]);
    assert!(done.status.success(), "{done:?}");
    out
}

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let file = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// Where they are meant to change, render them with `--out tests/render/CASE/expected --force`.
#[test]
fn the_same_file_gives_the_same_bytes() {
    for name in CASES {
        let expected = files(&case(name).0.join("expected"));
        let written = files(rendered(name).path());
        assert!(expected.keys().eq(written.keys()), "{name}: {:?}", written.keys());
        for (file, content) in written {
            assert_eq!(content, expected[&file], "{name}/{file}");
        }
    }
}

#[test]
fn other_files_are_replaced_with_force_only() {
    let (out, source) = (rendered("direct"), case("encrypted").1);
    let before = files(out.path());
    let refused = render(&source, out.path(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("init.json") && said.contains("--force"), "{said}");
    assert_eq!(files(out.path()), before);
    assert!(render(&source, out.path(), &["--force"]).status.success());
    assert_ne!(files(out.path())["init.json"], before["init.json"]);
}

#[test]
fn mistakes_are_told_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("Procfile");
    fs::write(&file, "ports: 49500\nrun: app\n").unwrap();
    let (out, file) = (directory.path().join("out"), file.display().to_string());
    let refused = render(&["--procfile".into(), file.clone()], &out, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    let lines: Vec<_> = said.lines().skip(1).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with(&format!("{file}:1: port 49500")), "{said}");
    assert!(lines[1].starts_with(&format!("{file}:2: run")), "{said}");
    assert!(!out.exists());
}

#[test]
fn one_file_is_needed() {
    let out = tempfile::tempdir().unwrap();
    let both = ["--procfile", "a", "--hcl", "b"].map(String::from);
    for source in [[].as_slice(), both.as_slice()] {
        assert_eq!(render(source, out.path(), &[]).status.code(), Some(2));
    }
    let nowhere = ["--procfile", "/nowhere/Procfile"].map(String::from);
    let refused = render(&nowhere, out.path(), &[]);
    assert!(
        String::from_utf8(refused.stderr).unwrap().contains("/nowhere/Procfile cannot be read")
    );
}

/// `init` takes its configuration, and the proxy what init gives it: it gets as far as the NSM.
#[test]
fn init_and_proxy_understand_it() {
    for name in CASES {
        let out = rendered(name);
        let json = fs::read(out.path().join("init.json")).unwrap();
        let init = steve_init::config::Config::parse(&json).unwrap();
        assert_eq!(init.app.command[0], "/usr/bin/app");
        if name == "direct" {
            assert_eq!(init.proxy.command[1..], ["expose"]);
            continue;
        }
        let mut serve = program();
        serve.args(&init.proxy.command[1..]).envs(&init.proxy.environment);
        serve.env("STEVE_MANIFEST", out.path().join("manifest.json"));
        let said = serve.output().unwrap().stderr;
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("there is no /dev/nsm"), "{said}");
    }
}

/// The targets of the routes in the relay's unit, in their order.
fn targets(name: &str) -> Vec<(String, u32)> {
    let unit = fs::read_to_string(rendered(name).path().join("steve-relay.service")).unwrap();
    let routes = unit.lines().find_map(|line| line.strip_prefix("Environment=STEVE_RELAY_LISTEN="));
    let routes = routes.unwrap().split(',').map(|route| route.parse::<Route>().unwrap());
    let target = |route: Route| match route.target {
        Target::Vsock { cid: 16, port } => (route.source.to_string(), port),
        other => panic!("{other}"),
    };
    routes.map(target).collect()
}

#[test]
fn the_relay_understands_it() {
    let http = |port| ("127.0.0.1:8080".to_owned(), port);
    assert_eq!(targets("encrypted"), [http(8080)]);
    assert_eq!(targets("platform"), [http(8080)]);
    let raw = [("0.0.0.0:9000".into(), 9000), ("fd:port-853".into(), 853)];
    assert_eq!(targets("direct"), [&[http(3000)], &raw[..]].concat());
}
