//! The tunnel: one stream over a WebSocket (SPEC.md, Section 11.1).

use super::connector::{Connected, Connector};
use super::{Route, error_code};
use crate::error::{Error, Stage};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use steve_protocol::frame::MAX_SEALED_LEN;
use steve_protocol::tunnel::close_status;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tower_service::Service;

type Socket = WebSocketStream<TokioIo<Connected>>;

/// Sends messages of one frame each.
pub(crate) type TunnelWriter = SplitSink<Socket, Message>;

const READ_BUFFER: usize = 16 << 10;
/// Time for the WebSocket's handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Receives messages. Pings are answered while it is being polled.
pub(crate) struct TunnelReader {
    messages: SplitStream<Socket>,
    close: Option<CloseFrame>,
}

/// Opens tunnels: a connection for each.
pub(crate) struct Tunnels {
    pub(super) connector: Connector,
    pub(super) uri: Uri,
    /// The same with the scheme of a WebSocket.
    pub(super) socket: Uri,
}

impl Tunnels {
    /// Opens a WebSocket and sends its first message.
    pub(crate) async fn open(
        &self,
        first: &[u8],
        route: &Route,
    ) -> Result<(TunnelWriter, TunnelReader), Error> {
        let stage = Stage::Request;
        let io = self.connector.clone().call(self.uri.clone()).await;
        let io = io.map_err(|error| Error::transport(stage, true, error))?;
        let request = route.append_to(&self.socket).into_client_request().map_err(failed)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MAX_SEALED_LEN)
            .max_message_size(Some(MAX_SEALED_LEN))
            .max_frame_size(Some(MAX_SEALED_LEN));
        let handshake = client_async_with_config(request, TokioIo::new(io), Some(config));
        let after = HANDSHAKE_TIMEOUT;
        let shaken = timeout(after, handshake).await;
        let (socket, _) = shaken.map_err(|_| Error::Timeout { stage, after })?.map_err(failed)?;
        let (mut writer, messages) = socket.split();
        writer.send(Message::Binary(Bytes::copy_from_slice(first))).await.map_err(failed)?;
        Ok((writer, TunnelReader { messages, close: None }))
    }
}

fn failed(error: SocketError) -> Error {
    match error {
        SocketError::Http(answer) => Error::Outer {
            stage: Stage::Request,
            status: answer.status(),
            code: answer.body().as_deref().and_then(error_code),
        },
        error => Error::transport(Stage::Request, false, error),
    }
}

impl TunnelReader {
    /// The next message; none when there are no more, for whatever reason.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            return Poll::Ready(match ready!(self.messages.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(bytes))) => Some(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    self.close = frame;
                    None
                }
                Some(Ok(_) | Err(_)) | None => None,
            });
        }
    }

    /// The status and error code that the proxy closed the tunnel with.
    pub(crate) fn refusal(&self) -> Option<(StatusCode, Option<String>)> {
        let close = self.close.as_ref()?;
        let status = close_status(close.code.into())?;
        let status = StatusCode::from_u16(status).ok()?;
        Some((status, super::plain_code(&close.reason)))
    }
}
