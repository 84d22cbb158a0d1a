//! What goes into the image, and what starts it.

use super::check::PROXY_PORT;
use super::deployment::{Access, Deployment, Manifest};
use super::output::File;
use serde::Serialize;
use std::collections::BTreeMap;

/// Of the enclave, for the relay and for whoever starts it.
pub(super) const CID: u32 = 16;
/// What the enclave is called towards `nitro-cli`.
pub(super) const NAME: &str = "steve";
/// Where the image is on the host.
const IMAGE: &str = "/var/lib/steve/enclave.eif";
/// Where the manifest is in the image: `image.sh --manifest` puts it there.
const MANIFEST: &str = "/etc/steve/manifest.json";
const PROGRAM: &str = "/usr/bin/steve-proxy";
/// Most that connections and streams of the proxy may take, in MiB: its own default.
const MAX_BUDGET: u32 = 1024;

/// `init.json`, `manifest.json` and `enclave.json`.
pub(super) fn files(deployment: &Deployment) -> Vec<File> {
    vec![
        File::new("init.json", json(&init(deployment))),
        File::new("manifest.json", manifest(&deployment.manifest)),
        File::new("enclave.json", json(&Start::new(deployment))),
    ]
}

/// The manifest as the proxy sends it.
pub(super) fn manifest(manifest: &Manifest) -> String {
    json(manifest)
}

/// `init.json`, see deploy/README.md.
#[derive(Serialize)]
struct Init<'a> {
    heartbeat: Heartbeat,
    proxy: Program,
    app: App<'a>,
}

#[derive(Serialize)]
struct Heartbeat {
    cid: u32,
    port: u32,
}

#[derive(Serialize)]
struct Program {
    command: Vec<&'static str>,
    environment: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct App<'a> {
    command: &'a [String],
}

fn init(deployment: &Deployment) -> Init<'_> {
    let (command, environment) = match &deployment.access {
        Access::Encrypted { app_port, settings } => {
            let budget = u64::from(MAX_BUDGET.min(deployment.memory / 4)) << 20;
            let mut environment = BTreeMap::from([
                ("STEVE_LISTEN_ADDR", format!("127.0.0.1:{PROXY_PORT}")),
                ("STEVE_VSOCK_PORT", PROXY_PORT.to_string()),
                ("STEVE_APP_UPSTREAM", format!("http://127.0.0.1:{app_port}")),
                ("STEVE_MANIFEST", MANIFEST.to_owned()),
                ("STEVE_MEMORY_BUDGET", budget.to_string()),
            ]);
            let mut list = |name, items: &[String]| {
                if !items.is_empty() {
                    environment.insert(name, items.join(","));
                }
            };
            list("STEVE_KEY_EXCHANGE", &settings.key_exchange);
            list("STEVE_CORS_ORIGINS", &settings.cors_origins);
            if settings.allow_plaintext_fallback {
                environment.insert("STEVE_ALLOW_PLAINTEXT_FALLBACK", "true".to_owned());
            }
            (vec![PROGRAM, "serve"], environment)
        }
        Access::Direct { http_port, raw_ports } => {
            let ports: Vec<_> =
                [http_port].into_iter().chain(raw_ports).map(u16::to_string).collect();
            (vec![PROGRAM, "expose"], BTreeMap::from([("STEVE_EXPOSE_PORTS", ports.join(","))]))
        }
    };
    Init {
        // The parent of a Nitro Enclave, where `nitro-cli run-enclave` waits.
        heartbeat: Heartbeat { cid: 3, port: 9000 },
        proxy: Program { command, environment },
        app: App { command: &deployment.command },
    }
}

/// What `nitro-cli run-enclave --config` reads.
#[derive(Serialize)]
struct Start {
    enclave_name: &'static str,
    eif_path: &'static str,
    enclave_cid: u32,
    cpu_count: u32,
    memory_mib: u32,
    debug_mode: bool,
}

impl Start {
    fn new(deployment: &Deployment) -> Self {
        Self {
            enclave_name: NAME,
            eif_path: IMAGE,
            enclave_cid: CID,
            cpu_count: deployment.cpus,
            memory_mib: deployment.memory,
            debug_mode: deployment.debug,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value);
    text.expect("strings, numbers and lists always serialise") + "\n"
}
