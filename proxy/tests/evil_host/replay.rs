//! What the host remembers, and sends once more.

use super::common::outer;
use super::fault::Kind;
use super::host::{Bodies, Host, PATIENCE, post};
use super::sim;
use super::world::Which;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::timeout;

/// Both bodies of an exchange, as they were before the host touched them.
#[derive(Clone)]
pub struct Recorded {
    pub kind: Kind,
    pub request: Bytes,
    pub response: Bytes,
}

impl Host {
    pub fn recorded(&self) -> Vec<Recorded> {
        let recorded = self.recorded.lock().unwrap();
        let bytes = |bodies: &Bodies| {
            let (kind, [request, response]) = &*bodies.lock().unwrap();
            let (request, response) = (request.clone().freeze(), response.clone().freeze());
            Recorded { kind: *kind, request, response }
        };
        recorded.iter().map(bytes).collect()
    }

    /// Ends the mischief. What was held back reaches the proxy now.
    pub async fn stop(self: &Arc<Self>) {
        self.note("the host stops");
        self.honest.store(true, Relaxed);
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        for (kind, body) in held {
            let _ = timeout(PATIENCE, self.deliver(kind, body)).await;
        }
    }

    /// Sends everything once more, each over a connection of its own.
    pub async fn repeat(self: &Arc<Self>) {
        for Recorded { kind, request, .. } in self.recorded().iter().filter(is_stream) {
            let _ = timeout(PATIENCE, self.deliver(*kind, request.clone())).await;
        }
    }

    /// The same over one connection for all.
    pub async fn repeat_together(self: &Arc<Self>) {
        let together = async {
            let mut sender = self.connect(Which::Current).await?;
            for Recorded { kind, request, .. } in self.recorded().iter().filter(is_stream) {
                sender.ready().await.ok()?;
                let answer = sender.send_request(post(*kind, outer::whole(request.clone())));
                answer.await.ok()?.into_body().collect().await.ok()?;
            }
            Some(())
        };
        let _ = timeout(PATIENCE, together).await;
    }

    /// Sends a request to the current proxy and reads the answer.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        kind: Kind,
        body: Bytes,
    ) -> io::Result<(u16, Bytes)> {
        let frozen = (kind == Kind::Evidence).then(sim::freeze);
        let response = self.send(Which::Current, kind, outer::whole(body)).await?;
        drop(frozen);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    }

    /// The nth body of a kind and direction that is not empty.
    pub(super) fn recorded_body(&self, kind: Kind, direction: usize, n: usize) -> Bytes {
        let side = |one: &Recorded| [&one.request, &one.response][direction].clone();
        let recorded = self.recorded();
        let bodies = recorded.iter().filter(|one| one.kind == kind).map(side);
        let bodies: Vec<_> = bodies.filter(|body| !body.is_empty()).collect();
        bodies.get(n % bodies.len().max(1)).cloned().unwrap_or_default()
    }
}

fn is_stream(one: &&Recorded) -> bool {
    !matches!(one.kind, Kind::Evidence | Kind::Tunnel)
}
