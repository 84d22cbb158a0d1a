use super::body::Progress;
use crate::output::printable;
use http::{Method, StatusCode, Version, request};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

/// What `-v` says of a request, when it is over.
pub(super) struct Line {
    method: Method,
    target: String,
    version: Version,
    began: Instant,
    progress: Arc<Progress>,
    status: Option<StatusCode>,
    /// Why it did not end as it should. Until anything else is known, the client left.
    failure: Option<&'static str>,
    down: u64,
}

impl Line {
    pub(super) fn begin(request: &request::Parts, progress: Arc<Progress>) -> Self {
        Self {
            method: request.method.clone(),
            target: request.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            version: request.version,
            began: Instant::now(),
            progress,
            status: None,
            failure: Some("client_gone"),
            down: 0,
        }
    }

    /// The response's head is there; with `failure` it is the gateway's own.
    pub(super) fn answered(&mut self, status: StatusCode, failure: Option<&'static str>) {
        self.status = Some(status);
        self.failure = failure.or(self.failure);
    }

    pub(super) fn add_down(&mut self, bytes: usize) {
        self.down += bytes as u64;
    }

    /// An upgraded connection has ended, with so many bytes from and to the client.
    pub(super) fn carried(&mut self, up: u64, down: u64) {
        self.progress.add(up);
        self.down = down;
        self.complete();
    }

    /// The app's response is complete.
    pub(super) fn complete(&mut self) {
        self.failure = None;
    }

    pub(super) fn fail(&mut self, code: &'static str) {
        self.failure = Some(code);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut line = format!("{} {} {:?}", self.method, self.target, self.version);
        if let Some(status) = self.status {
            line += &format!(" {}", status.as_u16());
        }
        if let Some(failure) = self.failure {
            line += &format!(" {failure}");
        }
        let (up, down) = (self.progress.bytes(), self.down);
        let milliseconds = self.began.elapsed().as_millis();
        line += &format!(" up={up} down={down} {milliseconds}ms\n");
        // The exchange does not depend on anybody reading this.
        let _ = std::io::stderr().write_all(printable(&line).as_bytes());
    }
}
