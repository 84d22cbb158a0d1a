use clap::{Args, Parser, Subcommand};
use http::{HeaderName, HeaderValue, Method};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use steve_sdk::{Interval, Padding, Shaping, SignerKey, Suite};

/// More connections or requests at once than a computer has ports for.
const MAX_COUNT: usize = 65_536;

/// Talk to an app in an AWS Nitro Enclave: verify the enclave first, then encrypt everything to it.
#[derive(Parser)]
#[command(name = "steve", version, after_help = crate::exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Fetch fresh evidence, check it and report every check on standard error.
    #[command(after_help = crate::exit::HELP)]
    Verify(Box<VerifyArgs>),
    /// Verify the enclave, report as `verify` does, send one request and print the response body.
    #[command(after_help = crate::exit::HELP)]
    Request(Box<RequestArgs>),
    /// Verify the enclave, report as `verify` does, then carry what any HTTP client sends to a local
    /// port to the app, encrypted, until interrupted.
    #[command(after_help = crate::gateway::HELP)]
    Connect(Box<ConnectArgs>),
    /// Compute the PCRs of an enclave image (EIF) and print them as --pcrs reads them.
    Measure(MeasureArgs),
    /// Look at signed policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check a deployment from outside, and say what is wrong with it and what to do. Without a policy
    /// it says what evidence shows.
    #[command(after_help = crate::doctor::HELP)]
    Doctor(Box<DoctorArgs>),
}

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Verify a policy file with the signature in FILE.minisig, and say what it allows. Nothing is
    /// recorded.
    #[command(after_help = crate::exit::HELP)]
    Check(CheckArgs),
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[arg(help = "The policy file")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
}

/// Whose policies to accept.
#[derive(Args)]
#[group(skip)]
pub(crate) struct OwnerArgs {
    /// Public key of the policy's owner, as minisign prints it: RW...; may be repeated, each is
    /// trusted alike
    #[arg(long, value_name = "KEY")]
    pub(crate) signer: Vec<SignerKey>,
    /// What the policy has to be for, in the owner's words
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Remember the newest version of each namespace in this file, and refuse older ones
    #[arg(long, value_name = "FILE")]
    pub(crate) policy_store: Option<PathBuf>,
    /// Refuse versions of the policy below this one
    #[arg(long, value_name = "VERSION")]
    pub(crate) minimum_version: Option<u64>,
}

impl OwnerArgs {
    pub(crate) fn is_given(&self) -> bool {
        let Self { signer, namespace, policy_store, minimum_version } = self;
        !signer.is_empty()
            || namespace.is_some()
            || policy_store.is_some()
            || minimum_version.is_some()
    }
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Refuse an enclave whose manifest is not this file, byte for byte
    #[arg(long, value_name = "FILE")]
    pub(crate) expect_manifest: Option<PathBuf>,
    /// Refuse an enclave whose manifest does not name the commit that is checked out in this git work
    /// tree, without changes
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) source: Option<PathBuf>,
    #[arg(help = "The service, for example https://app.example.com")]
    pub(crate) url: String,
}

#[derive(Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The origin of a web page that uses the service: scheme, host and port
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// A path of the app whose answer to GET comes in pieces, over half a second or more
    #[arg(long, value_name = "PATH")]
    pub(crate) stream: Option<String>,
    #[arg(help = "The service, for example https://app.example.com")]
    pub(crate) url: String,
}

#[derive(Args)]
pub(crate) struct MeasureArgs {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[arg(help = "The image, as eif_build or nitro-cli build-enclave wrote it")]
    pub(crate) image: PathBuf,
}

#[derive(Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Method [default: GET, or POST with data]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<Method>,
    /// A field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Body: text, @FILE for a file's content, @- for standard input as it comes. Line breaks in
    /// files are kept
    #[arg(short = 'd', long = "data", visible_alias = "data-binary", value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// Write the response body to a file; it appears only when it is complete
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Fail with exit code 22 if the app's HTTP status is 400 or more
    #[arg(short, long)]
    pub(crate) fail: bool,
    #[arg(help = "What to request, for example https://app.example.com/v1/models")]
    pub(crate) url: String,
}

#[derive(Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where to listen. Port 0 takes any free one; standard error says which
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Allow --listen with an address that other computers reach. What they send here crosses the
    /// network unencrypted, and everybody who reaches the port can use it
    #[arg(long)]
    pub(crate) allow_non_loopback: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[arg(help = "The service, for example https://app.example.com")]
    pub(crate) url: String,
}

