//! Settings, and the effective configuration that evidence shows to clients.

#[cfg(feature = "e2p-v2")]
use crate::e2p_v2::{BOOTSTRAP, KeyExchange};
use crate::error::ConfigError;
use crate::limits::{Limits, MAX_MANIFEST_LEN};
use crate::padding;
use crate::upstream::{AppAddress, AppProtocol};
use http::Uri;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;
use steve_protocol::suite::{Kem, Suite};

/// Clients refuse keys that are announced for longer.
const MAX_KEY_LIFE: Duration = Duration::from_secs(86_400);

/// Settings of a proxy. The default listens on 0.0.0.0:8080 and forwards to 127.0.0.1:8083.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP address to listen on; none for vsock only.
    pub listen: Option<SocketAddr>,
    /// Vsock port to listen on, with any context id.
    pub vsock_port: Option<u32>,
    /// Where the app is: `http://host[:port]` for HTTP/1.1, `h2c://host[:port]` for HTTP/2 with prior
    /// knowledge, as gRPC servers speak it.
    pub upstream: String,
    /// Suites offered, in any order.
    pub suites: Vec<Suite>,
    /// Origins of web pages that may talk to the proxy, exactly as browsers send them.
    pub cors_origins: Vec<String>,
    /// Forward requests that are not STEVE to the app as they are.
    pub allow_plaintext_fallback: bool,
    /// Paths of which GET and HEAD are forwarded to the app in plaintext.
    pub public_paths: Vec<String>,
    /// Protocols that connections to the app may change to, as `upgrade` fields name them.
    pub upgrades: Vec<String>,
    /// Accept the request that a client may send along with its ClientHello.
    pub early_data: bool,
    /// The least that responses are padded and coalesced, as `PREFIX=POLICY`: the longest prefix of
    /// whole segments of a request's path decides.
    pub padding: Vec<String>,
    /// Also serve clients of STEVE-E2P-V2, with X-Wing if all `suites` are its, with X25519 otherwise.
    #[cfg(feature = "e2p-v2")]
    pub e2p_v2: bool,
    /// The app's manifest, sent with evidence; at most 65535 bytes.
    pub manifest: Vec<u8>,
    /// TCP address to serve metrics on, apart from everything else.
    pub metrics_listen: Option<SocketAddr>,
    /// Vsock port to serve metrics on, with any context id.
    pub metrics_vsock_port: Option<u32>,
    /// Limits.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([0, 0, 0, 0], 8080))),
            vsock_port: None,
            upstream: "http://127.0.0.1:8083".into(),
            suites: Suite::ALL.to_vec(),
            cors_origins: Vec::new(),
            allow_plaintext_fallback: false,
            public_paths: Vec::new(),
            upgrades: vec!["websocket".into()],
            early_data: true,
            padding: Vec::new(),
            #[cfg(feature = "e2p-v2")]
            e2p_v2: false,
            manifest: Vec::new(),
            metrics_listen: None,
            metrics_vsock_port: None,
            limits: Limits::default(),
        }
    }
}

/// A [`Config`] that has been checked.
pub(crate) struct Checked {
    pub(crate) upstream: AppAddress,
    pub(crate) suites: Vec<Suite>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) public_paths: Vec<String>,
    pub(crate) upgrades: Vec<String>,
    pub(crate) padding: padding::Routes,
    pub(crate) config: Config,
}

impl Config {
    /// Errors if [`start`](crate::start) would refuse these settings, before anything else is tried.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.clone().check().map(drop)
    }

    pub(crate) fn check(self) -> Result<Checked, ConfigError> {
        let upstream = parse_upstream(&self.upstream)?;
        let mut suites = self.suites.clone();
        suites.sort_unstable();
        suites.dedup();
        if suites.is_empty() {
            return Err(ConfigError::SuitesEmpty);
        }
        for origin in &self.cors_origins {
            check_origin(origin)?;
        }
        for path in &self.public_paths {
            if !path.starts_with('/') || path.contains(['?', '#']) || path.parse::<Uri>().is_err() {
                return Err(ConfigError::PublicPath(path.clone()));
            }
        }
        if self.manifest.len() > MAX_MANIFEST_LEN {
            return Err(ConfigError::ManifestTooLarge);
        }
        let padding = padding::Routes::parse(&self.padding)?;
        let limits = &self.limits;
        limits.check()?;
        let key_life = limits.key_rotation + limits.key_overlap;
        let in_order = !limits.key_overlap.is_zero() && limits.key_rotation > limits.key_overlap;
        if !in_order || key_life > MAX_KEY_LIFE {
            return Err(ConfigError::KeyRotation {
                rotation: limits.key_rotation.as_secs(),
                overlap: limits.key_overlap.as_secs(),
            });
        }
        let cors_origins = sorted(&self.cors_origins);
        let public_paths = sorted(&self.public_paths);
        let upgrades = sorted(&self.upgrades);
        Ok(Checked {
            upstream,
            suites,
            cors_origins,
            public_paths,
            upgrades,
            padding,
            config: self,
        })
    }
}

