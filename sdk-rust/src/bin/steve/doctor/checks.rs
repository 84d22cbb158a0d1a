//! The checks themselves.

use super::Outcome::{NotChecked, Ok as Good, Problem, Warning};
use super::outer::{Outer, RENEW_DAYS, Tls};
use super::{Findings, Outcome};
use crate::args::{Common, DoctorArgs};
use crate::connect;
use crate::exit::Failure;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steve_sdk::VerifiedEnclave;

const EVIDENCE: &str = "/.well-known/steve/v3/evidence";
const STREAM: &str = "/.well-known/steve/v3/stream";
const TUNNEL: &str = "/.well-known/steve/v3/tunnel";
const HEALTH: &str = "/.well-known/steve/health";
/// An origin that nobody can have.
const FOREIGN: &str = "https://steve-doctor.invalid";
/// Times that evidence is fetched.
const FETCHES: usize = 4;
/// Clocks that differ by more than this will be refused soon.
const CLOCK_WARNING_S: u64 = 30;
/// More than nginx takes by default.
const LARGE_BODY: usize = 2 << 20;
/// Streams are watched for this long, and shorter ones tell nothing.
const WATCHED: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(500);

/// TLS and HTTP versions. False when nothing answers at all.
pub(super) async fn connection(outer: &Outer, origin: &str, findings: &mut Findings) -> bool {
    let best = outer.send(true, Method::GET, HEALTH, &[], "").await;
    let (outcome, text) = match outer.tls() {
        Some(Tls::Valid) => (Good, format!("The certificate is valid, also in {RENEW_DAYS} days.")),
        Some(Tls::EndsSoon) => (
            Warning,
            format!("The certificate ends within {RENEW_DAYS} days. See why it is not renewed."),
        ),
        Some(Tls::Invalid(error)) => (
            Problem,
            format!("Clients refuse the certificate: {error}. Renew it, or pass --cacert."),
        ),
        None if origin.starts_with("https") => (NotChecked, "There was no TLS handshake.".into()),
        None => (
            Warning,
            "There is no outer TLS. Use https outside development: browsers want it.".into(),
        ),
    };
    findings.add("tls", outcome, text);
    let best = match best {
        Ok(answer) => answer.version,
        Err(error) => {
            let text = format!("There is no answer: {error}. Start the server, or see the URL.");
            findings.add("http", Problem, text);
            return false;
        }
    };
    let older = outer.send(false, Method::GET, HEALTH, &[], "").await;
    let (outcome, text) = match (best, older) {
        (Version::HTTP_2, Ok(_)) => (Good, "HTTP/2 and HTTP/1.1 are answered."),
        (_, Err(_)) => (Problem, "HTTP/1.1 is not answered. Enable it: tunnels need it."),
        _ if origin.starts_with("http:") => (Good, "HTTP/1.1 is answered."),
        _ => (Warning, "HTTP/2 is not offered. Enable it: many requests then share a connection."),
    };
    findings.add("http", outcome, text);
    true
}

/// Readiness, if it is not kept from the outside.
pub(super) async fn ready(outer: &Outer, findings: &mut Findings) {
    let (outcome, text) = match outer.send(true, Method::GET, HEALTH, &[], "").await {
        Ok(answer) if answer.body == r#"{"status":"ready"}"# => (Good, "It is ready.".to_owned()),
        Ok(answer) if answer.body == r#"{"status":"unavailable"}"# => {
            let text = "The proxy is not ready. See in its log whether app or attester fail.";
            (Problem, text.to_owned())
        }
        Ok(answer) => {
            let status = answer.status.as_u16();
            (NotChecked, format!("{HEALTH} is answered {status}, not by the proxy."))
        }
        Err(error) => (Problem, format!("{HEALTH} is not answered: {error}.")),
    };
    findings.add("ready", outcome, text);
}

