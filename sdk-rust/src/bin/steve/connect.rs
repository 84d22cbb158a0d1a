use crate::args::Common;
use crate::exit::Failure;
use std::path::Path;
use steve_sdk::{Client, FilePinStore, Policy, read_profiles};

/// The client that the arguments describe, for the service at `origin`.
pub(crate) fn client(common: &Common, origin: &str) -> Result<Client, Failure> {
    let mut builder = Client::builder(origin)
        .connect_timeout(common.timeout)
        .request_timeout(common.timeout)
        .idle_timeout(common.timeout);
    if let Some(store) = &common.policy.tofu_store {
        builder = builder.pin_store(FilePinStore::new(store));
    } else {
        let mut profiles = Vec::new();
        for file in &common.policy.pcrs {
            profiles.extend(read_profiles(file).map_err(Failure::usage)?);
        }
        builder = builder.policy(Policy::pinned(profiles).map_err(Failure::usage)?);
    }
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
