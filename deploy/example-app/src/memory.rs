//! What the kernel says of memory.

use std::fs;
use std::io;

/// `/proc/meminfo`, then a line for each process: its name, and the peak of its resident set.
pub(crate) fn report() -> io::Result<String> {
    let mut report = fs::read_to_string("/proc/meminfo")?;
    for entry in fs::read_dir("/proc")? {
        // What is no process has no such file, and a process may be gone by now.
        let Ok(status) = fs::read_to_string(entry?.path().join("status")) else { continue };
        let value =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let (Some(name), Some(peak)) = (value("Name:"), value("VmHWM:")) {
            report += &format!("peak of {name}: {peak}\n");
        }
    }
    Ok(report)
}
