//! The tunnel: one stream over a WebSocket (SPEC.md, Section 11.1).

use super::{Opened, Outbound, Source, discard, dispatch, open_stream};
use crate::body::{BrokenOff, OuterBody};
use crate::limits::{Limits, TUNNEL_BUFFER};
use crate::routes::Refusal;
use crate::routes::answers::NO_STORE;
use crate::server::Proxy;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{Request, Response, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use steve_protocol::frame::MAX_SEALED_LEN;
use steve_protocol::session::StreamOpen;
use steve_protocol::stream::ResetCode;
use steve_protocol::tunnel::{close_code, take_frame};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Sender = SplitSink<Socket, Message>;

/// Answers the handshake of a tunnel. The future carries its stream, once the connection has been
/// handed over. `stop` becomes true when shutdown begins.
pub(crate) fn accept(
    proxy: Arc<Proxy>,
    parts: &mut Parts,
    stop: watch::Receiver<bool>,
) -> Result<(Response<OuterBody>, impl Future<Output = ()> + use<>), Refusal> {
    let upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(Refusal::UpgradeRequired)?;
    if parts.version != Version::HTTP_11 {
        return Err(Refusal::UpgradeRequired);
    }
    let mut handshake = Request::new(());
    *handshake.method_mut() = parts.method.clone();
    *handshake.headers_mut() = parts.headers.clone();
    let response = create_response(&handshake).map_err(|_| Refusal::UpgradeRequired)?;
    let mut response = response.map(|()| OuterBody::Whole(Bytes::new()));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    let carry = async move {
        let Ok(io) = upgrade.await else { return };
        let config = WebSocketConfig::default()
            .read_buffer_size(TUNNEL_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MAX_SEALED_LEN)
            .max_message_size(Some(MAX_SEALED_LEN))
            .max_frame_size(Some(MAX_SEALED_LEN));
        let io = TokioIo::new(io);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        carry(&proxy, socket, stop).await;
    };
    Ok((response, carry))
}

/// Carries the one stream of a tunnel to its end.
async fn carry(proxy: &Proxy, socket: Socket, mut stop: watch::Receiver<bool>) {
    let limits = &proxy.limits;
    let (mut sender, messages) = socket.split();
    let reading = Arc::new(Mutex::new(Reading::default()));
    let mut source = Source::Tunnel(TunnelReader { messages, over: false, state: reading.clone() });
    let opened = select! {
        biased;
        opened = timeout(limits.first_frame_timeout, open(proxy, &mut source)) => {
            opened.unwrap_or(Err(Refusal::Timeout))
        }
        () = stopping(&mut stop) => Err(Refusal::Unavailable),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            proxy.metrics.refused(refusal);
            let close = fault(&reading).unwrap_or_else(|| refused(refusal));
            let _ = timeout(limits.linger_time, sender.send(Message::Close(Some(close)))).await;
            return discard(&mut source, limits).await;
        }
    };
    let mut outbound = dispatch::dispatch(proxy, opened, source);
    let ended = pump(&mut sender, &mut outbound, &reading, limits, stop).await;
    let Some(close) = fault(&reading).or(ended.ok()) else { return };
    // A client that is still sending when the connection closes would lose the end of the response.
    let _ = timeout(limits.linger_time, async {
        let _ = sender.send(Message::Close(Some(close))).await;
        poll_fn(|cx| outbound.poll_gone(cx)).await;
    })
    .await;
}

/// Ready when shutdown has begun.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn open(proxy: &Proxy, source: &mut Source) -> Result<Opened, Refusal> {
    let mut place = proxy.anonymous.enter();
    let first = async { source.next_chunk().await.ok_or(Refusal::Malformed) };
    let first = place.hold(first).await?;
    let open = first.as_ref().try_into().map_err(|_| Refusal::Malformed)?;
    let open = StreamOpen::decode(open).map_err(|_| Refusal::Malformed)?;
    open_stream(proxy, place, open, Bytes::new(), source).await
}

