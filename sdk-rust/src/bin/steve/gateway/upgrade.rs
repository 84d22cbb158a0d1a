//! Connections that a client and the app change to another protocol.

use super::line::Line;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Version, request};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use steve_sdk::Upgraded;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::sync::OwnedSemaphorePermit;

const BUFFER: usize = 16 << 10;

/// The local end of a connection whose client asked for a WebSocket, to be had after the answer.
pub(super) fn requested(parts: &mut request::Parts) -> Option<OnUpgrade> {
    let websocket = parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && names(&parts.headers, CONNECTION.as_str(), "upgrade")
        && names(&parts.headers, UPGRADE.as_str(), "websocket");
    if websocket { parts.extensions.remove() } else { None }
}

fn names(fields: &HeaderMap, field: &str, name: &str) -> bool {
    fields
        .get_all(field)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|value| value.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// Makes a request ask for a WebSocket and nothing else.
pub(super) fn ask<B>(request: Request<B>) -> Request<()> {
    let mut request = request.map(|_| ());
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    request
}

/// Says that the local connection changes as well.
pub(super) fn answer(fields: &mut HeaderMap) {
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// A local connection and one to the app that are to be joined.
pub(super) struct Joint {
    pub(super) local: OnUpgrade,
    pub(super) app: Upgraded,
    pub(super) line: Option<Line>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Joint {
    /// Carries bytes both ways until both ends have ended, or either breaks; then both are dropped.
    pub(super) async fn carry(mut self) {
        let Ok(local) = self.local.await else { return };
        let mut local = TokioIo::new(local);
        let copied = copy_bidirectional_with_sizes(&mut local, &mut self.app, BUFFER, BUFFER).await;
        if let Some(line) = &mut self.line {
            match copied {
                Ok((up, down)) => line.carried(up, down),
                Err(_) => line.fail("broken"),
            }
        }
    }
}
