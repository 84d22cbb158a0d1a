use super::memory::{Begun, Memory};
use super::recording::Writer;
use super::request::WholeBody;
use super::{KeyError, KeyHash};
use crate::body::AppBody;
use crate::limits::{Share, StreamBudget};
use crate::metrics::Metrics;
use crate::stream::Inbound;
use crate::upstream::{Exchange, OnInterim, SendError, Upstream};
use http::Request;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

/// What a request with a key is executed with.
pub(crate) struct Dispatch {
    pub(crate) memory: Arc<Memory>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) metrics: Arc<Metrics>,
    /// Longest body in bytes.
    pub(crate) max_body: usize,
    /// For the body.
    pub(crate) room: Share,
    /// Held until the execution has ended, whether or not anybody waits for it.
    pub(crate) _budget: StreamBudget,
    pub(crate) response_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) end: Instant,
}

/// Executes the request, or gives what came of it before. Dropping this ends nothing once the request
/// was entered.
pub(crate) fn exchange(
    dispatch: Dispatch,
    key: KeyHash,
    mut head: Request<()>,
    inbound: Arc<Inbound>,
    on_interim: impl OnInterim,
) -> Exchange {
    Box::pin(async move {
        let body = WholeBody::read(&inbound, dispatch.max_body, &dispatch.room).await?;
        drop(inbound);
        let begun = dispatch.memory.begin(key, body.hash(&head));
        let reader = match begun.map_err(|error| dispatch.refused(error))? {
            Begun::Repetition(reader) => {
                dispatch.metrics.idempotent_repeated.inc();
                drop(body);
                reader
            }
            // From here to the new task nothing is waited for: the request is entered and executed,
            // or neither.
            Begun::New(writer, reader) => {
                dispatch.metrics.idempotent_executed.inc();
                body.frame(head.headers_mut());
                let request = head.map(|()| AppBody::Whole(body.into()));
                let exchange = dispatch.upstream.send(request, on_interim);
                tokio::spawn(dispatch.execute(exchange, writer));
                reader
            }
        };
        reader.response().await
    })
}

impl Dispatch {
    fn refused(&self, error: KeyError) -> SendError {
        self.metrics.idempotent_refused.inc();
        SendError::Key(error)
    }

    async fn execute(self, exchange: Exchange, mut writer: Writer) {
        let reading = writer.recording();
        let end = select! {
            end = self.record(exchange, &mut writer) => end,
            // Who only comes to leave must not keep the app busy for as long as a stream may live.
            () = reading.abandoned(self.response_timeout) => Err(SendError::Timeout),
            () = sleep_until(self.end) => Err(SendError::Timeout),
        };
        writer.end(end);
    }

    async fn record(&self, exchange: Exchange, writer: &mut Writer) -> Result<(), SendError> {
        let response = timeout(self.response_timeout, exchange).await;
        let (parts, mut body) = response.unwrap_or(Err(SendError::Timeout))?.into_parts();
        writer.head(&parts);
        let late = |_| SendError::Timeout;
        while let Some(frame) = timeout(self.idle_timeout, body.frame()).await.map_err(late)? {
            match frame.map_err(|_| SendError::Failed)?.into_data() {
                Ok(data) => writer.data(&data).await,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        writer.trailers(trailers);
                    }
                }
            }
        }
        Ok(())
    }
}
