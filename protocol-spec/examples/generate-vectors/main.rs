//! Writes `vectors/*.json`, or with `--check` fails if they differ from what the code gives.
//!
//! Everything random comes from one seeded generator per file, so that the files do not change
//! unless the protocol does.

mod early;
mod evidence;
mod frames;
mod handshake;
mod heads;
mod padding;
mod policies;
mod streams;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut stale = 0;
    for (name, description, vectors) in [
        ("aead", "AEAD of the suites", frames::aead()),
        ("key_config", "Key configurations (SPEC.md, Section 5)", evidence::key_configs()),
        ("merkle", "Batched challenges (SPEC.md, Section 6.1)", evidence::merkle()),
        (
            "evidence",
            "Evidence and its appraisal (SPEC.md, Sections 6 and 7)",
            evidence::evidence(),
        ),
        ("policy", "Signed policies (SPEC.md, Section 7.2)", policies::policies()),
        ("handshake", "Handshake and key schedule (SPEC.md, Section 8)", handshake::handshakes()),
        ("frames", "Frames of one direction of a stream (SPEC.md, Section 9)", frames::frames()),
        ("heads", "Heads and trailer sections (SPEC.md, Section 10.1)", heads::heads()),
        ("streams", "Order of the frames of a message (SPEC.md, Section 9.3)", streams::streams()),
        ("padding", "Lengths of frames after padding (SPEC.md, Section 9.6)", padding::padding()),
        ("exchange", "Whole sessions", handshake::exchanges()),
    ] {
        let path = directory.join(name).with_extension("json");
        let text = render(description, vectors);
        let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
        if on_disk == text {
            println!("{}: unchanged", path.display());
        } else if check {
            stale += 1;
            eprintln!("{}: differs from what the code generates", path.display());
        } else {
            std::fs::write(&path, text).expect("vectors/ is writable");
            println!("{}: written", path.display());
        }
    }
    if stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn render(description: &str, vectors: Vec<Value>) -> String {
    let file = json!({ "description": description, "vectors": vectors });
    serde_json::to_string_pretty(&file).expect("JSON values serialise") + "\n"
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