/// What local clients may use of the gateway.
#[derive(Args, Clone, Copy)]
pub(crate) struct Limits {
    /// Local connections at once; further ones are answered 503
    #[arg(long, value_name = "COUNT", default_value = "256", value_parser = parse_count)]
    pub(crate) max_connections: usize,
    /// Requests at once on all connections; further ones are answered 503
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = parse_count)]
    pub(crate) max_requests: usize,
    /// Bytes of a request's method, target and fields; larger heads are answered 431
    #[arg(long, value_name = "BYTES", default_value = "65536", value_parser = parse_head_size)]
    pub(crate) max_head_size: u32,
    /// Close a local connection after this many seconds without a request, or within a request's head
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub(crate) idle_timeout: Duration,
}

/// Whom to trust, and how to connect.
#[derive(Args)]
#[group(skip)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// Allow this suite; may be repeated, in order of preference [default: the X-Wing suites]
    #[arg(long, value_name = "NAME", value_parser = parse_suite)]
    pub(crate) suite: Vec<Suite>,
    /// Trust these certificates (PEM or DER) for the outer TLS, besides the roots of the web
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Vec<PathBuf>,
    /// Send no request along with a handshake: what does go along has forward secrecy only once the
    /// enclave has erased its keys
    #[arg(long)]
    pub(crate) no_early_data: bool,
    /// Pad requests, and ask for padded responses, so that lengths tell less: none, padme or block=N,
    /// N from 16 to 16384 bytes
    #[arg(long, value_name = "POLICY", default_value = "none", value_parser = parse_padding)]
    pub(crate) padding: Padding,
    /// Send bodies that are streams, and ask for responses, at fixed distances of this many
    /// milliseconds, 10 to 1000, so that times tell less
    #[arg(long, value_name = "MS", value_parser = parse_interval)]
    pub(crate) coalesce: Option<Interval>,
    /// Give up after this many seconds without a connection, a response head, or more of the body
    /// [default: 60; for connect 10, 300 and no limit]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Report as JSON: on standard output for verify, on standard error for request and connect
    #[arg(long)]
    pub(crate) json: bool,
    /// Say more on standard error: status and fields of the response, session and suite; for connect
    /// a line for each request, with its path
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Trust this attestation root (PEM or DER) instead of AWS's: for development, proves nothing
    #[cfg(feature = "dangerous-trust-anchor")]
    #[arg(long, value_name = "FILE")]
    pub(crate) dangerous_dev_root: Option<PathBuf>,
}

/// Which enclaves to accept. There is no default.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct PolicyArgs {
    /// Accept an enclave with the PCRs in this file; may be repeated, one match suffices
    #[arg(long, value_name = "FILE")]
    pub(crate) pcrs: Vec<PathBuf>,
    /// Trust on first use: remember each service's PCRs in this file, accept no others later
    #[arg(long, value_name = "FILE")]
    pub(crate) tofu_store: Option<PathBuf>,
    /// Accept an enclave with PCRs that this file allows; its owner's signature, by minisign, is in
    /// FILE.minisig. Needs --signer and --namespace
    #[arg(long, value_name = "FILE", requires_all = ["signer", "namespace"])]
    pub(crate) policy: Option<PathBuf>,
}

impl PolicyArgs {
    pub(crate) fn is_given(&self) -> bool {
        let Self { pcrs, tofu_store, policy } = self;
        !pcrs.is_empty() || tofu_store.is_some() || policy.is_some()
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("not of the form \"name: value\"")?;
    let name = name.trim().parse::<HeaderName>().map_err(|error| error.to_string())?;
    let value = value.trim().parse::<HeaderValue>().map_err(|error| error.to_string())?;
    Ok((name, value))
}

fn parse_suite(name: &str) -> Result<Suite, String> {
    Suite::from_name(name).ok_or_else(|| {
        format!("unknown; the suites are {}", Suite::ALL.map(Suite::name).join(", "))
    })
}

fn parse_padding(text: &str) -> Result<Padding, String> {
    match text.parse() {
        Ok(Shaping { padding, coalesce: None }) => Ok(padding),
        _ => Err("neither none, padme nor block=16 to block=16384".to_owned()),
    }
}

fn parse_interval(text: &str) -> Result<Interval, String> {
    let interval = text.parse().ok().and_then(Interval::from_millis);
    interval.ok_or_else(|| "not a number from 10 to 1000".to_owned())
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=MAX_COUNT) => Ok(count),
        _ => Err(format!("not a number from 1 to {MAX_COUNT}")),
    }
}

fn parse_head_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(size @ 1024..=65_536) => Ok(size),
        _ => Err("not a number from 1024 to 65536".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a positive number of seconds".to_owned()),
    }
}
