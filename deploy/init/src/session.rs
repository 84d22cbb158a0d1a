//! Starting a program in a session of its own: this binary is started once more, makes the session,
//! and becomes the program.

use crate::config::Program;
use rustix::process::{Pid, setsid};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first argument that asks for [`enter`].
pub const ARGUMENT: &str = "in-session";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the program, through the init binary `init`. Its environment is what the configuration
/// gives, its input is empty, its output goes where that of this process goes.
pub(crate) fn start(init: &Path, program: &Program) -> io::Result<Pid> {
    let child = Command::new(init)
        .arg(ARGUMENT)
        .args(&program.command)
        .env_clear()
        .env("PATH", PATH)
        .envs(&program.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .spawn()?;
    Ok(Pid::from_child(&child))
}

/// Makes a session and becomes the program; says what failed if it comes back.
pub fn enter(mut command: impl Iterator<Item = OsString>) -> String {
    let Some(program) = command.next() else {
        return "no program to become".into();
    };
    if let Err(error) = setsid() {
        return format!("cannot make a session: {error}");
    }
    let error = Command::new(&program).args(command).exec();
    format!("cannot start {}: {error}", program.display())
}
