//! The report: `report.md` and its plots.

use crate::Result;
use crate::cases::{CASES, DOWN, GET_64, OPEN_64, UP};
use crate::contenders::ALL;
use crate::figures::{Figures, Metric};
use crate::live::{LIVE, SESSIONS};
use crate::memory::{CONNECTED, FLAT, IDLE, MANY_SESSIONS, ONE_SESSION, SLOW};
use crate::svg::{bars, number};
use crate::targets::{Alone, Target};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) alone: Alone,
    pub(crate) targets: Vec<Target>,
    /// Sentences on this run.
    pub(crate) notes: Vec<String>,
}

const METHOD: &str = "\
Everything is measured in one run. In each of five rounds every contender has a slice of half a \
second, in an order that is drawn anew; figures are medians of the rounds, ratios are medians of \
the ratios within a round. Every answer is compared with what the app sent.

The CPU is that of the product alone, all threads and processes, as the kernel counts it \
(`/proc/PID/task/*/schedstat`); it includes what the kernel does for it, such as its half of the \
loopback. This is the figure to compare. Throughput and latency of a closed loop also hold the \
generator's own cryptography, and for STEVE more of it than for TLS. In the open loop requests \
are due at fixed times, and latency counts from then, so that a contender that stalls cannot \
hide it (coordinated omission).

All contenders are before the same app, keep 256 connections to it, log nothing and write no \
files. nginx has one worker, Caddy `GOMAXPROCS=1`, and what runs on tokio one worker thread. TLS \
is 1.3, with X25519, a P-256 certificate, full handshakes and tickets as the product comes. \
Every connection of a STEVE client has its own session, as it has with TLS. OHTTP is the crate \
`ohttp` 0.8 with its RustCrypto back end (hpke 0.14), which has no AES-256; its requests are \
encapsulated once and sent many times, which the gateway cannot tell. It seals whole messages, \
so long bodies, events and WebSockets are left out, and it has no sessions. Without a proxy \
there is no CPU of one.

Slow readers ask for 64 MiB and read 16 KiB every 150 ms; what is resident above what was before \
them, at most, is shared out among them. The X25519 session that is set up in memory is compared \
with the server's side of a handshake of rustls 0.23 with aws-lc-rs; frames with `AeadKey` of \
the same crate and back end (aws-lc-rs). Copies are contents that are not where they arrived \
when they come out, unless the cipher itself moved them out of memory that somebody else holds.
";

/// Writes the report into `folder`.
pub(crate) fn write(folder: &Path, report: &Report) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut text = String::from("# Benchmark\n\nMade by `benches/run`.\n\n");
    for line in machine() {
        writeln!(text, "- {line}")?;
    }
    for note in &report.notes {
        writeln!(text, "- {note}")?;
    }
    text += "\n## Targets\n\n| target | bound | this run | |\n|---|---|---:|---|\n";
    for Target { what, bound, value } in &report.targets {
        let shown = value.map_or_else(|| "–".to_owned(), number);
        let verdict = match value {
            None => "not measured",
            Some(value) if bound.holds(*value) => "met",
            Some(_) => "**missed**",
        };
        writeln!(text, "| {what} | {} | {shown} | {verdict} |", bound.text())?;
    }
    text += "\nTarget 5 also wants a resident set that is flat over 20 GiB and over 10 million \
             requests: `benches/run --long` watches that.\n";
    for (file, title, case, metrics) in PLOTS {
        let (series, rows) = plot(&report.figures, case, metrics);
        fs::write(folder.join(file), bars(title, &series, &rows))?;
        writeln!(text, "\n![{title}]({file})")?;
    }
    text += "\n## Cases\n";
    let cases = CASES.iter().map(|case| (case.key, case.title)).chain(LIVE);
    let memory = [
        (SLOW, "1,000 slow readers of 64 MiB"),
        (CONNECTED, "10,000 connections with a session each"),
        (IDLE, "10,000 sessions without connections"),
    ];
    for (case, title) in cases.chain(memory) {
        table(&mut text, &report.figures, case, title)?;
    }
    sessions(&mut text, &report.figures)?;
    in_memory(&mut text, &report.alone)?;
    writeln!(text, "\n## How it is measured\n\n{METHOD}")?;
    fs::write(folder.join("report.md"), text)?;
    println!("{}", folder.join("report.md").display());
    Ok(())
}

type Plot = (&'static str, &'static str, &'static str, &'static [Metric]);

const PLOTS: [Plot; 7] = [
    ("cpu-get.svg", "CPU of a GET of 1 KiB, 64 connections", GET_64, &[Metric::CpuEach]),
    ("rate-get.svg", "GET of 1 KiB, 64 connections", GET_64, &[Metric::Rate]),
    (
        "latency.svg",
        "GET of 1 KiB, 64 connections, 1500 requests a second",
        OPEN_64,
        &[Metric::P50, Metric::P99, Metric::P999],
    ),
    ("cpu-down.svg", "CPU of a byte, 64 MiB down", DOWN, &[Metric::CpuByte]),
    ("cpu-up.svg", "CPU of a byte, 64 MiB up", UP, &[Metric::CpuByte]),
    ("sessions.svg", "CPU of a new session with one request", SESSIONS, &[Metric::CpuEach]),
    ("slow.svg", "Memory of a slow reader", SLOW, &[Metric::MemoryEach]),
];

