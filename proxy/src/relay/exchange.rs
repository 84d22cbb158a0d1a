//! A connection from both of its ends.
//!
//! Each direction is read, written and ended by itself: neither waits for the other. What differs
//! between the transports is the half-close. On vsock the end of the client's direction is passed on.
//! Behind a Unix socket it would be taken for the end of both directions (Firecracker and
//! vhost-device-vsock send the enclave a shutdown of both), and the answer would be cut off; there the
//! relay keeps the client's end to itself until the enclave has ended its own direction, or has been
//! silent for [`RelayConfig::half_close_timeout`].

use super::client_end::ClientEnd;
use super::config::RelayConfig;
use super::connect::Enclave;
use super::metrics::RelayMetrics;
use super::pump::{Broken, Shared, pump};
use futures_util::FutureExt;
use std::io;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, sleep};

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both directions to their ends, or the enclave's to its end and no more from the client.
    Complete,
    ClientBroke,
    EnclaveBroke(io::Error),
    /// Nothing moved.
    Idle,
    /// The client had finished, and then nothing moved any more.
    HalfClosed,
}

impl End {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientBroke => "client_broke",
            Self::EnclaveBroke(_) => "enclave_broke",
            Self::Idle => "idle",
            Self::HalfClosed => "half_closed",
        }
    }
}

/// What an exchange needs of the relay.
pub(super) struct Context<'a> {
    pub(super) config: &'a RelayConfig,
    pub(super) shared: Shared<'a>,
    pub(super) metrics: &'a RelayMetrics,
}

/// Passes everything on until the connection ends; `header` is for the enclave, ahead of all else.
pub(super) async fn exchange(
    context: &Context<'_>,
    client: &mut TcpStream,
    enclave: Enclave,
    header: &[u8],
) -> End {
    match enclave {
        Enclave::Vsock(mut vsock) => {
            let (from, to) = vsock.split();
            both(context, client, Peer { from, to, half_close: true }, header, &[]).await
        }
        Enclave::Unix(mut unix, first) => {
            context.metrics.from_enclave.inc_by(first.len() as u64);
            let (from, to) = unix.split();
            both(context, client, Peer { from, to, half_close: false }, header, &first).await
        }
    }
}

/// The enclave's end.
struct Peer<R, W> {
    from: R,
    to: W,
    /// Its transport has ends of single directions.
    half_close: bool,
}

async fn both(
    context: &Context<'_>,
    client: &mut TcpStream,
    enclave: Peer<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    to_enclave: &[u8],
    to_client: &[u8],
) -> End {
    let Context { config, shared, metrics } = context;
    let Peer { from, mut to, half_close } = enclave;
    let client: &TcpStream = client;
    let mut client_to = ClientEnd(client);
    let mut up = pin!(async {
        pump(shared, &metrics.to_enclave, to_enclave, ClientEnd(client), &mut to).await?;
        if half_close {
            // That of an enclave that has ended both directions fails, and nothing is lost.
            let _ = to.shutdown().await;
        }
        Ok(())
    });
    let mut down = pin!(async {
        pump(shared, &metrics.from_enclave, to_client, from, &mut client_to).await?;
        client_to.shutdown().await.map_err(Broken::Writing)
    });
    // Of the client's direction: an error is one of writing.
    let mut up_end: Option<io::Result<()>> = None;
    let mut down_ended = false;
    let mut silence = pin!(sleep(config.idle_timeout));
    loop {
        match (up_end.take(), down_ended) {
            (Some(Ok(())), true) => return End::Complete,
            // What the enclave had still to say was passed on, but not all that the client said.
            (Some(Err(error)), true) => return End::EnclaveBroke(error),
            (end, _) => up_end = end,
        }
        // What it has sent before its end cannot be passed on, so its end was not read.
        let left = up_end.is_none() && has_ended(client);
        let limit = match &up_end {
            None if !down_ended && !left => config.idle_timeout,
            Some(Ok(())) if half_close => config.idle_timeout,
            _ => config.half_close_timeout,
        };
        let due = shared.activity.last() + limit;
        if due <= Instant::now() {
            return match up_end {
                None if down_ended => End::Complete,
                None if left => End::HalfClosed,
                None => End::Idle,
                Some(Ok(())) => End::HalfClosed,
                Some(Err(error)) => End::EnclaveBroke(error),
            };
        }
        silence.as_mut().reset(due.min(Instant::now() + config.half_close_timeout));
        select! {
            _ = client.ready(Interest::ERROR) => return End::ClientBroke,
            end = up.as_mut(), if up_end.is_none() => {
                shared.activity.now();
                up_end = Some(match end {
                    Ok(()) => Ok(()),
                    Err(Broken::Writing(error)) => Err(error),
                    Err(Broken::Reading(_)) => return End::ClientBroke,
                });
            }
            end = down.as_mut(), if !down_ended => {
                shared.activity.now();
                match end {
                    Ok(()) => down_ended = true,
                    Err(Broken::Writing(_)) => return End::ClientBroke,
                    Err(Broken::Reading(error)) => return End::EnclaveBroke(error),
                }
            }
            () = silence.as_mut() => {}
        }
    }
}