/// Parses a list of suites: their names, or `X25519` and `XWING` for both suites of a KEM.
pub fn parse_suites(list: &[String]) -> Result<Vec<Suite>, ConfigError> {
    let mut suites = Vec::new();
    for name in list.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let kem = match name.to_ascii_uppercase().as_str() {
            "X25519" => Some(Kem::X25519),
            "XWING" | "XWING-DRAFT10" => Some(Kem::XWing),
            _ => None,
        };
        match (kem, Suite::from_name(&name.to_ascii_lowercase())) {
            (Some(kem), _) => suites.extend(Suite::ALL.into_iter().filter(|s| s.kem() == kem)),
            (None, Some(suite)) => suites.push(suite),
            (None, None) => return Err(ConfigError::SuiteUnknown(name.into())),
        }
    }
    Ok(suites)
}

fn parse_upstream(url: &str) -> Result<AppAddress, ConfigError> {
    let unusable = || ConfigError::Upstream(url.into());
    let uri: Uri = url.parse().map_err(|_| unusable())?;
    let protocol = match uri.scheme_str() {
        Some("http") => AppProtocol::Http1,
        Some("h2c") => AppProtocol::Http2,
        Some(_) => return Err(ConfigError::UpstreamScheme(url.into())),
        None => return Err(unusable()),
    };
    let is_plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.filter(|_| is_plain).cloned().ok_or_else(unusable)?;
    Ok(AppAddress { protocol, authority })
}

fn check_origin(origin: &str) -> Result<(), ConfigError> {
    if origin.contains('*') {
        return Err(ConfigError::CorsWildcard);
    }
    let plain = origin.split_once("://").is_some_and(|(scheme, host)| {
        let allowed = |c: char| c.is_ascii_graphic() && !"/?#@\\,\"".contains(c);
        !scheme.is_empty() && !host.is_empty() && host.chars().all(allowed)
    });
    let parsed = origin.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some());
    if plain && parsed { Ok(()) } else { Err(ConfigError::CorsOrigin(origin.into())) }
}

fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

/// What changes how the proxy behaves. Its JSON is sent in evidence and its hash is attested, so
/// the order of fields is part of the format.
#[derive(Serialize)]
struct Effective<'a> {
    software: &'static str,
    protocol: u16,
    attester: &'static str,
    suites: Vec<&'static str>,
    upstream: String,
    allow_plaintext_fallback: bool,
    public_paths: Vec<&'a str>,
    cors_origins: &'a [String],
    upgrades: &'a [String],
    early_data: bool,
    padding: Vec<String>,
    key_rotation_seconds: u64,
    key_overlap_seconds: u64,
    session_lifetime_seconds: u64,
    session_idle_seconds: u64,
    max_head_size: u32,
    max_head_fields: usize,
    max_streams: u16,
    /// 0 if there are none.
    max_idempotent_requests: usize,
    max_idempotent_body: usize,
    /// The key exchange of clients of that protocol, if they are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    e2p_v2: Option<&'static str>,
    /// The host can see counts and times of what passes.
    metrics: bool,
}

impl Checked {
    /// The effective configuration as JSON; the same settings always give the same bytes.
    pub(crate) fn effective(&self, attester: &'static str) -> Vec<u8> {
        let limits = &self.config.limits;
        let effective = Effective {
            software: concat!("steve-proxy/", env!("CARGO_PKG_VERSION")),
            protocol: steve_protocol::key_config::VERSION,
            attester,
            suites: self.suites.iter().map(|suite| suite.name()).collect(),
            upstream: self.upstream.to_string(),
            allow_plaintext_fallback: self.config.allow_plaintext_fallback,
            public_paths: self.all_public_paths(),
            cors_origins: &self.cors_origins,
            upgrades: &self.upgrades,
            early_data: self.config.early_data,
            padding: self.padding.items(),
            key_rotation_seconds: limits.key_rotation.as_secs(),
            key_overlap_seconds: limits.key_overlap.as_secs(),
            session_lifetime_seconds: limits.session_lifetime.as_secs(),
            session_idle_seconds: limits.session_idle.as_secs(),
            max_head_size: limits.max_head_size,
            max_head_fields: limits.max_head_fields,
            max_streams: limits.max_streams,
            max_idempotent_requests: limits.max_idempotent_requests,
            max_idempotent_body: limits.max_idempotent_body,
            e2p_v2: self.e2p_v2_name(),
            metrics: self.config.metrics_listen.is_some()
                || self.config.metrics_vsock_port.is_some(),
        };
        serde_json::to_vec(&effective).expect("strings, numbers and lists always serialise")
    }

