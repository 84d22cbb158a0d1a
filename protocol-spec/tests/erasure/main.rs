//! Keys are gone from the memory of a process when what held them has been dropped.
//!
//! The test runs itself a second time, lets that process go through a conversation with the same
//! random numbers, stops it at some points, and looks for the keys in its memory. They must be found
//! while they are in use, or the search would prove nothing.
#![cfg(all(target_os = "linux", feature = "dangerous-dev-attester"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conversation;
mod memory;

use conversation::{Point, hold};
use memory::Memory;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use steve_protocol::suite::{Kem, Suite};

const SUBJECT: &str = "STEVE_ERASURE_SUITE";

/// The process that is looked at. By itself it only checks that the conversation works.
#[test]
fn subject() {
    let Some(suite) = std::env::var(SUBJECT).ok().and_then(|id| id.parse().ok()) else {
        return Suite::ALL.into_iter().for_each(|suite| hold(suite, |_, _| {}));
    };
    let suite = Suite::from_id(suite).unwrap();
    hold(suite, |point, _| {
        println!("\nat {point:?}");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    });
}

/// Where each key was found.
type Found = BTreeMap<&'static str, Vec<Point>>;

fn search(suite: Suite) -> Found {
    let mut keys = BTreeMap::new();
    hold(suite, |_, known| keys.extend(known()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "subject", "--nocapture"])
        .env(SUBJECT, suite.id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = Found::new();
    for point in Point::ALL {
        let here = format!("at {point:?}");
        assert!(lines.by_ref().any(|line| line.unwrap() == here), "{here} was not reached");
        let memory = Memory::of(child.id());
        for (name, key) in &keys {
            let places = found.entry(*name).or_default();
            if memory.holds(key) {
                places.push(point);
            }
        }
        stdin.write_all(b"\n").unwrap();
    }
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    found
}

#[test]
fn keys_are_in_memory_while_they_are_used_and_no_longer() {
    for suite in Suite::ALL {
        let found = search(suite);
        let mut expected = BTreeMap::from(conversation::EXPECTED.map(|(k, p)| (k, p.to_vec())));
        let expanded = if suite.kem() == Kem::XWing { conversation::EXPANDED } else { &[] };
        expected.insert("enclave's expanded key", expanded.to_vec());
        assert_eq!(found, expected, "{suite:?}");
    }
}