/// Evidence for fresh challenges, over several connections: what it shows, clock, keys, routing.
pub(super) async fn evidence(
    common: &mut Common,
    outer: &Outer,
    origin: &str,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if matches!(outer.tls(), Some(Tls::Invalid(_))) {
        for check in ["evidence", "keys", "clock", "routing"] {
            findings.add(check, NotChecked, "No client gets this far with that certificate.");
        }
        return Ok(());
    }
    let compared = common.policy.is_given();
    let mut instances = BTreeSet::new();
    let mut last = None;
    for _ in 0..FETCHES {
        // Without a policy everything is checked but whose measurements they are.
        let unrecorded = tempfile::tempdir().map_err(Failure::usage)?;
        if !compared {
            common.policy.tofu_store = Some(unrecorded.path().join("pins"));
        }
        match connect::client(common, origin)?.verify().await {
            Ok(enclave) => {
                instances.insert(format!("{:?}", enclave.instance()));
                last = Some(enclave);
            }
            Err(error) => {
                let advice = error
                    .refusal()
                    .map_or("See what stands between it and here.", |r| r.error().advice());
                let refused = format!("Evidence is refused: {error}. {advice}");
                findings.add("evidence", Problem, refused);
                last = None;
                break;
            }
        }
    }
    if !compared {
        common.policy.tofu_store = None;
    }
    let Some(enclave) = last else {
        for check in ["keys", "clock", "routing"] {
            findings.add(check, NotChecked, "There is no evidence that holds.");
        }
        return Ok(());
    };
    accepted(&enclave, compared, findings);
    let (outcome, text) = match instances.len() {
        1 => (Good, format!("{FETCHES} requests for evidence came to the same instance.")),
        count => (
            Warning,
            format!(
                "{FETCHES} requests for evidence came to {count} instances. Make the balancer \
                 send all requests of one client to one of them."
            ),
        ),
    };
    findings.add("routing", outcome, text);
    Ok(())
}

fn accepted(enclave: &VerifiedEnclave, compared: bool, findings: &mut Findings) {
    let module = enclave.module_id();
    let pcr0 = enclave.pcrs().get(0).map(ToString::to_string).unwrap_or_default();
    let (outcome, text) = match enclave.trust() {
        Some(trust) if compared => {
            (Good, format!("Fresh challenges are answered by {module}: {trust}."))
        }
        _ => (
            Warning,
            format!(
                "Fresh challenges are answered by {module} with PCR0 {pcr0}; this was compared \
                 with nothing. Pass --pcrs or --policy."
            ),
        ),
    };
    findings.add("evidence", outcome, text);
    let now_ms = now_ms();
    let left_s = enclave.key_config().fields().not_after.saturating_sub(now_ms) / 1000;
    let (outcome, text) = match left_s {
        0..60 => (Warning, format!("The enclave's keys end in {left_s} s. See its key rotation.")),
        _ => (Good, format!("The enclave's keys hold for another {left_s} s.")),
    };
    findings.add("keys", outcome, text);
    let apart_s = enclave.timestamp_ms().abs_diff(now_ms) / 1000;
    let (outcome, text) = match apart_s {
        0..=CLOCK_WARNING_S => (Good, format!("The document is {apart_s} s from this clock.")),
        _ => (
            Warning,
            format!("The document is {apart_s} s from this clock. Set the clock that is wrong."),
        ),
    };
    findings.add("clock", outcome, text);
}

/// Requests outside the channel must be refused by the proxy.
pub(super) async fn plaintext(outer: &Outer, findings: &mut Findings) {
    let path = "/steve-doctor-plaintext";
    let (outcome, text) = match outer.send(true, Method::POST, path, &[], "").await {
        Ok(answer) if is_refusal(answer.status, &answer.body) => {
            (Good, "A request outside the channel is refused by the proxy.".to_owned())
        }
        Ok(answer) => {
            let status = answer.status.as_u16();
            let text = format!(
                "A request outside the channel is answered {status}, not refused by the proxy. \
                 Pass all paths to it, without --allow-plaintext-fallback."
            );
            (Problem, text)
        }
        Err(error) => (NotChecked, format!("A request outside the channel failed: {error}.")),
    };
    findings.add("plaintext", outcome, text);
}

fn is_refusal(status: StatusCode, body: &[u8]) -> bool {
    status == StatusCode::FORBIDDEN && body == br#"{"error":"e2e_required"}"#
}

