use http::{HeaderMap, StatusCode};
use std::fmt;
use std::sync::Arc;

/// Put into the extensions of a request: a function that is called with every informational
/// response (status 100 to 199, never 101), such as 103 with its `link` fields.
///
/// They come from the app, authenticated, in their order and before the response itself. They are
/// hints: the proxy may drop some, and a request that is sent again can bring them again. The
/// function runs where the response is awaited, so it should be quick.
#[derive(Clone)]
pub struct OnInformational(Arc<Callback>);

type Callback = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

impl OnInformational {
    /// Calls `callback` with the status and the fields of each informational response.
    pub fn new(callback: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    pub(crate) fn call(&self, status: StatusCode, fields: &HeaderMap) {
        (self.0)(status, fields);
    }
}

impl fmt::Debug for OnInformational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnInformational")
    }
}
