//! A connection from both of its ends.
//!
//! Each direction is read, written and ended by itself: neither waits for the other. What differs
//! between the transports is the half-close. On vsock the end of the client's direction is passed on.
//! Behind a Unix socket it would be taken for the end of both directions (Firecracker and
//! vhost-device-vsock send the enclave a shutdown of both), and the answer would be cut off; there the
//! relay keeps the client's end to itself until the enclave has ended its own direction, or has been
//! silent for [`RelayConfig::half_close_timeout`].

use super::config::RelayConfig;
use super::connect::Enclave;
use super::metrics::RelayMetrics;
use super::pump::{Broken, Shared, pump};
use std::io;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
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
    /// The client had finished, and then nothing came from the enclave.
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
    let (client_from, mut client_to) = client.split();
    let mut up = pin!(async {
        pump(shared, &metrics.to_enclave, to_enclave, client_from, &mut to).await?;
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
        let limit = match &up_end {
            None if !down_ended => config.idle_timeout,
            Some(Ok(())) if half_close => config.idle_timeout,
            _ => config.half_close_timeout,
        };
        let due = shared.activity.last() + limit;
        if due <= Instant::now() {
            return match up_end {
                None if down_ended => End::Complete,
                None => End::Idle,
                Some(Ok(())) => End::HalfClosed,
                Some(Err(error)) => End::EnclaveBroke(error),
            };
        }
        silence.as_mut().reset(due);
        select! {
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
