//! The supervision of real processes, without being PID 1.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, test_kill_process, waitpid};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steve_init::config::Program;
use steve_init::supervise::{self, Ended};

/// Longer than any test: what ends before it was not killed.
const LONG: Duration = Duration::from_secs(600);

/// `run` reaps every child of the process, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Test {
    directory: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Test {
    fn new(name: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::remove_dir_all(&directory).ok();
        fs::create_dir_all(&directory).unwrap();
        Self { directory, _alone: alone }
    }

    /// A shell that finds the test's directory in `$D`.
    fn shell(&self, script: &str) -> Program {
        Program {
            command: ["/bin/sh", "-c", script].map(String::from).to_vec(),
            environment: BTreeMap::from([("D".into(), self.directory.to_str().unwrap().into())]),
        }
    }

    /// A named pipe: who opens it waits for the other side.
    fn pipe(&self, name: &str) {
        let path = self.directory.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap()
    }

    fn run(&self, app: &str, proxy: &str, grace: Duration) -> Ended {
        let init = Path::new(env!("CARGO_BIN_EXE_steve-init"));
        supervise::run(&self.shell(app), &self.shell(proxy), init, grace).unwrap()
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[test]
fn the_app_ends_and_the_proxy_is_told_to() {
    let test = Test::new("app-ends");
    test.pipe("ready");
    let ended = test.run(
        "read _ <$D/ready; exit 7",
        "trap 'echo told >$D/proxy; exit 0' TERM; echo >$D/ready; while :; do sleep 0.05; done",
        LONG,
    );
    assert_eq!(ended.to_string(), "the app ended with exit code 7");
    assert_eq!(test.read("proxy"), "told\n");
}

#[test]
fn a_proxy_killed_by_a_signal_is_named_with_it() {
    let test = Test::new("proxy-killed");
    let ended = test.run("exec sleep 600", "kill -9 $$", LONG);
    assert_eq!(ended.to_string(), "the proxy was ended by signal 9");
}

#[test]
fn who_does_not_end_is_killed() {
    let test = Test::new("stubborn");
    test.pipe("ready");
    let ended = test.run(
        "trap '' TERM; echo $$ >$D/app; echo >$D/ready; while :; do sleep 0.05; done",
        "read _ <$D/ready; exit 0",
        Duration::from_millis(50),
    );
    assert_eq!(ended.to_string(), "the proxy ended with exit code 0");
    // Killed, and left for the end of the enclave to reap.
    let (_, status) = waitpid(Some(pid(&test.read("app"))), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(9));
}

#[test]
fn all_of_a_session_is_told_to_end() {
    let test = Test::new("session");
    test.pipe("ready");
    // The shell ends only after its child has: were the child not told, this would take for ever.
    let ended = test.run(
        "trap : TERM; sh -c 'echo >$D/ready; exec sleep 600' & until wait; do :; done; exit 0",
        "read _ <$D/ready; exit 4",
        LONG,
    );
    assert_eq!(ended.to_string(), "the proxy ended with exit code 4");
}

#[test]
fn sigterm_goes_to_the_proxy_which_ends_in_its_own_time() {
    let test = Test::new("sigterm");
    test.pipe("ready");
    test.pipe("finish");
    let init = getpid().as_raw_nonzero();
    let ended = test.run(
        &format!("read _ <$D/ready; kill -TERM {init}; echo >$D/finish; exec sleep 600"),
        "trap 'read _ <$D/finish; exit 3' TERM; echo >$D/ready; while :; do sleep 0.05; done",
        LONG,
    );
    assert_eq!(ended.to_string(), "the proxy ended with exit code 3");
}

#[test]
fn orphans_are_reaped() {
    let test = Test::new("orphan");
    test.pipe("gone");
    set_child_subreaper(Some(getpid())).unwrap();
    // The orphan's end closes the pipe, and the proxy waits until its number is free.
    test.run(
        "(sh -c 'echo $$ >$D/orphan; echo >$D/gone' &) ; exec sleep 600",
        "read _ <$D/gone; read pid <$D/orphan; while kill -0 $pid 2>/dev/null; do :; done",
        LONG,
    );
    set_child_subreaper(None).unwrap();
    assert!(test_kill_process(pid(&test.read("orphan"))).is_err());
}

#[test]
fn a_program_gets_a_clean_environment_no_input_and_a_session() {
    let test = Test::new("clean");
    let ended = test.run(
        "env >$D/env; cat >$D/stdin; pwd >$D/pwd; cut -d' ' -f1,6 /proc/$$/stat >$D/session",
        "exec sleep 600",
        LONG,
    );
    assert_eq!(ended.to_string(), "the app ended with exit code 0");
    let environment = test.read("env");
    let mut names: Vec<_> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    // The shell itself adds PWD, and some shells more of their own.
    names.retain(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_"));
    assert_eq!(names, ["D", "PATH"]);
    assert_eq!(test.read("stdin"), "");
    assert_eq!(test.read("pwd"), "/\n");
    let session = test.read("session");
    let (pid, session) = session.trim().split_once(' ').unwrap();
    assert_eq!(pid, session);
}

#[test]
fn a_program_that_is_not_there_is_an_end_with_127() {
    let test = Test::new("missing");
    let missing = Program { command: vec!["/nowhere".into()], environment: BTreeMap::new() };
    let init = Path::new(env!("CARGO_BIN_EXE_steve-init"));
    let ended = supervise::run(&missing, &test.shell("exec sleep 600"), init, LONG).unwrap();
    assert_eq!(ended.to_string(), "the app ended with exit code 127");
}

#[test]
fn without_the_init_binary_nothing_is_started() {
    let test = Test::new("no-init");
    let program = test.shell("exit 0");
    let error = supervise::run(&program, &program, Path::new("/nowhere/init"), LONG).unwrap_err();
    assert!(matches!(
        error,
        supervise::SuperviseError::Start { name: "app", error } if error.kind() == io::ErrorKind::NotFound
    ));
}
