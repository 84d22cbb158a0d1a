//! The file systems that programs expect. What can be written to is bounded, so that a full disk is
//! an error of the program that fills it, and not the end of the enclave's memory.

use rustix::fs::{Mode, mkdir, symlink};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;

/// The step that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {path}: {error}")]
pub struct MountError {
    step: &'static str,
    path: &'static str,
    error: Errno,
}

struct Mount {
    kind: &'static str,
    path: &'static str,
    noexec: bool,
    options: Option<&'static CStr>,
}

/// In this order. Sizes are shares of the enclave's memory.
const MOUNTS: [Mount; 7] = [
    Mount { kind: "proc", path: "/proc", noexec: true, options: None },
    Mount { kind: "sysfs", path: "/sys", noexec: true, options: None },
    Mount { kind: "devtmpfs", path: "/dev", noexec: true, options: Some(c"mode=0755") },
    Mount {
        kind: "devpts",
        path: "/dev/pts",
        noexec: true,
        options: Some(c"mode=0620,ptmxmode=0666"),
    },
    Mount { kind: "tmpfs", path: "/dev/shm", noexec: true, options: Some(c"mode=1777,size=25%") },
    Mount { kind: "tmpfs", path: "/tmp", noexec: false, options: Some(c"mode=1777,size=25%") },
    Mount { kind: "tmpfs", path: "/run", noexec: true, options: Some(c"mode=0755,size=10%") },
];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Mounts all of them; directories that the image lacks are made.
pub(crate) fn mount_all() -> Result<(), MountError> {
    for Mount { kind, path, noexec, options } in MOUNTS {
        present(mkdir(path, Mode::from_raw_mode(0o755)), "make", path)?;
        let mut flags = MountFlags::NOSUID;
        // Device files are what these two are for.
        flags.set(MountFlags::NODEV, !matches!(kind, "devtmpfs" | "devpts"));
        flags.set(MountFlags::NOEXEC, noexec);
        mount(kind, path, kind, flags, options).map_err(|error| MountError {
            step: "mount",
            path,
            error,
        })?;
    }
    for (to, path) in LINKS {
        present(symlink(to, path), "make", path)?;
    }
    Ok(())
}

fn present(
    made: Result<(), Errno>,
    step: &'static str,
    path: &'static str,
) -> Result<(), MountError> {
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(MountError { step, path, error }),
    }
}