    #[cfg(not(feature = "e2p-v2"))]
    fn e2p_v2_name(&self) -> Option<&'static str> {
        None
    }

    #[cfg(not(feature = "e2p-v2"))]
    fn all_public_paths(&self) -> Vec<&str> {
        self.public_paths.iter().map(String::as_str).collect()
    }
}

#[cfg(feature = "e2p-v2")]
impl Checked {
    /// The key exchange of E2P v2, if that is on.
    pub(crate) fn e2p_v2(&self) -> Option<KeyExchange> {
        self.config.e2p_v2.then(|| KeyExchange::beside(&self.suites))
    }

    fn e2p_v2_name(&self) -> Option<&'static str> {
        self.e2p_v2().map(KeyExchange::name)
    }

    /// With those that E2P v2 adds.
    fn all_public_paths(&self) -> Vec<&str> {
        let added = if self.config.e2p_v2 { &BOOTSTRAP[..] } else { &[] };
        let mut paths: Vec<_> = self.public_paths.iter().map(String::as_str).collect();
        paths.extend(added);
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_by_name_and_by_the_names_images_set() {
        let parse = |list: &str| parse_suites(&[list.to_owned()]).map(|suites| suites.len());
        assert_eq!(parse("X25519").unwrap(), 2);
        assert_eq!(parse("XWING").unwrap(), 2);
        assert_eq!(parse("XWING-DRAFT10").unwrap(), 2);
        assert_eq!(parse("xwing-aes256gcm").unwrap(), 1);
        assert!(parse("rot13").is_err());
    }

    /// Row 26: equal settings give equal bytes, whatever their order; different ones do not.
    #[test]
    fn row_26_effective_configuration_is_deterministic() {
        let effective = |origins: &[&str]| {
            let cors_origins = origins.iter().map(ToString::to_string).collect();
            let config = Config { cors_origins, ..Config::default() };
            config.check().unwrap().effective("nsm")
        };
        let both = effective(&["https://b.example", "https://a.example"]);
        assert_eq!(both, effective(&["https://a.example", "https://b.example"]));
        assert_ne!(both, effective(&["https://a.example"]));
        let json: serde_json::Value = serde_json::from_slice(&both).unwrap();
        assert_eq!(json["cors_origins"][0], "https://a.example");
        assert_eq!(json["metrics"], false);
        assert_eq!(json["early_data"], true);
        let late = Config { early_data: false, ..Config::default() };
        let late = late.check().unwrap().effective("nsm");
        let json: serde_json::Value = serde_json::from_slice(&late).unwrap();
        assert_eq!(json["early_data"], false);
        let padded = Config { padding: vec!["/v1/=padme,coalesce=50".into()], ..Config::default() };
        let padded = padded.check().unwrap().effective("nsm");
        let json: serde_json::Value = serde_json::from_slice(&padded).unwrap();
        assert_eq!(json["padding"][0], "/v1=padme, coalesce=50");
        let watched = Config { metrics_vsock_port: Some(1), ..Config::default() };
        let json: serde_json::Value =
            serde_json::from_slice(&watched.check().unwrap().effective("nsm")).unwrap();
        assert_eq!(json["metrics"], true);
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        let error = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(
            error(|c| c.upstream = "https://app".into()).contains("neither http:// nor h2c://")
        );
        assert!(error(|c| c.upstream = "127.0.0.1:8083".into()).contains("must look like"));
        assert!(error(|c| c.upstream = "http://a/b".into()).contains("must look like"));
        assert!(error(|c| c.cors_origins = vec!["*".into()]).contains("is refused"));
        assert!(error(|c| c.cors_origins = vec!["https://a/".into()]).contains("not an origin"));
        assert!(error(|c| c.cors_origins = vec!["null".into()]).contains("not an origin"));
        assert!(error(|c| c.public_paths = vec!["a".into()]).contains("not a path"));
        assert!(error(|c| c.padding = vec!["/v1=big".into()]).contains("PREFIX=POLICY"));
        assert!(error(|c| c.manifest = vec![0; 65_536]).contains("larger"));
        assert!(error(|c| c.suites.clear()).contains("no suite"));
        assert!(error(|c| c.limits.key_rotation = c.limits.key_overlap).contains("rotation"));
        assert!(error(|c| c.limits.key_rotation = MAX_KEY_LIFE).contains("24 hours"));
        assert!(
            error(|c| c.limits.max_head_size = 70_000).contains("--max-head-size must be 1024")
        );
        assert!(error(|c| c.limits.max_sessions = 0).contains("--max-sessions must be 1 to"));
        assert!(error(|c| c.limits.write_timeout = Duration::ZERO).contains("--write-timeout"));
        assert!(error(|c| c.limits.memory_budget = 1 << 20).contains("--memory-budget"));
        assert_eq!(error(|_| ()), "");
    }
}