/// What happens next in a tunnel.
enum Next {
    Sealed(Bytes),
    Over,
    Exhausted,
    Ping,
    Drained,
}

/// The client is gone.
struct Gone;

/// Sends the response. Gives how to close when it is over.
async fn pump(
    sender: &mut Sender,
    outbound: &mut Outbound,
    reading: &Mutex<Reading>,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) -> Result<CloseFrame, Gone> {
    let mut pings = interval_at(Instant::now() + limits.tunnel_ping, limits.tunnel_ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let drained = async {
        stopping(&mut stop).await;
        sleep(limits.drain_timeout).await;
    };
    let mut drained = pin!(drained.fuse());
    let mut close = CloseCode::Normal;
    while !outbound.is_over() {
        let next = poll_fn(|cx| {
            match outbound.poll_sealed(cx) {
                Poll::Ready(Ok(Some(sealed))) => return Poll::Ready(Ok(Next::Sealed(sealed))),
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(Next::Over)),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(Next::Exhausted)),
                Poll::Pending if outbound.poll_gone(cx).is_ready() => {
                    return Poll::Ready(Err(Gone));
                }
                Poll::Pending => {}
            }
            if drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Next::Drained));
            }
            pings.poll_tick(cx).map(|_| Ok(Next::Ping))
        });
        match next.await? {
            Next::Sealed(mut sealed) => {
                while let Some(frame) = take_frame(&mut sealed) {
                    sender.feed(Message::Binary(frame)).await.map_err(|_| Gone)?;
                }
                sender.flush().await.map_err(|_| Gone)?;
            }
            Next::Over => break,
            Next::Exhausted => return Ok(plain(CloseCode::Error)),
            Next::Ping if lock(reading).silence() >= limits.tunnel_silence => return Err(Gone),
            Next::Ping => sender.send(Message::Ping(Bytes::new())).await.map_err(|_| Gone)?,
            Next::Drained => {
                close = CloseCode::Away;
                // Not `draining`: that would say that the app never got the request.
                if outbound.reset(ResetCode::INTERNAL).is_err() {
                    break;
                }
            }
        }
    }
    Ok(plain(close))
}

fn plain(code: CloseCode) -> CloseFrame {
    CloseFrame { code, reason: "".into() }
}

fn refused(refusal: Refusal) -> CloseFrame {
    let (status, code) = refusal.code();
    CloseFrame { code: close_code(status.as_u16()).into(), reason: code.into() }
}

/// What the response side has to know about the client's messages.
#[derive(Default)]
struct Reading {
    /// The status code for what the tunnel does not carry.
    fault: Option<CloseCode>,
    /// Since when the reader has waited for any message. None while nobody wants one, as when the app
    /// does not read.
    waiting: Option<Instant>,
}

impl Reading {
    fn silence(&self) -> Duration {
        self.waiting.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

fn lock(reading: &Mutex<Reading>) -> MutexGuard<'_, Reading> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(reading: &Mutex<Reading>) -> Option<CloseFrame> {
    lock(reading).fault.map(plain)
}

/// The client's messages.
pub(crate) struct TunnelReader {
    messages: SplitStream<Socket>,
    over: bool,
    state: Arc<Mutex<Reading>>,
}

impl TunnelReader {
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        while !self.over {
            let fault = match ready!(self.poll_message(cx)) {
                Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Ok(Message::Text(_))) => CloseCode::Unsupported,
                Some(Err(SocketError::Capacity(_))) => CloseCode::Size,
                Some(Err(SocketError::Protocol(_) | SocketError::Utf8(_))) => CloseCode::Protocol,
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => {
                    self.over = true;
                    break;
                }
                Some(Ok(_)) => continue,
            };
            self.over = true;
            lock(&self.state).fault = Some(fault);
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        Poll::Ready(None)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, SocketError>>> {
        let polled = self.messages.poll_next_unpin(cx);
        let waiting = &mut lock(&self.state).waiting;
        match polled {
            Poll::Pending => _ = waiting.get_or_insert_with(Instant::now),
            Poll::Ready(_) => *waiting = None,
        }
        polled
    }
}
