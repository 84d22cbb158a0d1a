use crate::client::{Client, Inner};
use crate::error::BuildError;
use crate::origin::Origin;
use crate::sessions::Sessions;
use crate::suites::default_suites;
use crate::transport::{self, Dial, Transport, certificates};
use crate::trusted::Appraisal;
use http::Uri;
use rustls::pki_types::CertificateDer;
use std::io;
use std::sync::Arc;
use std::time::Duration;
#[cfg(feature = "dangerous-trust-anchor")]
use steve_protocol::evidence::TrustAnchor;
use steve_protocol::evidence::{Appraiser, PinStore, Policy};
use steve_protocol::shaping::Shaping;
use steve_protocol::suite::Suite;
use tokio::io::{AsyncRead, AsyncWrite};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Configures a [`Client`]. A policy is mandatory; everything else has a default.
#[must_use = "a builder makes no client before `build`"]
pub struct ClientBuilder {
    url: String,
    policy: Option<Policy>,
    pin_store: Option<Arc<dyn PinStore>>,
    suites: Vec<Suite>,
    tls_roots: Vec<Vec<u8>>,
    connect_timeout: Duration,
    dial: Option<Dial>,
    request_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    early_data: bool,
    shaping: Shaping,
    max_evidence_age: Option<Duration>,
    max_clock_skew: Option<Duration>,
    #[cfg(feature = "dangerous-trust-anchor")]
    anchor: Option<Anchor>,
}

#[cfg(feature = "dangerous-trust-anchor")]
enum Anchor {
    Sha256([u8; 32]),
    Certificate(Vec<u8>),
}

