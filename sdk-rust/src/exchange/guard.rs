use crate::error::Error;
use crate::receipt::Sizes;
use crate::session::Session;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::sync::OwnedSemaphorePermit;

/// What both directions of a stream share. The stream counts as open as long as this lives.
pub(crate) struct StreamGuard {
    pub(crate) session: Arc<Session>,
    pub(crate) sizes: Arc<Sizes>,
    sent: AtomicBool,
    upload_error: OnceLock<Error>,
    _permit: OwnedSemaphorePermit,
}

impl StreamGuard {
    pub(crate) fn new(session: Arc<Session>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            session,
            sizes: Arc::default(),
            sent: AtomicBool::new(false),
            upload_error: OnceLock::new(),
            _permit: permit,
        }
    }

    /// Notes that bytes of the stream are being handed to the network.
    pub(crate) fn sending(&self) {
        self.sent.store(true, Relaxed);
        self.session.touch();
    }

    /// False when certainly no byte of the stream has left the client.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Relaxed)
    }

    /// Notes why the request cannot be completed; the first reason stays.
    pub(crate) fn fail_upload(&self, error: Error) {
        // A second reason is a consequence of the first.
        let _ = self.upload_error.set(error);
    }

    /// `error`, unless it is a consequence of the request's own failure.
    pub(crate) fn cause(&self, error: Error) -> Error {
        self.upload_error.get().cloned().unwrap_or(error)
    }

    /// Why the request could not be completed, if so.
    pub(crate) fn upload_error(&self) -> Option<Error> {
        self.upload_error.get().cloned()
    }
}
