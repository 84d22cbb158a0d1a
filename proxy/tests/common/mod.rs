//! A client made of the protocol core and bare hyper, and apps for it to talk to.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]

pub mod app;
pub mod client;
pub mod early;
pub mod h2c;
pub mod outer;
#[cfg(feature = "demo")]
pub mod program;
pub mod tunnel;
#[cfg(feature = "e2p-v2")]
pub mod v2;

use client::Inner;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use steve_protocol::evidence::{
    Appraiser, Challenge, PcrProfile, Policy, TrustAnchor, VerifiedEnclave,
};
use steve_protocol::handshake::ClientHandshake;
use steve_protocol::session::ClientSession;
use steve_protocol::suite::Suite;
use steve_proxy::attester::{Attester, DevAttester};
use steve_proxy::{Config, Running, start};

pub const EVIDENCE: &str = "/.well-known/steve/v3/evidence";
pub const STREAM: &str = "/.well-known/steve/v3/stream";
pub const HEALTH: &str = "/.well-known/steve/health";
pub const AUTHORITY: &str = "app.example";

/// A running proxy, and what its clients must know of it.
pub struct Fixture {
    pub address: SocketAddr,
    pub running: Running,
    anchor: TrustAnchor,
    root_pem: String,
    profile: PcrProfile,
}

impl Fixture {
    pub async fn start(app: SocketAddr) -> Self {
        Self::with(app, |_| ()).await
    }

    pub async fn with(app: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_attester(app, change, |attester| Box::new(attester)).await
    }

    pub async fn with_attester(
        app: SocketAddr,
        change: impl FnOnce(&mut Config),
        wrap: impl FnOnce(DevAttester) -> Box<dyn Attester>,
    ) -> Self {
        let attester = DevAttester::new().unwrap();
        let anchor = attester.trust_anchor();
        let root_pem = attester.root_pem();
        let profile = PcrProfile::of(attester.pcrs()).unwrap();
        let mut config = Config {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            upstream: format!("http://{app}"),
            ..Config::default()
        };
        // One probe at start is all that apps see.
        config.limits.app_probe_interval = Duration::from_secs(3600);
        change(&mut config);
        let running = start(config, wrap(attester)).await.unwrap();
        Self { address: running.local_addr().unwrap(), running, anchor, root_pem, profile }
    }

    /// A client of the SDK for this proxy.
    #[cfg(feature = "demo")]
    pub fn sdk(&self) -> steve_sdk::Client {
        self.sdk_at(self.address, |builder| builder)
    }

    /// The same by way of another address, with other settings.
    #[cfg(feature = "demo")]
    pub fn sdk_at(
        &self,
        address: SocketAddr,
        change: impl FnOnce(steve_sdk::ClientBuilder) -> steve_sdk::ClientBuilder,
    ) -> steve_sdk::Client {
        let builder = steve_sdk::Client::builder(format!("http://{address}"))
            .policy(Policy::pinned([self.profile.clone()]).unwrap())
            .dangerous_attestation_root(self.root_pem.clone());
        change(builder).build().unwrap()
    }

    fn appraiser(&self) -> Appraiser {
        Appraiser::new(Policy::pinned([self.profile.clone()]).unwrap())
            .dangerous_with_anchor(self.anchor)
    }

    /// Challenges the proxy and appraises its evidence.
    pub async fn attest(&self) -> VerifiedEnclave {
        let challenge = Challenge::random(&mut rng());
        let sent_ms = now_ms();
        let body = challenge.as_bytes().to_vec();
        let answer = outer::call(self.address, "POST", EVIDENCE, body).await;
        assert_eq!(answer.status, 200);
        self.appraiser().appraise(&answer.body, &challenge, sent_ms, "test", now_ms()).unwrap()
    }

    /// Attests, and makes a session.
    pub async fn connect(&self, suite: Suite) -> ClientSession {
        self.handshake(&self.attest().await, suite).await
    }

    pub async fn handshake(&self, enclave: &VerifiedEnclave, suite: Suite) -> ClientSession {
        let (handshake, hello) =
            ClientHandshake::start(enclave, &[suite], now_ms(), &mut rng()).unwrap();
        let answer = outer::call(self.address, "POST", STREAM, hello).await;
        assert_eq!(answer.status, 200);
        handshake.finish(&answer.body, now_ms()).unwrap()
    }

    /// A GET through a fresh session.
    pub async fn get(&self, path: &str) -> Inner {
        let session = self.connect(Suite::X25519Aes256Gcm).await;
        client::Call::get(path).send(self.address, &session).await.unwrap()
    }
}

pub fn rng() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap()
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Polls `condition` for up to ten seconds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}
