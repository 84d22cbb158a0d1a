//! The app and all products, running.

use crate::Result;
use crate::channel::{Target, tls_client};
use crate::contenders::{Addresses, Binaries, Channel, Contender, Product, start};
use crate::http::Http;
use crate::oblivious::gateway_key;
use crate::process::{Program, Side, free_address};
use crate::setup::Sample;
use crate::steve;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use steve_protocol::evidence::TrustAnchor;
use tempfile::TempDir;

pub(crate) struct Fleet {
    running: BTreeMap<Product, Server>,
    binaries: Binaries,
    certificate: CertificateDer<'static>,
    app: SocketAddr,
    folder: TempDir,
    _app: Program,
}

/// A product that runs.
pub(crate) struct Server {
    /// None for no proxy.
    pub(crate) program: Option<Program>,
    addresses: Addresses,
    root: PathBuf,
}

impl Server {
    /// Nanoseconds; 0 without a program.
    pub(crate) fn cpu(&self) -> u64 {
        self.program.as_ref().map_or(0, Program::cpu)
    }

    /// The development root of a STEVE proxy.
    fn anchor(&self) -> Result<TrustAnchor> {
        let root = CertificateDer::from_pem_file(&self.root)?;
        Ok(TrustAnchor::dangerous_from_sha256(Sha256::digest(&root).into()))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Fleet {
    /// Starts the app, and makes the certificate with its P-256 key.
    pub(crate) fn start(binaries: Binaries) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(folder.path().join("cert.pem"), pem("CERTIFICATE", cert.der()))?;
        let key = pem("PRIVATE KEY", &signing_key.serialize_der());
        fs::write(folder.path().join("key.pem"), key)?;
        let app = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["app", &app.to_string()]);
        let running = BTreeMap::new();
        let _app = Program::start(&mut command, Side::Own, app)?;
        let certificate = cert.der().clone();
        Ok(Self { running, binaries, certificate, app, folder, _app })
    }

    /// Why a product is left out, if it is.
    pub(crate) fn missing(&self, product: Product) -> Option<String> {
        self.binaries.missing(product)
    }

    /// Starts a product that is new, apart from the one that may run already.
    pub(crate) fn launch(&self, product: Product) -> Result<Server> {
        let (plain, tls) = match product {
            Product::Direct => (self.app, self.app),
            _ => (free_address()?, free_address()?),
        };
        let addresses = Addresses { app: self.app, plain, tls };
        let program = start(product, &self.binaries, self.folder.path(), addresses)?;
        let root = self.folder.path().join(format!("root-{}.pem", plain.port()));
        Ok(Server { program, addresses, root })
    }

    /// The product's program that all cases share.
    pub(crate) fn server(&mut self, product: Product) -> Result<&Server> {
        if !self.running.contains_key(&product) {
            let server = self.launch(product)?;
            self.running.insert(product, server);
        }
        self.running.get(&product).ok_or_else(|| "not running".into())
    }

    /// What a client of a contender at `server` must know. Attests what is to be attested.
    pub(crate) async fn target(&self, contender: Contender, server: &Server) -> Result<Target> {
        let Addresses { plain, tls, .. } = server.addresses;
        Ok(match contender.channel {
            Channel::Plain => Target::Plain(plain),
            Channel::Tls(cipher) => Target::Tls(tls, tls_client(cipher, &self.certificate)?),
            Channel::Oblivious => {
                let mut http = Http::new(Target::Plain(plain).connect().await?);
                http.write(b"GET /config HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
                http.head().await?;
                Target::Oblivious(plain, gateway_key(&http.body().await?)?)
            }
            Channel::Steve(suite) => {
                let mut http = Http::new(Target::Plain(plain).connect().await?);
                Target::Steve(plain, suite, steve::attest(&mut http, server.anchor()?).await?)
            }
        })
    }

    /// What the SDK must know of a STEVE proxy: its URL, and the development root as PEM.
    pub(crate) fn sdk(&mut self, product: Product) -> Result<(String, String)> {
        let server = self.server(product)?;
        Ok((format!("http://{}", server.addresses.plain), fs::read_to_string(&server.root)?))
    }

    /// Evidence of the STEVE proxy.
    pub(crate) async fn sample(&mut self) -> Result<Sample> {
        let server = self.server(Product::Steve)?;
        let mut http = Http::new(Target::Plain(server.addresses.plain).connect().await?);
        Sample::take(&mut http, server.anchor()?).await
    }

    /// The target of a contender at the program that all cases share.
    pub(crate) async fn shared(&mut self, contender: Contender) -> Result<Target> {
        self.server(contender.product)?;
        let server = self.running.get(&contender.product).ok_or("not running")?;
        self.target(contender, server).await
    }
}
