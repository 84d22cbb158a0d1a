//! What all tests use.

use crate::proxy::Proxy;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use std::sync::Arc;
use std::time::Duration;
use steve_protocol::evidence::dev;
use steve_sdk::{Client, ClientBuilder, Error, PcrProfile, Policy, RequestBody};

/// A policy that the enclave satisfies.
pub(crate) fn policy() -> Policy {
    Policy::pinned([PcrProfile::of(&dev::pcrs()).unwrap()]).unwrap()
}

/// A client in the making, without a policy.
pub(crate) fn bare_builder(proxy: &Proxy) -> ClientBuilder {
    Client::builder(format!("http://{}", proxy.address))
        .dangerous_attestation_root_sha256(proxy.enclave.authority.root_sha256())
        .connect_timeout(Duration::from_secs(5))
}

pub(crate) fn builder(proxy: &Proxy) -> ClientBuilder {
    bare_builder(proxy).policy(policy())
}

/// An honest proxy and a client that trusts its enclave.
pub(crate) async fn pair() -> (Arc<Proxy>, Client) {
    let proxy = Proxy::start(None).await;
    let client = builder(&proxy).build().unwrap();
    (proxy, client)
}

/// Sends a request and reads the whole response.
pub(crate) async fn exchange(
    client: &Client,
    method: &str,
    path: &str,
    body: impl Into<RequestBody>,
) -> Result<(u16, Bytes), Error> {
    let response = client.method(method.parse().unwrap(), path).body(body).send().await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().bytes().await?))
}

/// A body that is not replayable.
pub(crate) fn stream(
    chunks: impl IntoIterator<Item = Result<&'static [u8], std::io::Error>, IntoIter: Send + 'static>,
) -> RequestBody {
    let frames = chunks.into_iter().map(|chunk| chunk.map(|c| Frame::data(Bytes::from_static(c))));
    RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s: {what}");
}
