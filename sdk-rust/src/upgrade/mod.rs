//! Connections that change to another protocol (SPEC.md, Section 10.6).

mod stream;
mod websocket;

pub use stream::Upgraded;
pub use websocket::{WebSocketBuilder, WebSocketError};

use crate::body::Body;
use crate::client::{Client, Inner};
use crate::error::{Error, Stage};
use crate::exchange::{Failed, Incoming, Prepared, Source, StreamGuard, Ticket, receipt, response};
use crate::retry::{self, Attempt, Decision};
use crate::session::Sending;
use bytes::BytesMut;
use futures_util::SinkExt;
use futures_util::future::poll_fn;
use http::{Request, Response, StatusCode};
use std::sync::Arc;
use steve_protocol::session::ClientStream;
use tokio_tungstenite::tungstenite::Message;

/// Why a connection was not upgraded.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The app answered with an ordinary response, authenticated.
    #[error("the app answered HTTP {} instead of upgrading the connection", .0.status().as_u16())]
    Refused(Box<Response<Body>>),
    /// There is no response.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Client {
    /// Asks the app to change to another protocol: a GET request with an `upgrade` field that names
    /// one, for example `websocket`. Gives the response with status 101, and the connection.
    ///
    /// The connection goes through a tunnel, an outer connection of its own. The request is sent
    /// again, at most twice, only if the enclave certainly did not hand it to the app: after a
    /// failure outside the channel, as when the proxy was restarted, it is up to the caller to ask
    /// again. Dropping the future cancels it.
    pub async fn upgrade(
        &self,
        request: Request<()>,
    ) -> Result<(Response<()>, Upgraded), UpgradeError> {
        let mut parts = request.into_parts().0;
        parts.extensions.get_or_insert(self.inner.shaping);
        let prepared = Prepared::for_upgrade(&self.inner.origin, parts).map_err(Error::from)?;
        let asking = self.inner.ask(&prepared);
        match self.inner.request_timeout {
            None => asking.await,
            Some(after) => tokio::time::timeout(after, asking)
                .await
                .unwrap_or(Err(Error::Timeout { stage: Stage::Request, after }.into())),
        }
    }

    /// Begins a WebSocket to the app at the path given, or absolute URI (`http` or `https`).
    pub fn websocket(&self, uri: &str) -> WebSocketBuilder {
        WebSocketBuilder::new(self.clone(), uri)
    }
}

impl Inner {
    async fn ask(
        self: &Arc<Self>,
        prepared: &Prepared,
    ) -> Result<(Response<()>, Upgraded), UpgradeError> {
        let mut number = 1;
        loop {
            let Failed { error, sent } = match self.ticket(Sending::Once).await {
                Err(error) => Failed { error, sent: false },
                Ok(ticket) => match self.ask_once(ticket, prepared).await {
                    Ok(answer) => return answer,
                    Err(failed) => failed,
                },
            };
            // It is a GET, but not safe (SPEC.md, Section 10.6). It has no body.
            let attempt = Attempt { number, sent, repeatable: false, replayable: true };
            match retry::decide(attempt, &error) {
                Decision::RetryAfter(delay) => tokio::time::sleep(delay).await,
                Decision::Fail => return Err(error.into()),
            }
            number += 1;
        }
    }

    async fn ask_once(
        &self,
        ticket: Ticket,
        prepared: &Prepared,
    ) -> Result<Result<(Response<()>, Upgraded), UpgradeError>, Failed> {
        let Ticket { session, stream, opening, permit } = ticket;
        let ClientStream { open, request: mut sealer, response: mut opener } = stream;
        opener.answers_upgrade_request();
        let guard = Arc::new(StreamGuard::new(session.clone(), permit));
        let receipt = receipt(&session, &open, &guard);
        let exchange = async {
            let route = &session.trusted.route;
            let (mut writer, reader) = self.transport.tunnels.open(&open.encode(), route).await?;
            guard.sending();
            let mut out = BytesMut::new();
            sealer.set_shaping(prepared.shaping());
            sealer.head(prepared.head(), false, &mut out)?;
            writer.send(binary(&mut out)).await.map_err(lost)?;
            let mut incoming = Incoming::new(Source::Tunnel(reader), opener, guard.clone(), None);
            let (head, fin) =
                poll_fn(|cx| incoming.poll_head(cx, prepared.on_informational())).await?;
            session.answered(&head);
            drop(opening);
            if head.status() != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
                sealer.data(b"", true, &mut out)?;
                sealer.settle(&mut out)?;
                // A response that is there does not depend on this.
                let _ = writer.send(binary(&mut out)).await;
            }
            Ok((head, fin, incoming, writer))
        };
        let (head, fin, incoming, writer) = exchange.await.map_err(|error| {
            if retry::ends_session(&error) {
                session.end();
            }
            Failed { error, sent: guard.was_sent() }
        })?;
        let length = prepared.response_length(&head);
        let response = response(&head, receipt).map_err(|error| Failed { error, sent: true })?;
        Ok(if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            Ok((response, Upgraded::new(incoming, sealer, writer, guard)))
        } else {
            let body = match fin {
                true => Body::empty(),
                false => Body::new(incoming, self.idle_timeout, length),
            };
            Err(UpgradeError::Refused(Box::new(response.map(|()| body))))
        })
    }
}

fn binary(out: &mut BytesMut) -> Message {
    Message::Binary(out.split().freeze())
}

fn lost(error: tokio_tungstenite::tungstenite::Error) -> Error {
    Error::transport(Stage::Request, false, error)
}