type Rows = Vec<(&'static str, Vec<f64>)>;

fn plot(figures: &Figures, case: &'static str, metrics: &[Metric]) -> (Vec<&'static str>, Rows) {
    let series = metrics.iter().map(|metric| metric.unit().0).collect();
    let rows = ALL.iter().filter_map(|contender| {
        let values: Option<Vec<f64>> = metrics
            .iter()
            .map(|metric| Some(figures.median(case, contender.name, *metric)? * metric.unit().1))
            .collect();
        Some((contender.name, values?))
    });
    (series, rows.collect())
}

fn table(text: &mut String, figures: &Figures, case: &'static str, title: &str) -> Result<()> {
    let metrics = figures.metrics(case);
    if metrics.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = metrics.iter().map(|metric| metric.unit().0).collect();
    writeln!(text, "\n### {title}\n\n| | {} |", names.join(" | "))?;
    writeln!(text, "|---|{}", "---:|".repeat(metrics.len()))?;
    for contender in ALL {
        let cells: Vec<_> = metrics
            .iter()
            .map(|metric| (figures.median(case, contender.name, *metric), metric))
            .collect();
        if cells.iter().all(|(value, _)| value.is_none()) {
            continue;
        }
        write!(text, "| {} |", contender.name)?;
        for (value, metric) in cells {
            let shown =
                value.map_or_else(|| "–".to_owned(), |value| number(value * metric.unit().1));
            write!(text, " {shown} |")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn sessions(text: &mut String, figures: &Figures) -> Result<()> {
    *text += "\n### CPU of a GET of 1 KiB beside other sessions\n\nµs, each request of another \
              session, in turns with a proxy that has one.\n\n\
              | sessions | this proxy | the one with 1 | ratio |\n|---:|---:|---:|---:|\n";
    for (case, count) in FLAT {
        let value = |name| figures.median(case, name, Metric::CpuEach).unwrap_or(f64::NAN);
        let ratio = figures.ratio(case, (MANY_SESSIONS, ONE_SESSION), Metric::CpuEach);
        let (many, one) = (number(value(MANY_SESSIONS)), number(value(ONE_SESSION)));
        writeln!(text, "| {count} | {many} | {one} | {} |", number(ratio.unwrap_or(f64::NAN)))?;
    }
    Ok(())
}

fn in_memory(text: &mut String, alone: &Alone) -> Result<()> {
    *text += "\n### Frames of the protocol core\n\nns.\n\n\
              | | bare AEAD | frame | over | speed of the bare AEAD's |\n\
              |---|---:|---:|---:|---:|\n";
    for times in &alone.times {
        for (name, beside) in [("seal", &times.seal), ("open", &times.open)] {
            let (aead, content) = (times.aead, times.content);
            let cells = [beside.bare, beside.frame, beside.over, beside.speed].map(number);
            writeln!(text, "| {aead:?}, {content} bytes, {name} | {} |", cells.join(" | "))?;
        }
    }
    *text += "\n| for a frame of 16 KiB | allocations | copies |\n|---|---:|---:|\n";
    for counts in &alone.counts {
        writeln!(text, "| {} | {:.2} | {:.2} |", counts.what, counts.allocations, counts.moved)?;
    }
    let setup = &alone.setup;
    *text += "\n### Handshakes and evidence\n\n| on one core | µs |\n|---|---:|\n";
    for (name, value) in [
        ("full TLS 1.3 handshake of rustls, server's side, P-256", setup.rustls),
        ("session with X25519, proxy's side", setup.x25519),
        ("session with X-Wing, proxy's side", setup.xwing),
        ("five P-384 verifications", setup.signatures),
        ("appraisal of evidence", setup.appraisal),
    ] {
        writeln!(text, "| {name} | {} |", number(value))?;
    }
    Ok(())
}

/// What it ran on, as far as it can be found out.
fn machine() -> Vec<String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(": ")?.1.to_owned())
    });
    let day = said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let commit = said("git", &["describe", "--always", "--dirty"]);
    let versions = [
        said("nginx", &["-v"]),
        said("caddy", &["version"]).map(|version| format!("Caddy {version}")),
        said("openssl", &["version"]),
        said("rustc", &["--version"]),
    ];
    let versions: Vec<String> = versions.into_iter().flatten().collect();
    [
        day.zip(commit).map(|(day, commit)| format!("{day}, commit {commit}")),
        processor.zip(said("uname", &["-sr"])).map(|(cpu, system)| format!("{cpu}, {system}")),
        Some(versions.join("; ")),
    ]
    .into_iter()
    .flatten()
    .collect()
}