impl ClientBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            policy: None,
            pin_store: None,
            suites: default_suites(),
            tls_roots: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            dial: None,
            request_timeout: None,
            idle_timeout: None,
            early_data: true,
            shaping: Shaping::default(),
            max_evidence_age: None,
            max_clock_skew: None,
            #[cfg(feature = "dangerous-trust-anchor")]
            anchor: None,
        }
    }

    /// Which enclaves to accept. Without a policy or a [pin store](Self::pin_store) there is no client.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Trusts on first use: records the measurements of the first enclave met, accepts no others
    /// later. Nothing vouches for the first one; prefer a [policy](Self::policy) of pinned profiles.
    pub fn pin_store(mut self, store: impl PinStore + 'static) -> Self {
        self.pin_store = Some(Arc::new(store));
        self
    }

    /// The suites allowed, in order of preference. Without this: [`default_suites`].
    pub fn suites(mut self, suites: impl IntoIterator<Item = Suite>) -> Self {
        self.suites = suites.into_iter().collect();
        self
    }

    /// Trusts these certificates, PEM or DER, for the outer TLS, besides the roots of the web.
    /// What STEVE protects does not depend on the outer TLS.
    pub fn tls_roots(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.tls_roots.push(certificates.into());
        self
    }

    /// Opens connections with `dial` instead of by name and TCP: over a Unix socket, a vsock or a SOCKS
    /// proxy. It gets a URI with the scheme and authority of the service. For https, TLS goes on top;
    /// the [connect timeout](Self::connect_timeout) covers both.
    pub fn dial_with<D, F, C>(mut self, dial: D) -> Self
    where
        D: Fn(Uri) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<C>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.dial = Some(transport::dial(dial));
        self
    }

    /// Time for a connection: name, TCP and outer TLS. Without this: 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Time from the beginning of a request, with all it takes to get there, to the head of its
    /// response. Without this: no limit, also for a request that went along with a handshake and whose
    /// answer is held up; other requests do not wait for it for longer than a second.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// Time without anything to read while a response body is being read. Without this: no limit.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Whether the first request of a session goes along with the handshake, if its method is safe:
    /// saves a round trip, see [`Early`](crate::Early) for what it costs. Without this: yes.
    pub fn early_data(mut self, early: bool) -> Self {
        self.early_data = early;
        self
    }

    /// Pads requests, and asks the proxy to pad responses at least so: lengths and times of what is sent
    /// tell much about it, above all of text that comes token by token. With `coalesce`, bodies that are
    /// streams leave at fixed distances, so do responses. Without this: not at all.
    ///
    /// Takes a [`Padding`](crate::Padding), or a [`Shaping`] such as `"padme, coalesce=50".parse()?`.
    /// The README says what it costs and what it does not hide.
    pub fn padding(mut self, padding: impl Into<Shaping>) -> Self {
        self.shaping = padding.into();
        self
    }

    /// How old evidence may be, and for how long a verified enclave is used before it is asked for
    /// fresh evidence. Without this: 5 minutes.
    pub fn max_evidence_age(mut self, age: Duration) -> Self {
        self.max_evidence_age = Some(age);
        self
    }

    /// How far evidence may be ahead of this computer's clock. Without this: 5 minutes.
    pub fn max_clock_skew(mut self, skew: Duration) -> Self {
        self.max_clock_skew = Some(skew);
        self
    }

    /// Trusts the attestation root with this SHA-256 of its DER instead of AWS's. Whoever holds its key
    /// can make evidence for anything.
    #[cfg(feature = "dangerous-trust-anchor")]
    pub fn dangerous_attestation_root_sha256(mut self, sha256: [u8; 32]) -> Self {
        self.anchor = Some(Anchor::Sha256(sha256));
        self
    }

    /// Trusts this attestation root, PEM or DER, instead of AWS's. Whoever holds its key can make
    /// evidence for anything.
    #[cfg(feature = "dangerous-trust-anchor")]
    pub fn dangerous_attestation_root(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.anchor = Some(Anchor::Certificate(certificate.into()));
        self
    }

    /// Makes the client. It does not connect yet.
    pub fn build(self) -> Result<Client, BuildError> {
        let origin = Origin::parse(&self.url)?;
        let policy = match (&self.policy, &self.pin_store) {
            (Some(policy), None) => policy.clone(),
            (None, Some(store)) => Policy::trust_on_first_use(store.clone()),
            (None, None) => return Err(BuildError::NoPolicy),
            (Some(_), Some(_)) => return Err(BuildError::TwoPolicies),
        };
        if self.suites.is_empty() {
            return Err(BuildError::NoSuites);
        }
        let mut roots: Vec<CertificateDer<'static>> = Vec::new();
        for encoded in &self.tls_roots {
            roots.extend(certificates(encoded).map_err(BuildError::TlsRoot)?);
        }
        let transport = Transport::new(&origin, roots, self.connect_timeout, self.dial.clone())?;
        let appraisal = Appraisal::new(self.appraiser(policy)?, origin.to_string().into());
        Ok(Client {
            inner: Arc::new(Inner {
                origin,
                transport,
                appraisal,
                suites: self.suites,
                request_timeout: self.request_timeout,
                idle_timeout: self.idle_timeout,
                early_data: self.early_data,
                shaping: self.shaping,
                sessions: Sessions::default(),
            }),
        })
    }

    fn appraiser(&self, policy: Policy) -> Result<Appraiser, BuildError> {
        let mut appraiser = Appraiser::new(policy);
        if let Some(age) = self.max_evidence_age {
            appraiser = appraiser.max_evidence_age_ms(milliseconds(age));
        }
        if let Some(skew) = self.max_clock_skew {
            appraiser = appraiser.max_clock_skew_ms(milliseconds(skew));
        }
        #[cfg(feature = "dangerous-trust-anchor")]
        if let Some(anchor) = &self.anchor {
            appraiser = appraiser.dangerous_with_anchor(anchor.read()?);
        }
        Ok(appraiser)
    }
}

#[cfg(feature = "dangerous-trust-anchor")]
impl Anchor {
    fn read(&self) -> Result<TrustAnchor, BuildError> {
        use sha2::{Digest, Sha256};
        let sha256 = match self {
            Self::Sha256(sha256) => *sha256,
            Self::Certificate(encoded) => {
                let found = certificates(encoded).map_err(BuildError::AttestationRoot)?;
                match found.as_slice() {
                    [root] => Sha256::digest(root).into(),
                    _ => {
                        let reason = format!("{} certificates instead of one", found.len());
                        return Err(BuildError::AttestationRoot(reason));
                    }
                }
            }
        };
        Ok(TrustAnchor::dangerous_from_sha256(sha256))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
