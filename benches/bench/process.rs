//! Programs that are measured, and what the kernel says of them.

use crate::Result;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Which side of the benchmark a program is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Generator and app.
    Own,
    /// What is measured.
    Contender,
}

/// The cores of the two sides; none if there is one core only. Known from [`pin_self`] on.
static CORES: OnceLock<Option<[String; 2]>> = OnceLock::new();

/// The core that a side runs on.
pub(crate) fn core(side: Side) -> Option<&'static str> {
    CORES.get()?.as_ref().map(|cores| cores[side as usize].as_str())
}

/// Pins the calling process, before it has threads, and all that it starts.
pub(crate) fn pin_self() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut allowed = list.unwrap_or_default().trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().unwrap_or(0)..=last.parse::<usize>().unwrap_or(0)
    });
    let cores = allowed.next().zip(allowed.next());
    let cores = CORES.get_or_init(|| cores.map(|(own, other)| [own, other].map(|c| c.to_string())));
    if let Some([own, _]) = cores {
        let id = std::process::id().to_string();
        Command::new("taskset").args(["-p", "-c", own, &id]).stdout(Stdio::null()).status()?;
    }
    Ok(())
}

/// A program that ends with this.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it on the core of its side, and waits until it accepts connections.
    pub(crate) fn start(command: &mut Command, side: Side, address: SocketAddr) -> Result<Self> {
        // It ends when this program does, however that ends.
        let mut pinned = Command::new("setpriv");
        pinned.args(["--pdeathsig", "TERM"]);
        if let Some(core) = core(side) {
            pinned.args(["taskset", "-c", core]);
        }
        pinned.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        let name = command.get_program().to_string_lossy().into_owned();
        let child = pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut program = Self(child.spawn()?);
        let limit = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = program.0.try_wait()? {
                return Err(format!("{name} ended at once: {status}").into());
            }
            if Instant::now() > limit {
                return Err(format!("{name} does not listen on {address}").into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(program)
    }

    /// Its process id and those of its descendants.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids = vec![self.0.id()];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            for task in tasks(*id) {
                let children = fs::read_to_string(task + "/children").unwrap_or_default();
                ids.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            }
            next += 1;
        }
        ids
    }

    /// Nanoseconds that all its threads have had a processor, as `/proc/PID/task/*/schedstat` says.
    pub(crate) fn cpu(&self) -> u64 {
        let of = |task: String| -> Option<u64> {
            fs::read_to_string(task + "/schedstat").ok()?.split_whitespace().next()?.parse().ok()
        };
        self.ids().into_iter().flat_map(tasks).filter_map(of).sum()
    }

    /// The resident set now, and the most that it was: bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let (mut now, mut peak) = (0, 0);
        for id in self.ids() {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            now += kibibytes(&status, "VmRSS:") * 1024;
            peak += kibibytes(&status, "VmHWM:") * 1024;
        }
        (now, peak)
    }
}

fn tasks(id: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

fn kibibytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Drop for Program {
    fn drop(&mut self) {
        for id in self.ids() {
            let _ = Command::new("kill").arg(id.to_string()).stderr(Stdio::null()).status();
        }
        let limit = Instant::now() + Duration::from_secs(2);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < limit {
            sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The load average of the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}
