//! Enclaves of two images, all vouched for by one root.

use crate::common::{now_ms, outer, rng};
use crate::haproxy::free_address;
use crate::shop::Shop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use steve_protocol::evidence::dev::{DevAuthority, Request, pcrs};
use steve_protocol::evidence::{Pcr, PcrProfile, Pcrs, Policy};
use steve_proxy::attester::{AttestError, Attester};
use steve_proxy::{Config, Running, start};
use steve_sdk::Client;

/// A version of the app, as the measurements tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Image {
    Old,
    New,
}

impl Image {
    pub fn pcrs(self) -> Pcrs {
        let other = |index: u8| index == 0 && self == Image::New;
        let value = |(index, value): (u8, &Pcr)| {
            (index, if other(index) { [7; 48].into() } else { *value })
        };
        pcrs().iter().map(value).collect()
    }
}

/// What has made both images, and where their enclaves listen.
pub struct Region {
    authority: Arc<DevAuthority>,
    pub addresses: [SocketAddr; 2],
}

impl Region {
    pub fn new() -> Self {
        let authority = Arc::new(DevAuthority::new(&mut rng(), now_ms()).unwrap());
        Self { authority, addresses: [free_address(), free_address()] }
    }

    /// Starts the enclave with this number, 0 or 1.
    pub async fn start(&self, number: usize, image: Image, shop: &Shop) -> Running {
        let mut config = Config {
            listen: Some(self.addresses[number]),
            upstream: format!("http://{}", shop.address),
            upgrades: vec!["websocket".into()],
            ..Config::default()
        };
        config.limits.drain_notice = Duration::from_secs(4);
        config.limits.drain_timeout = Duration::from_secs(4);
        config.limits.app_probe_interval = Duration::from_millis(100);
        let attester = Nsm { authority: self.authority.clone(), pcrs: image.pcrs() };
        start(config, Box::new(attester)).await.unwrap()
    }

    /// A client at this address, for both images.
    pub fn client(&self, address: SocketAddr) -> Client {
        let profiles = [Image::Old, Image::New].map(|image| PcrProfile::of(&image.pcrs()).unwrap());
        Client::builder(format!("http://{address}"))
            .policy(Policy::pinned(profiles).unwrap())
            .dangerous_attestation_root_sha256(self.authority.root_sha256())
            .build()
            .unwrap()
    }
}

struct Nsm {
    authority: Arc<DevAuthority>,
    pcrs: Pcrs,
}

impl Attester for Nsm {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        let request = Request { user_data: Some(user_data), nonce, public_key: None };
        let document = self.authority.attest(&self.pcrs, &request, now_ms());
        document.map_err(|error| AttestError::Dev(error.to_string()))
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        Ok(None)
    }

    fn name(&self) -> &'static str {
        "dangerous-development"
    }
}

/// The route that the load balancer gives with evidence; empty if there is no evidence to be had.
pub async fn route(address: SocketAddr) -> String {
    let answer = outer::call(address, "POST", crate::common::EVIDENCE, vec![0; 32]).await;
    answer.header("steve-route").to_owned()
}

/// Waits until evidence comes from this enclave, too.
pub async fn route_is_there(address: SocketAddr, wanted: &str) {
    for _ in 0..300 {
        if route(address).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("evidence never came from {wanted}");
}

/// Waits until evidence comes from these enclaves and no others. While there is load it may come from
/// the one with least of it alone.
pub async fn routes_are(address: SocketAddr, wanted: &[&str]) {
    for _ in 0..300 {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..8 {
            seen.insert(route(address).await);
        }
        if seen.iter().map(String::as_str).eq(wanted.iter().copied()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("evidence never came from {wanted:?} alone");
}
