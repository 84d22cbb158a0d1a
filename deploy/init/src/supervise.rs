//! Runs app and proxy until one of them ends, and ends the other.

use crate::config::Program;
use crate::session;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
};
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// Nothing runs, or only one of the two.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// No signals or timers.
    #[error("cannot wait for signals: {0}")]
    Runtime(#[from] io::Error),
    /// A process could not be made.
    #[error("cannot start the {name}: {error}")]
    Start {
        /// `app` or `proxy`
        name: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// `app` or `proxy`
    pub name: &'static str,
    /// What the kernel says of it.
    pub status: WaitStatus,
}

impl Display for Ended {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.status.exit_status(), self.status.terminating_signal()) {
            (Some(code), _) => write!(f, "the {} ended with exit code {code}", self.name),
            (None, Some(signal)) => write!(f, "the {} was ended by signal {signal}", self.name),
            (None, None) => write!(f, "the {} ended", self.name),
        }
    }
}

struct Running {
    name: &'static str,
    pid: Pid,
}

impl Running {
    fn start(name: &'static str, program: &Program, init: &Path) -> Result<Self, SuperviseError> {
        let pid =
            session::start(init, program).map_err(|error| SuperviseError::Start { name, error })?;
        Ok(Self { name, pid })
    }

    /// To all of its session's first group; to itself as long as it has not made the session. Not
    /// reaped yet, so the number is still its own.
    fn signal(&self, signal: Signal) {
        if kill_process_group(self.pid, signal).is_err() {
            kill_process(self.pid, signal).ok();
        }
    }
}

/// Starts the app, then the proxy, by the init binary `init`, and reaps every child that ends. When
/// one of the two has ended, the other one gets SIGTERM, and SIGKILL after `grace`; then it returns
/// how the first one ended. SIGTERM to this process goes to the proxy: it finishes open streams,
/// for which it needs the app, and with its end the app ends too.
pub fn run(
    app: &Program,
    proxy: &Program,
    init: &Path,
    grace: Duration,
) -> Result<Ended, SuperviseError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(supervise(app, proxy, init, grace))
}

async fn supervise(
    app: &Program,
    proxy: &Program,
    init: &Path,
    grace: Duration,
) -> Result<Ended, SuperviseError> {
    let mut child_ended = signal(SignalKind::child())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut running =
        vec![Running::start("app", app, init)?, Running::start("proxy", proxy, init)?];

    let first = loop {
        tokio::select! {
            _ = child_ended.recv() => {
                if let Some(ended) = reap(&mut running) {
                    break ended;
                }
            }
            _ = terminated.recv() => {
                eprintln!("steve-init: SIGTERM, the proxy is to end");
                running.iter().filter(|it| it.name == "proxy").for_each(|it| it.signal(Signal::TERM));
            }
        }
    };

    running.iter().for_each(|other| other.signal(Signal::TERM));
    let limit = Instant::now() + grace;
    while !running.is_empty() {
        tokio::select! {
            _ = child_ended.recv() => {
                reap(&mut running);
            }
            () = sleep_until(limit) => {
                for other in running.drain(..) {
                    eprintln!("steve-init: the {} takes too long and is killed", other.name);
                    other.signal(Signal::KILL);
                }
            }
        }
    }
    Ok(first)
}

/// Takes leave of all children that have ended, also of those that came to PID 1 as orphans. Those
/// that were running are reported, removed, and the first of them returned.
fn reap(running: &mut Vec<Running>) -> Option<Ended> {
    let mut first = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if let Some(index) = running.iter().position(|it| it.pid == pid) {
            let ended = Ended { name: running.remove(index).name, status };
            eprintln!("steve-init: {ended}");
            first.get_or_insert(ended);
        }
    }
    first
}
