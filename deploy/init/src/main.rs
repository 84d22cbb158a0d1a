//! `steve-init`: PID 1 of an enclave image.

use rustix::system::{RebootCommand, reboot};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use steve_init::{boot, session};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if std::process::id() == 1 {
        match boot() {
            Ok(ended) => eprintln!("steve-init: the enclave ends: {ended}"),
            Err(error) => eprintln!("steve-init: the enclave ends: {error}"),
        }
        end();
    }
    if arguments.next().is_some_and(|first| first == session::ARGUMENT) {
        eprintln!("steve-init: {}", session::enter(arguments));
        return ExitCode::from(127);
    }
    eprintln!("steve-init: it is PID 1 of an enclave image, and nothing else");
    ExitCode::FAILURE
}

/// Ends the enclave: a restart is what the Nitro hypervisor takes for the end (AWS's init does the
/// same). Should the kernel refuse, the end of PID 1 makes it panic, which ends the enclave too.
fn end() -> ! {
    rustix::fs::sync();
    drain_console();
    if let Err(error) = reboot(RebootCommand::Restart) {
        eprintln!("steve-init: cannot restart: {error}");
    }
    std::process::exit(1)
}

/// Waits until the console has sent the last line, and no longer than a second: a console that
/// nobody reads must not keep the enclave alive.
fn drain_console() {
    let (sent, drained) = mpsc::channel();
    thread::spawn(move || sent.send(rustix::termios::tcdrain(std::io::stderr()).is_ok()));
    drained.recv_timeout(Duration::from_secs(1)).ok();
}
