use crate::args::Common;
use crate::exit::Failure;
use crate::policy;
use std::path::Path;
use std::time::Duration;
use steve_sdk::{Client, ClientBuilder, FilePinStore, Policy, Shaping, read_profiles};

const TIMEOUT: Duration = Duration::from_secs(60);

/// The client that the arguments describe, for one exchange with the service at `origin`.
pub(crate) fn client(common: &Common, origin: &str) -> Result<Client, Failure> {
    let timeout = common.timeout.unwrap_or(TIMEOUT);
    let builder = Client::builder(origin)
        .connect_timeout(timeout)
        .request_timeout(timeout)
        .idle_timeout(timeout);
    build(builder, common)
}

/// The client of a gateway: it waits for response heads by itself.
pub(crate) fn gateway_client(common: &Common, origin: &str) -> Result<Client, Failure> {
    let mut builder = Client::builder(origin);
    if let Some(timeout) = common.timeout {
        builder = builder.connect_timeout(timeout).idle_timeout(timeout);
    }
    build(builder, common)
}

fn build(mut builder: ClientBuilder, common: &Common) -> Result<Client, Failure> {
    if common.policy.policy.is_none() && common.owner.is_given() {
        let message =
            "--signer, --namespace, --policy-store and --minimum-version go with --policy";
        return Err(Failure::usage(message));
    }
    if !common.policy.is_given() {
        let message = "say which enclaves to accept, with --pcrs, --policy or --tofu-store";
        return Err(Failure::usage(message));
    }
    if let Some(store) = &common.policy.tofu_store {
        builder = builder.pin_store(FilePinStore::new(store));
    } else if let Some(file) = &common.policy.policy {
        builder = builder.policy(Policy::signed(policy::load(file, &common.owner)?));
    } else {
        let mut profiles = Vec::new();
        for file in &common.policy.pcrs {
            profiles.extend(read_profiles(file).map_err(Failure::usage)?);
        }
        builder = builder.policy(Policy::pinned(profiles).map_err(Failure::usage)?);
    }
    builder = builder.early_data(!common.no_early_data);
    builder = builder.padding(Shaping { padding: common.padding, coalesce: common.coalesce });
    if !common.suite.is_empty() {
        builder = builder.suites(common.suite.iter().copied());
    }
    for file in &common.cacert {
        builder = builder.tls_roots(read(file)?);
    }
    #[cfg(feature = "dangerous-trust-anchor")]
    if let Some(file) = &common.dangerous_dev_root {
        builder = builder.dangerous_attestation_root(read(file)?);
    }
    builder.build().map_err(Failure::usage)
}

/// The content of a file that an argument names.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}