/// Whether the client has ended its direction, read or not.
fn has_ended(client: &TcpStream) -> bool {
    let ready = client.ready(Interest::READABLE).now_or_never();
    ready.and_then(Result::ok).is_some_and(|ready| ready.is_read_closed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::buffers::Buffers;
    use crate::relay::pump::Activity;
    use socket2::SockRef;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, UnixStream};
    use tokio::time::timeout;

    /// As on vsock, of which there is none here that loops back.
    #[tokio::test]
    async fn a_transport_with_half_closes_is_told_of_the_clients_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, (mut accepted, _)) = (client.unwrap(), accepted.unwrap());
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let (config, metrics) = (RelayConfig::default(), RelayMetrics::new());
        let (buffers, activity) = (Buffers::default(), Activity::new());
        let shared = Shared { buffers: &buffers, activity: &activity };
        let context = Context { config: &config, shared, metrics: &metrics };
        let (from, to) = near.split();
        let relay = both(&context, &mut accepted, Peer { from, to, half_close: true }, b"", b"");
        let peers = async {
            client.write_all(b"request").await.unwrap();
            client.shutdown().await.unwrap();
            let mut request = Vec::new();
            far.read_to_end(&mut request).await.unwrap();
            assert_eq!(request, b"request");
            far.write_all(b"answer").await.unwrap();
            drop(far);
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"answer");
        };
        let (end, ()) = tokio::join!(relay, peers);
        assert!(matches!(end, End::Complete), "{end:?}");
    }

    /// The enclave takes nothing, so what the client sends gets stuck, and its end behind that.
    async fn stuck(leave: impl FnOnce(TcpStream)) -> End {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, (mut accepted, _)) = (client.unwrap(), accepted.unwrap());
        let (mut near, _far) = UnixStream::pair().unwrap();
        SockRef::from(&near).set_send_buffer_size(4096).unwrap();
        let half_close_timeout = Duration::from_millis(300);
        let config = RelayConfig { half_close_timeout, ..RelayConfig::default() };
        let (buffers, activity) = (Buffers::default(), Activity::new());
        let shared = Shared { buffers: &buffers, activity: &activity };
        let metrics = RelayMetrics::new();
        let context = Context { config: &config, shared, metrics: &metrics };
        let (from, to) = near.split();
        let relay = both(&context, &mut accepted, Peer { from, to, half_close: true }, b"", b"");
        let fill = async {
            // More than the enclave's socket and the relay hold, and the rest fits a window.
            client.write_all(&[0; 112 << 10]).await.unwrap();
            leave(client);
        };
        let (end, ()) = timeout(Duration::from_secs(10), async { tokio::join!(relay, fill) })
            .await
            .expect("the relay does not notice");
        end
    }

    #[tokio::test]
    async fn row_32_a_client_that_leaves_a_stuck_upload_is_noticed() {
        let end = stuck(drop).await;
        assert!(matches!(end, End::HalfClosed), "{end:?}");
        let reset = |client: TcpStream| client.set_zero_linger().unwrap();
        let end = stuck(reset).await;
        assert!(matches!(end, End::ClientBroke), "{end:?}");
    }
}
