//! A client that is still sending when its connection closes can lose the answer.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a request is read on after its answer, and how much of it.
const TIME: Duration = Duration::from_secs(2);
const BYTES: usize = 64 << 20;

/// What is left of a request, when nobody wants it any more.
pub(super) type Rest = oneshot::Receiver<Incoming>;

/// Reads on, and with that keeps the connection, beside everything else.
pub(super) fn begin(rest: Rest) {
    // Without a runtime the process is ending, and the connection with it.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(timeout(TIME, discard(rest)));
    }
}

async fn discard(rest: Rest) {
    let Ok(mut rest) = rest.await else { return };
    let mut left = BYTES;
    while let Some(Ok(frame)) = rest.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}
