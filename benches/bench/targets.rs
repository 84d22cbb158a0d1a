//! What the project promises, as ratios of one run.

use crate::cases::{DOWN, GET_64, OPEN_64, UP};
use crate::contenders::{NGINX_AES, NGINX_CHACHA, STEVE_AES, STEVE_CHACHA};
use crate::figures::{Figures, Metric};
use crate::frames::{Counts, LARGE, SMALL, Times};
use crate::memory::{FLAT, IDLE, MANY_SESSIONS, ONE_SESSION, SLOW};
use crate::setup::Setup;

/// The side of the bound on which a value is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Between(f64, f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Between(least, most) => (least..=most).contains(&value),
        }
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::Between(least, most) => format!("{least} to {most}"),
        }
    }
}

pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    /// None where it was not measured.
    pub(crate) value: Option<f64>,
}

/// All that is not a figure of a contender.
pub(crate) struct Alone {
    pub(crate) times: Vec<Times>,
    pub(crate) counts: Vec<Counts>,
    pub(crate) setup: Setup,
}

/// Every target, in the order of the promises.
pub(crate) fn targets(figures: &Figures, alone: &Alone) -> Vec<Target> {
    let mut all = Vec::new();
    let mut add =
        |what: String, bound, value| all.push(Target { what: what.clone(), bound, value });
    let aes = (STEVE_AES, NGINX_AES);
    let chacha = (STEVE_CHACHA, NGINX_CHACHA);

    for (name, pair) in [("AES-256", aes), ("ChaCha20", chacha)] {
        let cpu = figures.ratio(GET_64, pair, Metric::CpuEach);
        let what = format!("1. CPU of a GET of 1 KiB, {name}, of nginx TLS's");
        add(what, Bound::AtMost(1.0), cpu);
    }
    for (case, pace) in [(GET_64, "closed loop"), (OPEN_64, "open loop")] {
        let what = format!("1. p99 with 64 connections, {pace}, AES-256, of nginx TLS's");
        add(what, Bound::AtMost(1.0), figures.ratio(case, aes, Metric::P99));
    }
    for (case, name) in [(DOWN, "down"), (UP, "up")] {
        let cpu = |pair| figures.ratio(case, pair, Metric::CpuByte);
        let what = format!("2. CPU of a byte, 64 MiB {name}, AES-256, of nginx TLS's");
        add(what, Bound::AtMost(0.8), cpu(aes));
        let what = format!("2. CPU of a byte, 64 MiB {name}, ChaCha20, of nginx TLS's");
        add(what, Bound::AtMost(1.1), cpu(chacha));
        let what = format!("2. throughput of one stream, {name}, AES-256, of nginx TLS's");
        add(what, Bound::AtLeast(1.0), figures.ratio(case, aes, Metric::Bytes));
    }
    for times in &alone.times {
        for (name, beside) in [("seal", &times.seal), ("open", &times.open)] {
            let name = format!("{name}, {:?}", times.aead);
            if times.content == LARGE {
                let what = format!("3. speed of a frame of 16 KiB, {name}, of the bare AEAD's");
                add(what, Bound::AtLeast(0.95), Some(beside.speed));
            } else if times.content == SMALL {
                let what = format!("3. frame of 64 bytes, {name}, over the bare AEAD, ns");
                add(what, Bound::AtMost(60.0), Some(beside.over));
            }
        }
    }
    for counts in &alone.counts {
        let what = format!("3. allocations for a frame of 16 KiB, {}", counts.what);
        add(what, Bound::AtMost(0.0), Some(counts.allocations));
        let what = format!("3. copies for a frame of 16 KiB, {}", counts.what);
        add(what, Bound::AtMost(0.0), Some(counts.moved));
    }
    let setup = &alone.setup;
    let what = "4. sessions/s on one core, X25519, of rustls's full handshakes/s, P-256";
    add(what.to_owned(), Bound::AtLeast(1.0), Some(setup.x25519_speed));
    let what = "4. sessions/s on one core, X-Wing, of rustls's full handshakes/s, P-256";
    add(what.to_owned(), Bound::AtLeast(0.5), Some(setup.xwing_speed));
    let what = "4. appraisal of evidence, of five bare P-384 verifications";
    add(what.to_owned(), Bound::AtMost(1.1), Some(setup.appraisal_ratio));

    let memory = |case, contender| figures.median(case, contender, Metric::MemoryEach);
    let what = "5. resident bytes for an idle session";
    add(what.to_owned(), Bound::AtMost(512.0), memory(IDLE, STEVE_AES));
    let what = "5. resident bytes for an active stream, slow reader";
    add(what.to_owned(), Bound::AtMost(160.0 * 1024.0), memory(SLOW, STEVE_AES));
    for (case, sessions) in FLAT {
        let ratio = figures.ratio(case, (MANY_SESSIONS, ONE_SESSION), Metric::CpuEach);
        let what = format!("6. CPU of a request beside {sessions} sessions, of that beside 1");
        add(what, Bound::Between(0.9, 1.1), ratio);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_include_their_ends() {
        assert!(Bound::AtMost(1.0).holds(1.0) && !Bound::AtMost(1.0).holds(1.01));
        assert!(Bound::AtLeast(0.5).holds(0.5) && !Bound::AtLeast(0.5).holds(f64::NAN));
        assert!(Bound::Between(0.9, 1.1).holds(1.0) && !Bound::Between(0.9, 1.1).holds(1.2));
    }
}
