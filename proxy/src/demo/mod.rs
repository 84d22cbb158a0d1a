//! The command `demo`: client, untrusted host, proxy and app on one machine, and a look at what each
//! of them sees.

mod app;
mod page;
mod script;
mod show;
mod tap;

use page::Page;
use script::Script;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use steve_proxy::attester::{AttestError, DevAttester};
use steve_proxy::{Config, StartError};
use steve_sdk::{BuildError, Client, PcrProfile, Policy};
use tap::Tap;
use tempfile::TempDir;

const APP: SocketAddr = local(8083);
const PROXY: SocketAddr = local(8080);
const HOST: SocketAddr = local(8081);
const PAGE: SocketAddr = local(8082);

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Why the demo fails. One sentence each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Attester(#[from] AttestError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Client(#[from] BuildError),
    #[error(
        "{address} cannot be used for the {part}: {source}; stop what listens there and try again"
    )]
    Listen { part: &'static str, address: SocketAddr, source: io::Error },
    #[error("{what}: {source}")]
    Request { what: &'static str, source: steve_sdk::Error },
    #[error(
        "the app at {upstream} does not answer: start it, or leave out --upstream to use the demo's"
    )]
    AppUnreachable { upstream: String },
    #[error("{what} was answered with status {status}")]
    Status { what: &'static str, status: u16 },
    #[error("the host saw plaintext: {needle:?} of {what} went over the wire")]
    PlaintextSeen { what: &'static str, needle: String },
    #[error("the check for plaintext found nothing even without encryption, so it proves nothing")]
    BlindCheck,
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
}

/// Runs the demo; stays up afterwards unless `once`.
///
/// `directory` is where the page for the browser has been built, if it has.
pub(crate) fn run(upstream: Option<&str>, directory: PathBuf, once: bool) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let attester = DevAttester::new()?;
        eprintln!("{}\n", DevAttester::WARNING);
        let files = Files::write(&attester)?;
        let policy = PcrProfile::of(attester.pcrs()).expect("development PCRs are a profile");
        let root = *attester.trust_anchor().sha256();
        let trust = trust(&attester);

        let app = match upstream {
            Some(url) => url.to_owned(),
            None => format!("http://{}", start_app().await?),
        };
        let config = Config {
            listen: Some(PROXY),
            upstream: app.clone(),
            cors_origins: vec![format!("http://{PAGE}")],
            ..Config::default()
        };
        let proxy = steve_proxy::start(config, Box::new(attester)).await?;
        let tap = Tap::start(HOST, PROXY).await.map_err(|source| DemoError::Listen {
            part: "host",
            address: HOST,
            source,
        })?;
        let client = Client::builder(format!("http://{HOST}"))
            .policy(Policy::pinned([policy]).expect("one profile"))
            .dangerous_attestation_root_sha256(root)
            .build()?;

        show::parts(&app, PROXY, HOST);
        Script { client: &client, tap: &tap, app: &app, own_app: upstream.is_some() }.run().await?;
        if !once {
            let page = Page { directory, trust, service: HOST, tap: tap.live() };
            show::page(PAGE, page.is_built());
            page.start(PAGE).await.map_err(|source| DemoError::Listen {
                part: "page",
                address: PAGE,
                source,
            })?;
            show::next_steps(HOST, &files.root(), &files.pcrs(), upstream.is_some());
            tokio::signal::ctrl_c().await?;
        }
        proxy.shutdown().await;
        Ok(())
    })
}

async fn start_app() -> Result<SocketAddr, DemoError> {
    app::start(APP).await.map_err(|source| DemoError::Listen {
        part: "demo app",
        address: APP,
        source,
    })
}

/// What the page pins, and where it connects to.
fn trust(attester: &DevAttester) -> String {
    let origin = format!("http://{HOST}");
    let (root, profile) = (attester.root_pem(), profile(attester));
    serde_json::json!({ "origin": origin, "root": root, "profile": profile }).to_string()
}

fn profile(attester: &DevAttester) -> serde_json::Value {
    [0, 1, 2]
        .into_iter()
        .filter_map(|index| Some((format!("pcr{index}"), attester.pcrs().get(index)?)))
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}

/// What the command `steve` needs to know about the demo.
struct Files(TempDir);

impl Files {
    fn write(attester: &DevAttester) -> io::Result<Self> {
        let files = Self(tempfile::Builder::new().prefix("steve-demo-").tempdir()?);
        std::fs::write(files.root(), attester.root_pem())?;
        std::fs::write(files.pcrs(), profile(attester).to_string())?;
        Ok(files)
    }

    fn path(&self, name: &str) -> String {
        Path::new(self.0.path()).join(name).display().to_string()
    }

    fn root(&self) -> String {
        self.path("root.pem")
    }

    fn pcrs(&self) -> String {
        self.path("pcrs.json")
    }
}
