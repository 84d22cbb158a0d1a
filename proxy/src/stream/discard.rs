use super::prefix::next_chunk;
use crate::limits::Limits;
use hyper::body::Incoming;
use tokio::time::timeout;

/// Reads and throws away the rest of an outer request that is about to be answered, within limits: a
/// client that is still sending when the connection closes would lose the answer.
pub(crate) async fn discard(body: &mut Incoming, limits: &Limits) {
    let read = async {
        let mut left = limits.linger_bytes;
        while let Some(chunk) = next_chunk(body).await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = timeout(limits.linger_time, read).await;
}
