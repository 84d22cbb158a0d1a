//! The command line and its environment variables.

mod limits;
mod relay;
#[cfg(feature = "render")]
mod render;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use limits::LimitArgs;
pub(crate) use relay::RelayArgs;
#[cfg(feature = "render")]
pub(crate) use render::RenderArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use steve_proxy::config::parse_suites;
use steve_proxy::limits::MAX_MANIFEST_LEN;
use steve_proxy::{Config, ConfigError, Limits};

/// The proxy of STEVE: end-to-end encryption for an HTTP app in an AWS Nitro Enclave.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the app of this enclave.
    Serve(Box<Serve>),
    /// On the host: pass TCP connections on to an enclave, over vsock.
    Relay(RelayArgs),
    /// In an enclave whose app does without STEVE: pass vsock connections on to its ports. The host
    /// sees everything.
    Expose(Expose),
    /// Write what a deployment needs, as a Procfile or HCL describes it.
    #[cfg(feature = "render")]
    Render(RenderArgs),
    /// Show the whole path on this machine: client, untrusted host, proxy and app.
    #[cfg(feature = "demo")]
    Demo {
        /// Front this app instead of the demo's own.
        #[arg(long, value_name = "URL")]
        upstream: Option<String>,
        /// Where the page for the browser is: what `sdk-wasm/build.sh` makes.
        #[arg(long, value_name = "DIRECTORY", default_value = "sdk-wasm/dist/demo")]
        page: PathBuf,
        /// End after the demonstration: exit code 0 if everything held.
        #[arg(long)]
        once: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// TCP address to listen on.
    #[arg(long, value_name = "ADDRESS", env = "STEVE_LISTEN_ADDR", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// Vsock port to listen on as well.
    #[arg(long, value_name = "PORT", env = "STEVE_VSOCK_PORT")]
    vsock_port: Option<u32>,

    /// The app, inside the enclave: http://, or h2c:// if it speaks HTTP/2, as gRPC servers do.
    #[arg(
        long,
        value_name = "URL",
        env = "STEVE_APP_UPSTREAM",
        default_value = "http://127.0.0.1:8083"
    )]
    upstream: String,

    /// Suites to offer; X25519 and XWING stand for both suites of that key exchange [default: all].
    #[arg(long, value_name = "SUITES", env = "STEVE_KEY_EXCHANGE", value_delimiter = ',')]
    suites: Vec<String>,

    /// Origins of web pages that may use the proxy, exactly as in https://app.example.
    #[arg(long, value_name = "ORIGINS", env = "STEVE_CORS_ORIGINS", value_delimiter = ',')]
    cors_origins: Vec<String>,

    /// Pass requests that are not encrypted on to the app. Clients see this attested.
    #[arg(
        long,
        env = "STEVE_ALLOW_PLAINTEXT_FALLBACK",
        num_args = 0..=1,
        value_parser = BoolishValueParser::new(),
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    allow_plaintext_fallback: bool,

    /// Paths of which GET and HEAD are passed on unencrypted. Clients see this attested.
    #[arg(long, value_name = "PATHS", env = "STEVE_PUBLIC_PATHS", value_delimiter = ',')]
    public_paths: Vec<String>,

    /// Protocols that a connection to the app may change to. Clients see this attested.
    #[arg(
        long,
        value_name = "PROTOCOLS",
        env = "STEVE_UPGRADES",
        value_delimiter = ',',
        default_value = "websocket"
    )]
    upgrades: Vec<String>,

    /// Accept a request along with a handshake, each once. Clients see this attested.
    #[arg(
        long,
        env = "STEVE_EARLY_DATA",
        num_args = 0..=1,
        value_parser = BoolishValueParser::new(),
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    early_data: bool,

    /// The least that responses are padded and coalesced, by path: /v1=padme,coalesce=50. May be
    /// repeated, the longest prefix decides. Clients see this attested.
    #[arg(long, value_name = "PREFIX=POLICY", env = "STEVE_PADDING", value_delimiter = ';')]
    padding: Vec<String>,

    /// Also serve clients of the protocol STEVE-E2P-V2, with the key exchange of --suites if that is
    /// X-Wing, with X25519 otherwise. Clients see this attested.
    #[cfg(feature = "e2p-v2")]
    #[arg(
        long = "e2p-v2",
        env = "STEVE_E2P_V2",
        num_args = 0..=1,
        value_parser = BoolishValueParser::new(),
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    e2p_v2: bool,

    /// File to send along with evidence, attested: up to 65535 bytes of any form.
    #[arg(long, value_name = "FILE", env = "STEVE_MANIFEST")]
    manifest: Option<PathBuf>,

    /// Seconds until the enclave's keys are replaced: 601 to 85800.
    #[arg(long, value_name = "SECONDS", env = "STEVE_KEY_ROTATION", default_value_t = 3600)]
    key_rotation: u32,

    /// TCP address to serve metrics on, for Prometheus. Clients see attested that there are any.
    #[arg(long, value_name = "ADDRESS", env = "STEVE_METRICS_ADDR")]
    metrics_listen: Option<SocketAddr>,

    /// Vsock port to serve metrics on.
    #[arg(long, value_name = "PORT", env = "STEVE_METRICS_VSOCK_PORT")]
    metrics_vsock_port: Option<u32>,

    #[command(flatten)]
    pub(crate) log: LogArgs,

    /// Sign evidence with a key made up at start. It proves nothing.
    #[cfg(feature = "dangerous-dev-attester")]
    #[arg(long)]
    pub(crate) dangerous_dev_attester: bool,

    /// Write the root certificate of the development attester to this file, as PEM.
    #[cfg(feature = "dangerous-dev-attester")]
    #[arg(long, value_name = "FILE", requires = "dangerous_dev_attester")]
    pub(crate) dangerous_dev_root_out: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Expose {
    /// Vsock ports to listen on, and the app's ports on the loopback interface.
    #[arg(
        long,
        value_name = "PORTS",
        env = "STEVE_EXPOSE_PORTS",
        value_delimiter = ',',
        required = true,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) ports: Vec<u16>,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Least important events to log.
    #[arg(long, value_name = "LEVEL", env = "STEVE_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,

    /// Format of the log on stderr.
    #[arg(long, value_name = "FORMAT", env = "STEVE_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Info,
    /// Also every connection and stream when it ends.
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Serve {
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let key_rotation = Duration::from_secs(self.key_rotation.into());
        let mut config = Config {
            listen: Some(self.listen),
            vsock_port: self.vsock_port,
            upstream: self.upstream.clone(),
            cors_origins: items(&self.cors_origins),
            allow_plaintext_fallback: self.allow_plaintext_fallback,
            public_paths: items(&self.public_paths),
            upgrades: items(&self.upgrades),
            early_data: self.early_data,
            padding: items(&self.padding),
            #[cfg(feature = "e2p-v2")]
            e2p_v2: self.e2p_v2,
            metrics_listen: self.metrics_listen,
            metrics_vsock_port: self.metrics_vsock_port,
            limits: Limits { key_rotation, ..self.limits.limits() },
            ..Config::default()
        };
        let suites = items(&self.suites);
        if !suites.is_empty() {
            config.suites = parse_suites(&suites)?;
        }
        if let Some(path) = &self.manifest {
            config.manifest = read_manifest(path)?;
        }
        Ok(config)
    }
}

/// An environment variable that is set to nothing means nothing.
fn items(list: &[String]) -> Vec<String> {
    list.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn read_manifest(path: &PathBuf) -> Result<Vec<u8>, ConfigError> {
    use std::io::Read;
    let unreadable = |source| ConfigError::Manifest { path: path.clone(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut manifest = Vec::new();
    let limit = MAX_MANIFEST_LEN as u64 + 1;
    file.take(limit).read_to_end(&mut manifest).map_err(unreadable)?;
    Ok(manifest)
}
