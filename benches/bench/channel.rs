//! Ways to talk to a contender.

use crate::Result;
use crate::http::Io;
use crate::oblivious::GatewayKey;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use steve_protocol::evidence::VerifiedEnclave;
use steve_protocol::suite::Suite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The ciphers of TLS 1.3 that STEVE has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes256,
    ChaCha20,
}

impl Cipher {
    fn suite(self) -> SupportedCipherSuite {
        match self {
            Self::Aes256 => provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
            Self::ChaCha20 => provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        }
    }
}

/// TLS 1.3 with this cipher and X25519. Every handshake is a full one.
pub(crate) fn tls_client(
    cipher: Cipher,
    root: &CertificateDer<'static>,
) -> Result<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![cipher.suite()],
        kx_groups: vec![provider::kx_group::X25519],
        ..provider::default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// All that a client must know.
#[derive(Clone)]
pub(crate) enum Target {
    Plain(SocketAddr),
    Tls(SocketAddr, Arc<ClientConfig>),
    Oblivious(SocketAddr, GatewayKey),
    Steve(SocketAddr, Suite, Arc<VerifiedEnclave>),
}

impl Target {
    /// A new connection, with TLS where that is the channel.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Io>> {
        let (Self::Plain(address)
        | Self::Tls(address, _)
        | Self::Oblivious(address, _)
        | Self::Steve(address, ..)) = self;
        let io = TcpStream::connect(address).await?;
        io.set_nodelay(true)?;
        Ok(match self {
            Self::Tls(_, config) => {
                let name = ServerName::try_from("localhost")?;
                Box::new(TlsConnector::from(config.clone()).connect(name, io).await?)
            }
            _ => Box::new(io),
        })
    }
}