/// Cross-origin answers: for the given origin, and for nobody else.
pub(super) async fn cors(outer: &Outer, origin: Option<&str>, findings: &mut Findings) {
    let mut wrong = Vec::new();
    for path in [EVIDENCE, STREAM] {
        for asked in [origin, Some(FOREIGN)].into_iter().flatten() {
            let expected = if asked == FOREIGN { vec![] } else { vec![asked] };
            let preflight = [
                ("origin", asked),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            let asking = outer.send(true, Method::OPTIONS, path, &preflight, "").await;
            let posting = outer.send(true, Method::POST, path, &preflight[..1], "").await;
            let (Ok(asking), Ok(posting)) = (asking, posting) else {
                wrong.push(format!("{path} does not answer {asked}"));
                continue;
            };
            for (what, headers) in [("preflight", &asking.headers), ("answer", &posting.headers)] {
                let allowed = values(headers, ACCESS_CONTROL_ALLOW_ORIGIN);
                if allowed != expected {
                    let shown = allowed.join(", ");
                    wrong.push(format!("the {what} of {path} to {asked} allows \"{shown}\""));
                }
            }
            let fields = values(&asking.headers, ACCESS_CONTROL_ALLOW_HEADERS).join(",");
            let methods = values(&asking.headers, ACCESS_CONTROL_ALLOW_METHODS).join(",");
            let complete = asking.status.is_success()
                && methods.contains("POST")
                && fields.to_ascii_lowercase().contains("content-type");
            if asked != FOREIGN && !complete {
                wrong.push(format!("the preflight of {path} does not allow POST to {asked}"));
            }
        }
    }
    let (outcome, text) = match (wrong.is_empty(), origin) {
        (false, _) => (
            Problem,
            format!(
                "{}. Set --cors-origins of the proxy, and CORS nowhere else.",
                wrong.join("; ")
            ),
        ),
        (true, Some(origin)) => (Good, format!("{origin} is answered and no other origin.")),
        (true, None) => {
            (NotChecked, "No foreign origin is answered. Pass --origin to check yours.".into())
        }
    };
    findings.add("cors", outcome, text);
}

fn values(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect()
}

/// The WebSocket of browsers must get through.
pub(super) async fn tunnel(outer: &Outer, findings: &mut Findings) {
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "c3RldmUtZG9jdG9yLTEyMw=="),
    ];
    let (outcome, text) = match outer.send(false, Method::GET, TUNNEL, &handshake, "").await {
        Ok(answer) if answer.status == StatusCode::SWITCHING_PROTOCOLS => {
            (Good, "A WebSocket gets through to the proxy.".to_owned())
        }
        Ok(answer) => {
            let status = answer.status.as_u16();
            let text = format!(
                "A WebSocket handshake is answered {status}. Make the server in front pass \
                 Upgrade and Connection on."
            );
            (Problem, text)
        }
        Err(error) => (Problem, format!("A WebSocket handshake is not answered: {error}.")),
    };
    findings.add("tunnel", outcome, text);
}

/// Large requests must not be refused before they come to the proxy, which refuses this one as
/// malformed.
pub(super) async fn bodies(outer: &Outer, findings: &mut Findings) {
    let answer = outer.send(false, Method::POST, STREAM, &[], vec![0xff; LARGE_BODY]).await;
    let (outcome, text) = match answer {
        Ok(answer) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => (
            Problem,
            "Requests of 2 MiB are refused with 413. Raise the limit of the server in front."
                .to_owned(),
        ),
        Ok(answer) if answer.body == r#"{"error":"malformed"}"# => {
            (Good, "Requests of 2 MiB come to the proxy.".to_owned())
        }
        Ok(answer) => {
            let status = answer.status.as_u16();
            (Warning, format!("A request of 2 MiB is answered {status}, not by the proxy."))
        }
        Err(error) => (NotChecked, format!("A request of 2 MiB broke off: {error}.")),
    };
    findings.add("bodies", outcome, text);
}

/// The first bytes of a stream must not wait for its last ones.
pub(super) async fn streaming(
    args: &DoctorArgs,
    origin: &str,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let (outcome, text) = match &args.stream {
        None => (
            NotChecked,
            "The protocol has no answer that takes its time. Pass --stream with a path whose \
             answer does."
                .to_owned(),
        ),
        Some(_) if !args.common.policy.is_given() => {
            (NotChecked, "Nothing is sent to an enclave without --pcrs or --policy.".to_owned())
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

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
