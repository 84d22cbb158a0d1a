//! What the demo does, step by step.

use super::DemoError;
use super::show;
use super::tap::{Seen, Tap};
use std::io::Write;
use std::time::Duration;
use steve_sdk::{Client, RequestBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Travels as a header in every request, for the host to find.
const SECRET: &str = "session-token-4711-do-not-log";
const QUESTION: &str = r#"{"question":"Is my diagnosis treatable?"}"#;

/// Shortest piece of a message that is looked for on the wire; shorter ones occur by chance.
const MIN_NEEDLE: usize = 8;

pub(super) struct Script<'a> {
    pub(super) client: &'a Client,
    pub(super) tap: &'a Tap,
    pub(super) app: &'a str,
    /// The app is the user's: nothing is known but that it may answer GET /.
    pub(super) own_app: bool,
}

impl Script<'_> {
    pub(super) async fn run(&self) -> Result<(), DemoError> {
        show::step("Verify: is this the enclave that the client expects?");
        let enclave = self.client.verify().await.map_err(failed("the verification"))?;
        show::report(enclave.report());
        self.tap.take();

        self.exchange("GET /", self.client.get("/"), "").await?;
        if !self.own_app {
            let request = self.client.post("/chat").header("content-type", "application/json");
            self.exchange("POST /chat", request.body(QUESTION), QUESTION).await?;
            self.exchange("GET /stream", self.client.get("/stream"), "").await?;
        }
        self.without_encryption().await
    }

    async fn exchange(
        &self,
        what: &'static str,
        request: RequestBuilder,
        body: &str,
    ) -> Result<(), DemoError> {
        show::step(&format!("{what}, through the encrypted channel"));
        show::sent(what, &format!("cookie: {SECRET}"), body);
        let request = request.header("cookie", SECRET);
        let response = request.send().await.map_err(failed(what))?;
        let status = response.status();
        if response.headers().get("steve-error").is_some_and(|error| error == "app_unreachable") {
            return Err(DemoError::AppUnreachable { upstream: self.app.to_owned() });
        }
        show::received(status.as_u16());
        let mut body_stream = response.into_body();
        let mut answer = Vec::new();
        let mut stdout = std::io::stdout();
        while let Some(chunk) = body_stream.chunk().await.map_err(failed(what))? {
            if answer.len() < show::MAX_BODY {
                write!(stdout, "{}", String::from_utf8_lossy(&chunk))?;
                stdout.flush()?;
            }
            answer.extend_from_slice(&chunk);
        }
        println!();
        if !self.own_app && !status.is_success() {
            return Err(DemoError::Status { what, status: status.as_u16() });
        }

        let seen = self.tap.take();
        show::seen(&seen);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let path = what.split(' ').next_back().unwrap_or_default();
        let needles: Vec<&str> = [SECRET, path, body]
            .into_iter()
            .chain(answer.lines())
            .flat_map(|text| [text, text.get(..24).unwrap_or(text)])
            .chain(answer.split_inclusive(". ").flat_map(|sentence| sentence.split(", ")))
            .map(str::trim)
            .filter(|needle| needle.len() >= MIN_NEEDLE)
            .collect();
        if let Some(needle) = find(&seen, &needles) {
            return Err(DemoError::PlaintextSeen { what, needle: needle.to_owned() });
        }
        show::no_plaintext(needles.len());
        Ok(())
    }

    /// The same secret without STEVE: the host must see it, or else its looking for it proves
    /// nothing; and the proxy must refuse it.
    async fn without_encryption(&self) -> Result<(), DemoError> {
        let what = "GET / without encryption";
        show::step("For comparison: the same request without encryption");
        let mut socket = TcpStream::connect(self.tap.address()).await?;
        let request = format!(
            "GET / HTTP/1.1\r\nhost: demo\r\ncookie: {SECRET}\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let reading = socket.take(64 * 1024).read_to_end(&mut answer).await;
        reading?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let seen = self.tap.take();
        show::seen(&seen);
        if find(&seen, &[SECRET]).is_none() {
            return Err(DemoError::BlindCheck);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if status != 403 || !answer.contains("e2e_required") {
            return Err(DemoError::Status { what, status });
        }
        show::refused(SECRET);
        Ok(())
    }
}

fn find<'a>(seen: &Seen, needles: &[&'a str]) -> Option<&'a str> {
    needles.iter().copied().find(|needle| seen.contains(needle.as_bytes()))
}

fn failed(what: &'static str) -> impl Fn(steve_sdk::Error) -> DemoError {
    move |source| DemoError::Request { what, source }
}
