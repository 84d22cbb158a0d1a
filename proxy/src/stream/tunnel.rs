//! The tunnel: one stream over a WebSocket (SPEC.md, Section 11.1).

use super::{Opened, Outbound, Source, dispatch, open_stream};
use crate::body::{BrokenOff, OuterBody};
use crate::limits::{TUNNEL_BUFFER, TUNNEL_PING};
use crate::routes::Refusal;
use crate::routes::answers::NO_STORE;
use crate::server::Proxy;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{Request, Response, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use steve_protocol::frame::MAX_SEALED_LEN;
use steve_protocol::session::StreamOpen;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Sender = SplitSink<Socket, Message>;

/// Close codes for refusals begin here.
const CLOSE_BASE: u16 = 4000;

/// Answers the handshake of a tunnel. The future carries its stream, once the connection has been
/// handed over.
pub(crate) fn accept(
    proxy: Arc<Proxy>,
    parts: &mut Parts,
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
        carry(&proxy, socket).await;
    };
    Ok((response, carry))
}

/// Carries the one stream of a tunnel to its end.
async fn carry(proxy: &Proxy, socket: Socket) {
    let (mut sender, messages) = socket.split();
    let fault = Arc::new(AtomicU16::new(0));
    let mut source = Source::Tunnel(TunnelReader { messages, over: false, fault: fault.clone() });
    let opened = timeout(proxy.limits.first_frame_timeout, open(proxy, &mut source)).await;
    let (close, outbound) = match opened.unwrap_or(Err(Refusal::Timeout)) {
        Ok(opened) => {
            let mut outbound = dispatch::dispatch(proxy, opened, source);
            let Ok(close) = pump(&mut sender, &mut outbound).await else { return };
            (close, Some(outbound))
        }
        Err(refusal) => {
            proxy.metrics.refused(refusal);
            (refused(refusal), None)
        }
    };
    let close = match fault.load(Relaxed) {
        0 => close,
        code => CloseFrame { code: code.into(), reason: "".into() },
    };
    // A client that is still sending when the connection closes would lose the end of the response.
    let _ = timeout(proxy.limits.linger_time, async {
        let _ = sender.send(Message::Close(Some(close))).await;
        if let Some(mut outbound) = outbound {
            poll_fn(|cx| outbound.poll_gone(cx)).await;
        }
    })
    .await;
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
    Quiet,
}

/// The client is gone.
struct Gone;

/// Sends the response. Gives how to close when it is over.
async fn pump(sender: &mut Sender, outbound: &mut Outbound) -> Result<CloseFrame, Gone> {
    let mut quiet = Box::pin(sleep(TUNNEL_PING));
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
            quiet.as_mut().poll(cx).map(|()| Ok(Next::Quiet))
        });
        match next.await? {
            Next::Sealed(mut sealed) => {
                while let Some(frame) = first_frame(&mut sealed) {
                    sender.feed(Message::Binary(frame)).await.map_err(|_| Gone)?;
                }
                sender.flush().await.map_err(|_| Gone)?;
            }
            Next::Over => break,
            Next::Exhausted => return Ok(CloseFrame { code: CloseCode::Error, reason: "".into() }),
            Next::Quiet => {
                sender.send(Message::Ping(Bytes::new())).await.map_err(|_| Gone)?;
            }
        }
        quiet.as_mut().reset(Instant::now() + TUNNEL_PING);
    }
    Ok(CloseFrame { code: CloseCode::Normal, reason: "".into() })
}

/// Takes the first frame off sealed bytes.
fn first_frame(sealed: &mut Bytes) -> Option<Bytes> {
    let header: [u8; 4] = *sealed.first_chunk()?;
    let len = header.len() + u32::from_be_bytes(header) as usize;
    Some(sealed.split_to(len.min(sealed.len())))
}

fn refused(refusal: Refusal) -> CloseFrame {
    let (status, code) = refusal.code();
    CloseFrame { code: (CLOSE_BASE + status.as_u16()).into(), reason: code.into() }
}

/// The client's messages.
pub(crate) struct TunnelReader {
    messages: SplitStream<Socket>,
    over: bool,
    /// The status code for a message that the tunnel does not carry; 0 for none.
    fault: Arc<AtomicU16>,
}

impl TunnelReader {
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        while !self.over {
            let fault = match ready!(self.messages.poll_next_unpin(cx)) {
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
            self.fault.store(fault.into(), Relaxed);
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        Poll::Ready(None)
    }
}
