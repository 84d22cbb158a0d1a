//! What passes outside the channel.

use super::Findings;
use super::Outcome::{NotChecked, Ok as Good, Problem, Warning};
use super::outer::Outer;
use http::{Method, StatusCode};
use serde_json::Value;
use steve_sdk::VerifiedEnclave;

const PATH: &str = "/steve-doctor-plaintext";

/// What the effective configuration in evidence says of it.
struct Passing {
    allow_plaintext_fallback: bool,
    public_paths: Vec<String>,
    /// Its key exchange, if that protocol is served.
    e2p_v2: Option<String>,
}

impl Passing {
    fn read(configuration: &[u8]) -> Option<Self> {
        let configuration: Value = serde_json::from_slice(configuration).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            allow_plaintext_fallback: configuration["allow_plaintext_fallback"].as_bool()?,
            public_paths: configuration["public_paths"]
                .as_array()?
                .iter()
                .map(text)
                .collect::<Option<_>>()?,
            e2p_v2: configuration.get("e2p_v2").map(text).unwrap_or_default(),
        })
    }
}

/// Requests outside the channel must be refused by the proxy, and its configuration must say so too:
/// one probe sees one path.
pub(super) async fn plaintext(
    outer: &Outer,
    enclave: Option<&VerifiedEnclave>,
    findings: &mut Findings,
) {
    let (outcome, text) = match outer.send(true, Method::POST, PATH, &[], "").await {
        Ok(answer) if is_refusal(answer.status, &answer.body) => {
            configured(enclave.map(|enclave| enclave.configuration()))
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

fn configured(configuration: Option<&[u8]>) -> (super::Outcome, String) {
    let refused = "A request outside the channel is refused by the proxy";
    let Some(configuration) = configuration else {
        return (Warning, format!("{refused}; what else passes is not known without evidence."));
    };
    let Some(passing) = Passing::read(configuration) else {
        return (Warning, format!("{refused}; its configuration is not understood here."));
    };
    let older = match &passing.e2p_v2 {
        Some(key_exchange) => format!(" Clients of E2P v2 ({key_exchange}) are served too."),
        None => String::new(),
    };
    let paths = passing.public_paths.join(", ");
    if passing.allow_plaintext_fallback {
        let text = "The enclave's configuration passes requests outside the channel on to the app, \
                    although this one was refused. Turn --allow-plaintext-fallback off.";
        (Problem, text.to_owned() + &older)
    } else if !paths.is_empty() {
        (Warning, format!("{refused}, but GET and HEAD of {paths} pass in plaintext.{older}"))
    } else {
        (Good, format!("{refused}, and nothing passes in plaintext.{older}"))
    }
}

fn is_refusal(status: StatusCode, body: &[u8]) -> bool {
    status == StatusCode::FORBIDDEN && body == br#"{"error":"e2e_required"}"#
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_named() {
        for (fallback, more, outcome, words) in [
            ("false", r#""public_paths":[]"#, Good, "nothing passes"),
            ("false", r#""public_paths":["/a","/b"]"#, Warning, "HEAD of /a, /b pass"),
            ("true", r#""public_paths":[]"#, Problem, "--allow-plaintext-fallback"),
            ("false", r#""public_paths":["/"],"e2p_v2":"X25519""#, Warning, "E2P v2 (X25519)"),
            ("false", r#""other":1"#, Warning, "not understood"),
        ] {
            let configuration = format!(r#"{{"allow_plaintext_fallback":{fallback},{more}}}"#);
            let found = configured(Some(configuration.as_bytes()));
            assert_eq!(found.0, outcome, "{configuration}");
            assert!(found.1.contains(words), "{}", found.1);
        }
        assert_eq!(configured(None).0, Warning);
    }
}
