use super::error::{Stage, SteveError};
use super::policy::Policy;
use super::report::Enclave;
use super::request::{self, Header, RequestBody, RequestOptions};
use super::response::Response;
use crate::builder::ClientBuilder;
use crate::client;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use steve_protocol::shaping::Shaping;
use steve_protocol::suite::Suite;
use tokio_util::sync::CancellationToken;

/// How a client behaves. Everything has a default.
#[derive(Clone, uniffi::Record)]
pub struct ClientOptions {
    /// The suites allowed, in order of preference, such as `xwing-aes256gcm`. Without this: the
    /// post-quantum ones.
    #[uniffi(default = None)]
    pub suites: Option<Vec<String>>,
    /// Certificates, PEM or DER, to trust for the outer TLS, besides the roots of the web.
    #[uniffi(default = [])]
    pub tls_roots: Vec<Vec<u8>>,
    /// Whether the first request of a session goes along with the handshake, if its method is safe. It
    /// saves a round trip, and has forward secrecy only once the enclave has erased its keys.
    #[uniffi(default = true)]
    pub early_data: bool,
    /// How requests and responses are padded: `padme` or `block=1024`, and optionally
    /// `, coalesce=50`. Without this: not at all.
    #[uniffi(default = None)]
    pub padding: Option<String>,
    /// Time for a connection. Without this: 10 seconds.
    #[uniffi(default = None)]
    pub connect_timeout: Option<Duration>,
    /// Time from the beginning of a request to the head of its response. Without this: no limit.
    #[uniffi(default = None)]
    pub request_timeout: Option<Duration>,
    /// Time without anything to read while a body is being read. Without this: no limit.
    #[uniffi(default = None)]
    pub idle_timeout: Option<Duration>,
    /// How old evidence may be, and for how long a verified enclave is used. Without this: 5 minutes.
    #[uniffi(default = None)]
    pub max_evidence_age: Option<Duration>,
    /// How far evidence may be ahead of this computer's clock. Without this: 5 minutes.
    #[uniffi(default = None)]
    pub max_clock_skew: Option<Duration>,
}

/// Sends HTTP requests to an app inside an enclave, after verifying that it is the right one.
///
/// It carries any number of requests at the same time; make one for each origin and keep it.
#[derive(uniffi::Object)]
pub struct Client {
    /// None after it was closed.
    inner: Mutex<Option<client::Client>>,
    closed: CancellationToken,
}

#[uniffi::export]
impl Client {
    /// A client for the app behind `origin`, such as `https://app.example.com`. It does not connect
    /// yet.
    #[uniffi::constructor(default(options = None))]
    pub fn new(
        origin: String,
        policy: &Policy,
        options: Option<ClientOptions>,
    ) -> Result<Arc<Self>, SteveError> {
        Self::build(builder(origin, policy, options)?)
    }

    /// Replaces the policy. Requests from now on go to an enclave verified under the new one; those that
    /// have begun come to their end under the old one.
    pub fn update_policy(&self, policy: &Policy) -> Result<(), SteveError> {
        self.inner(Stage::Setup)?.update_policy(policy.0.clone());
        Ok(())
    }

    /// Aborts what is under way, responses too. The client cannot be used further.
    pub fn close(&self) {
        self.closed.cancel();
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl Client {
    /// Fetches fresh evidence and appraises it. New sessions use it from now on.
    pub async fn verify(&self) -> Result<Enclave, SteveError> {
        let inner = self.inner(Stage::Evidence)?;
        match self.closed.run_until_cancelled(inner.verify()).await {
            None => Err(SteveError::closed(Stage::Evidence)),
            Some(Ok(enclave)) => Ok(Enclave::of(&enclave)),
            Some(Err(error)) => Err(SteveError::new(&error, Stage::Evidence)),
        }
    }

    /// Sends a request; gives the response as soon as its head is there. `path` begins with "/" and may
    /// have a query.
    ///
    /// It is sent again only if the enclave certainly did not hand it to the app, or its method is safe,
    /// or the options allow that; with a source as its body it never is.
    #[uniffi::method(default(headers = [], body = None, options = None))]
    pub async fn request(
        &self,
        method: String,
        path: String,
        headers: Vec<Header>,
        body: Option<RequestBody>,
        options: Option<RequestOptions>,
    ) -> Result<Arc<Response>, SteveError> {
        let stage = Stage::Request;
        let inner = self.inner(stage)?;
        let options = options.unwrap_or_default();
        let (request, mut upload) = request::request(&method, &path, headers, body, options)?;
        let exchange = upload.while_waiting(inner.request(request));
        match self.closed.run_until_cancelled(exchange).await {
            None => Err(SteveError::closed(stage)),
            Some(Err(error)) => Err(SteveError::new(&error, stage)),
            Some(Ok(response)) => Response::new(response, upload, self.closed.child_token()),
        }
    }
}

#[cfg(feature = "dangerous-trust-anchor")]
#[uniffi::export]
impl Client {
    /// For development: a client that trusts this attestation root, PEM or DER, instead of AWS's.
    /// Whoever holds its key can make evidence for anything.
    #[uniffi::constructor(default(options = None))]
    pub fn dangerous_development(
        origin: String,
        policy: &Policy,
        attestation_root: Vec<u8>,
        options: Option<ClientOptions>,
    ) -> Result<Arc<Self>, SteveError> {
        let builder = builder(origin, policy, options)?;
        Self::build(builder.dangerous_attestation_root(attestation_root))
    }
}

impl Client {
    fn build(builder: ClientBuilder) -> Result<Arc<Self>, SteveError> {
        let inner = Mutex::new(Some(builder.build()?));
        Ok(Arc::new(Self { inner, closed: CancellationToken::new() }))
    }

    fn inner(&self, stage: Stage) -> Result<client::Client, SteveError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clone().ok_or_else(|| SteveError::closed(stage))
    }
}

fn builder(
    origin: String,
    policy: &Policy,
    options: Option<ClientOptions>,
) -> Result<ClientBuilder, SteveError> {
    let mut builder = client::Client::builder(origin).policy(policy.0.clone());
    let Some(options) = options else { return Ok(builder) };
    builder = builder.early_data(options.early_data);
    if let Some(names) = options.suites {
        builder = builder.suites(suites(&names)?);
    }
    for root in options.tls_roots {
        builder = builder.tls_roots(root);
    }
    if let Some(padding) = options.padding {
        builder = builder.padding(padding.parse::<Shaping>().map_err(invalid)?);
    }
    type Setting = fn(ClientBuilder, Duration) -> ClientBuilder;
    let settings: [(Option<Duration>, Setting); 5] = [
        (options.connect_timeout, ClientBuilder::connect_timeout),
        (options.request_timeout, ClientBuilder::request_timeout),
        (options.idle_timeout, ClientBuilder::idle_timeout),
        (options.max_evidence_age, ClientBuilder::max_evidence_age),
        (options.max_clock_skew, ClientBuilder::max_clock_skew),
    ];
    for (value, setting) in settings {
        if let Some(value) = value {
            builder = setting(builder, value);
        }
    }
    Ok(builder)
}

fn suites(names: &[String]) -> Result<Vec<Suite>, SteveError> {
    let suite = |name: &String| {
        Suite::from_name(name).ok_or_else(|| invalid(format!("there is no suite \"{name}\"")))
    };
    names.iter().map(suite).collect()
}

fn invalid(error: impl ToString) -> SteveError {
    SteveError::invalid("invalid-options", error)
}
