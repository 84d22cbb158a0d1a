//! Whether the app's answers come through in pieces.

use super::Outcome::{NotChecked, Ok as Good, Problem};
use super::{Findings, Outcome};
use crate::args::{Common, DoctorArgs};
use crate::connect;
use crate::exit::Failure;
use std::time::{Duration, Instant};

/// Streams are watched for this long, and shorter ones tell nothing.
const WATCHED: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(500);

/// The first bytes of a stream must not wait for its last ones. Nothing is sent to an enclave that was
/// not `compared` with what its client expects.
pub(super) async fn streaming(
    args: &DoctorArgs,
    origin: &str,
    compared: bool,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let (outcome, text) = match &args.stream {
        None => (
            NotChecked,
            "The protocol has no answer that takes its time. Pass --stream with a path whose \
             answer does."
                .to_owned(),
        ),
        Some(_) if !compared => {
            let text = "Nothing is sent to an enclave that was compared with nothing.";
            (NotChecked, text.to_owned())
        }
        Some(path) => watch(&args.common, origin, path).await?,
    };
    findings.add("streaming", outcome, text);
    Ok(())
}

async fn watch(common: &Common, origin: &str, path: &str) -> Result<(Outcome, String), Failure> {
    let client = connect::client(common, origin)?;
    // A handshake that goes along would push the first bytes through small buffers.
    if let Err(error) = client.session_binding().await {
        return Ok((NotChecked, format!("There is no session: {error}.")));
    }
    let began = Instant::now();
    let mut first = None;
    let reading = async {
        let mut body = client.get(path).send().await?.into_body();
        while let Some(chunk) = body.chunk().await? {
            if !chunk.is_empty() {
                first.get_or_insert_with(|| began.elapsed());
            }
        }
        Ok::<_, steve_sdk::Error>(())
    };
    let ended = tokio::time::timeout(WATCHED, reading).await;
    let total = began.elapsed();
    let buffered = "Turn buffering off in the server in front (nginx: proxy_buffering off).";
    Ok(match (first, ended) {
        (_, Ok(Err(error))) => (Problem, format!("The stream failed: {error}.")),
        (Some(_), Err(_)) => (Good, "The first bytes came before the end.".to_owned()),
        (None, Err(_)) => (Problem, format!("Nothing came within {WATCHED:?}. {buffered}")),
        (_, Ok(Ok(()))) if total < SHORTEST => {
            (NotChecked, format!("The answer was over after {total:?}: choose a longer one."))
        }
        (Some(first), Ok(Ok(()))) if first * 10 < total * 9 => {
            (Good, format!("The first bytes came after {first:?}, the last after {total:?}."))
        }
        _ => (Problem, format!("All bytes came at the end, after {total:?}. {buffered}")),
    })
}
