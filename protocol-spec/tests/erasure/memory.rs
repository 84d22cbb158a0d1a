//! What another process has in its memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::Duration;

/// A copy of the memory that a process can write to, without its threads' stacks.
///
/// Stacks are left out: the compiler copies values to where nobody can erase them, and they stay
/// there until another call uses the place.
pub(crate) struct Memory(Vec<Vec<u8>>);

impl Memory {
    /// Of a process whose threads all wait in system calls.
    pub(crate) fn of(pid: u32) -> Self {
        let stacks = stack_pointers(pid);
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let regions = maps.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (from, to) = words.next()?.split_once('-')?;
            words.next()?.starts_with("rw").then_some(())?;
            let (from, to) = (number(from), number(to));
            (!stacks.iter().any(|stack| (from..to).contains(stack))).then_some(())?;
            let mut region = vec![0; usize::try_from(to - from).unwrap()];
            // What is reserved and was never touched cannot always be read.
            memory.read_exact_at(&mut region, from).ok().map(|()| region)
        });
        Self(regions.collect())
    }

    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        self.0.iter().any(|region| region.windows(key.len()).any(|window| window == key))
    }
}

/// One for each thread, when all wait: the last but one number in `syscall`.
fn stack_pointers(pid: u32) -> Vec<u64> {
    let pointer =
        |syscall: String| syscall.split_whitespace().rev().nth(1).map(|word| number(&word[2..]));
    for _ in 0..1000 {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let pointers: Option<Vec<u64>> = threads
            .map(|thread| pointer(fs::read_to_string(thread.unwrap().path().join("syscall")).ok()?))
            .collect();
        if let Some(pointers) = pointers {
            return pointers;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("a thread of the process keeps running");
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}
