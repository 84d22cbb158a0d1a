//! A deployment: everything checked, defaults filled in.

/// What is to be deployed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deployment {
    /// The app: an absolute path in the image, and arguments.
    pub(super) command: Vec<String>,
    pub(super) access: Access,
    /// What Caddy gets a certificate for; without one it issues its own for any name.
    pub(super) domain: Option<String>,
    /// What the manifest says.
    pub(super) manifest: Manifest,
    /// MiB.
    pub(super) memory: u32,
    pub(super) cpus: u32,
    pub(super) debug: bool,
}

/// How clients reach the app.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Through the proxy in the enclave, and in no other way.
    Encrypted {
        /// The app's, on the enclave's loopback interface.
        app_port: u16,
        settings: ProxySettings,
    },
    /// TLS ends on the host, and the host sees everything.
    Direct {
        /// The port that Caddy passes requests on to.
        http_port: u16,
        /// TCP ports that are reached as they are.
        raw_ports: Vec<u16>,
    },
}

/// Options of the proxy, empty where its defaults are meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProxySettings {
    pub(super) key_exchange: Vec<String>,
    pub(super) cors_origins: Vec<String>,
    pub(super) allow_plaintext_fallback: bool,
}

/// What the image says about where it comes from. Fields in the order in which they are written.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Manifest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) app_sources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) enclave_sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<String>,
}
