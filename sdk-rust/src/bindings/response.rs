use super::body::Pump;
use super::error::{Stage, SteveError};
use super::report::Receipt;
use super::request::{Header, headers};
use crate::body::Body;
use crate::receipt;
use http_body::Body as _;
use http_body_util::BodyExt;
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Head of a response; its body is decrypted while it arrives.
///
/// To let go of it before its end, or to close it, cancels the exchange.
#[derive(uniffi::Object)]
pub struct Response {
    status: u16,
    headers: Vec<Header>,
    receipt: receipt::Receipt,
    trailers: OnceLock<Vec<Header>>,
    rest: Mutex<Option<Rest>>,
    closed: CancellationToken,
}

/// What is still to come.
struct Rest {
    body: Body,
    upload: Pump,
}

impl Response {
    /// An error if `response` does not say how it was protected, which every one does.
    pub(super) fn new(
        response: http::Response<Body>,
        upload: Pump,
        closed: CancellationToken,
    ) -> Result<Arc<Self>, SteveError> {
        let (parts, body) = response.into_parts();
        let receipt = parts.extensions.get::<receipt::Receipt>();
        let missing = || SteveError::internal(Stage::Request, "the response has no receipt");
        Ok(Arc::new(Self {
            status: parts.status.as_u16(),
            headers: headers(&parts.headers),
            receipt: receipt.ok_or_else(missing)?.clone(),
            trailers: OnceLock::new(),
            rest: Mutex::new(Some(Rest { body, upload })),
            closed,
        }))
    }

    async fn next(&self, rest: &mut Option<Rest>) -> Result<Option<Vec<u8>>, SteveError> {
        let Some(Rest { body, upload }) = rest else {
            return Err(SteveError::closed(Stage::Response));
        };
        let frame = upload.while_waiting(body.frame());
        match self.closed.run_until_cancelled(frame).await {
            None => {
                *rest = None;
                Err(SteveError::closed(Stage::Response))
            }
            Some(None) => Ok(None),
            Some(Some(Err(error))) => Err(SteveError::new(&error, Stage::Response)),
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(Some(data.into())),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let _ = self.trailers.set(headers(&trailers));
                    Ok(None)
                }
            },
        }
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl Response {
    /// The next piece of the body, or none at its authenticated end. Calls at the same time wait for
    /// each other.
    pub async fn next_chunk(&self) -> Result<Option<Vec<u8>>, SteveError> {
        let mut rest = self.rest.lock().await;
        self.next(&mut rest).await
    }

    /// The rest of the body. An error, and the end of the exchange, if it is longer than `limit` bytes.
    /// What a call that is cancelled has read is lost.
    pub async fn read_all(&self, limit: u64) -> Result<Vec<u8>, SteveError> {
        let mut rest = self.rest.lock().await;
        let announced = rest.as_ref().map_or(0, |rest| rest.body.size_hint().lower());
        let mut whole = Vec::new();
        if announced <= limit {
            while let Some(piece) = self.next(&mut rest).await? {
                if (whole.len() + piece.len()) as u64 > limit {
                    *rest = None;
                    return Err(SteveError::too_large(limit));
                }
                whole.extend_from_slice(&piece);
            }
            return Ok(whole);
        }
        *rest = None;
        Err(SteveError::too_large(limit))
    }
}

#[uniffi::export]
impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The fields in their order.
    pub fn headers(&self) -> Vec<Header> {
        self.headers.clone()
    }

    /// The fields after the body; none before the end of the body has been read, or if there are none.
    pub fn trailers(&self) -> Option<Vec<Header>> {
        self.trailers.get().cloned()
    }

    /// How the exchange was protected, and how much was sent and received until now.
    pub fn receipt(&self) -> Receipt {
        Receipt::of(&self.receipt)
    }

    /// Cancels the exchange, unless it is over.
    pub fn close(&self) {
        self.closed.cancel();
        // Whoever holds the lock is woken, and does it.
        if let Ok(mut rest) = self.rest.try_lock() {
            *rest = None;
        }
    }
}
