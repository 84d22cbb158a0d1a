use super::Source;
use crate::limits::Limits;
use tokio::time::timeout;

/// Reads and throws away the rest of an outer request that is about to be answered, within limits: a
/// client that is still sending when the connection closes would lose the answer.
pub(crate) async fn discard(source: &mut Source, limits: &Limits) {
    let read = async {
        let mut left = limits.linger_bytes;
        while let Some(chunk) = source.next_chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = timeout(limits.linger_time, read).await;
}
