//! From what a file says to a deployment, with everything in it that contradicts.

use super::command;
use super::deployment::{Access, Deployment, Manifest, ProxySettings};
use super::given::{At, E2E_ENCRYPTION, Given, Key, Value};
use std::ops::RangeInclusive;
use steve_proxy::config::parse_suites;
use steve_proxy::limits::MAX_MANIFEST_LEN;
use steve_proxy::{Config, ConfigError};

/// Of the proxy, in the enclave and for Caddy on the host.
pub(super) const PROXY_PORT: u16 = 8080;
/// Where the app is if nothing is said.
const APP_PORT: u16 = 8083;
/// Ports that belong to the platform.
const RESERVED: RangeInclusive<u16> = 49500..=49600;
/// Ports of the host that are taken: HTTP, Caddy's administration, the relay for Caddy, HTTPS.
const HOST_PORTS: [u16; 4] = [80, 443, 2019, PROXY_PORT];
/// In MiB. With less there is no room for image, proxy and app.
const MEMORY: RangeInclusive<u32> = 256..=4_194_304;
const DEFAULT_MEMORY: u32 = 512;
const CPUS: RangeInclusive<u32> = 1..=448;
const DEFAULT_CPUS: u32 = 2;

/// The deployment, if nothing is missing. It is right if there are no mistakes.
pub(super) fn deployment(given: &mut Given) -> Option<Deployment> {
    let command = command(given);
    let mode = given.text(Key::Mode);
    let encrypted = encrypted(given, mode.as_ref());
    let settings = settings(given, encrypted, mode.as_ref());
    let access = access(given, encrypted, settings);
    let domain = given.domain().map(|domain| domain.value);
    let manifest = manifest(given);
    let memory = given.number(Key::Memory, MEMORY, " MiB").map_or(DEFAULT_MEMORY, |at| at.value);
    let cpus = given.number(Key::Cpus, CPUS, "").map_or(DEFAULT_CPUS, |at| at.value);
    let debug = given.flag(Key::Debug).is_some_and(|debug| debug.value);
    Some(Deployment { command: command?, access: access?, domain, manifest, memory, cpus, debug })
}

fn command(given: &mut Given) -> Option<Vec<String>> {
    let Some(At { line, value }) = given.entries.get(&Key::Run).cloned() else {
        given.wrong(1, "run is missing: say what starts the app, such as run: /usr/bin/app");
        return None;
    };
    let words = match value {
        Value::One(text) => command::words(&text),
        Value::Many(words) => Ok(words.into_iter().map(|word| word.value).collect()),
        Value::Wrong => return None,
    };
    let words = words.and_then(|words| match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        _ => Err("it must start with an absolute path".to_owned()),
    });
    let words = words.and_then(|words| match words.iter().any(|word| word.contains('\0')) {
        true => Err("NUL is not possible".to_owned()),
        false => Ok(words),
    });
    words.map_err(|reason| given.wrong(line, format!("run: {reason}"))).ok()
}

/// Whether STEVE is in front of the app.
fn encrypted(given: &mut Given, mode: Option<&At<String>>) -> bool {
    let flag = given.flag(Key::E2e);
    let by_mode = match mode.map(|mode| (mode.line, mode.value.as_str())) {
        Some((_, "required" | "optional")) => Some(true),
        Some((_, "off")) => Some(false),
        Some((line, other)) => {
            let must = "it must be required, optional or off";
            given.wrong(line, format!("mode is `{other}`: {must}"));
            None
        }
        None => given.e2e_encryption.map(|_| true),
    };
    if let (Some(At { line, value }), Some(by_mode)) = (&flag, by_mode)
        && *value != by_mode
    {
        let (block, says) = match (mode.map(|mode| mode.line), given.e2e_encryption) {
            (Some(line), _) => (line, "the mode"),
            (None, line) => (line.unwrap_or(1), "the block e2e_encryption"),
        };
        given.wrong(block, format!("{says} contradicts e2e = {value} on line {line}"));
    }
    flag.map(|flag| flag.value).or(by_mode).unwrap_or(given.e2e_encryption.is_some())
}

/// The options of the proxy, which only make sense if there is one.
fn settings(given: &mut Given, encrypted: bool, mode: Option<&At<String>>) -> ProxySettings {
    if !encrypted {
        for key in E2E_ENCRYPTION.into_iter().filter(|key| *key != Key::Mode) {
            if let Some(line) = given.line(key) {
                given.wrong(line, format!("{} without end-to-end encryption", key.name()));
            }
        }
    }
    let key_exchange = given.list(Key::Suites);
    for At { line, value } in &key_exchange {
        if let Err(error) = parse_suites(std::slice::from_ref(value)) {
            given.wrong(*line, format!("key_exchange: {error}"));
        }
    }
    let cors_origins = given.list(Key::CorsOrigins);
    for At { line, value } in &cors_origins {
        if let Err(error) = check_origin(value) {
            given.wrong(*line, format!("cors_origins: {error}"));
        }
    }
    let fallback = given.flag(Key::AllowPlaintextFallback);
    let mode = mode.map(|mode| mode.value.as_str());
    let optional = mode == Some("optional");
    match &fallback {
        Some(At { line, value: true }) if mode == Some("required") => {
            given.wrong(*line, "allow_plaintext_fallback contradicts mode = \"required\"");
        }
        Some(At { line, value: false }) if optional => {
            let what = "allow_plaintext_fallback = false contradicts mode = \"optional\"";
            given.wrong(*line, what);
        }
        _ => {}
    }
    let text = |list: Vec<At<String>>| list.into_iter().map(|item| item.value).collect();
    ProxySettings {
        key_exchange: text(key_exchange),
        cors_origins: text(cors_origins),
        allow_plaintext_fallback: fallback.map_or(optional, |fallback| fallback.value),
    }
}

/// As the proxy checks it when it starts.
fn check_origin(origin: &str) -> Result<(), ConfigError> {
    Config { cors_origins: vec![origin.to_owned()], ..Config::default() }.validate()
}

fn access(given: &mut Given, encrypted: bool, settings: ProxySettings) -> Option<Access> {
    let ports_line = given.line(Key::Ports);
    let ports = given.ports();
    for At { line, value } in ports.iter().filter(|port| RESERVED.contains(&port.value)) {
        let (first, last) = (RESERVED.start(), RESERVED.end());
        given.wrong(*line, format!("port {value} is reserved, as all from {first} to {last} are"));
    }
    let http_port = given.http_port();
    if let Some(At { line, value }) = &http_port
        && !ports.iter().any(|port| port.value == *value)
    {
        given.wrong(*line, format!("http_port {value} is not one of ports"));
    }
    if encrypted {
        return encrypted_access(given, ports_line, &ports, settings);
    }
    direct_access(given, ports_line, &ports, http_port.map(|port| port.value))
}

fn encrypted_access(
    given: &mut Given,
    ports_line: Option<usize>,
    ports: &[At<u16>],
    settings: ProxySettings,
) -> Option<Access> {
    match (ports, ports_line) {
        ([], None) => Some(Access::Encrypted { app_port: APP_PORT, settings }),
        ([At { line, value: PROXY_PORT }], _) => {
            let what = "port 8080 is the proxy's with end-to-end encryption: give the app another";
            given.wrong(*line, what);
            None
        }
        ([port], _) => Some(Access::Encrypted { app_port: port.value, settings }),
        // All of them wrong.
        ([], Some(_)) => None,
        (_, line) => {
            let what = "several ports with end-to-end encryption, in which the app has one";
            given.wrong(line.unwrap_or(1), what);
            None
        }
    }
}

fn direct_access(
    given: &mut Given,
    ports_line: Option<usize>,
    ports: &[At<u16>],
    http_port: Option<u16>,
) -> Option<Access> {
    let http_port = match (ports, ports_line, http_port) {
        ([], None, _) => {
            given.wrong(1, "the app could not be reached: say e2e: true, or give its ports");
            return None;
        }
        // All of them wrong.
        ([], Some(_), _) => return None,
        ([port], ..) => port.value,
        (_, _, Some(http_port)) => http_port,
        (_, line, None) => {
            if given.line(Key::HttpPort).is_none() {
                let what = "several ports without http_port, the one that Caddy serves";
                given.wrong(line.unwrap_or(1), what);
            }
            return None;
        }
    };
    let raw = || ports.iter().filter(|port| port.value != http_port);
    for At { line, value } in raw().filter(|port| HOST_PORTS.contains(&port.value)) {
        let what = format!("port {value} is taken on the host, by Caddy or by the relay for it");
        given.wrong(*line, what);
    }
    let raw_ports = raw().map(|port| port.value).collect();
    Some(Access::Direct { http_port, raw_ports })
}

fn manifest(given: &mut Given) -> Manifest {
    let app_sources = given.sources(Key::AppSources);
    let enclave_sources = given.sources(Key::EnclaveSources);
    let metadata = given.text(Key::Metadata);
    let line = metadata.as_ref().map_or(1, |metadata| metadata.line);
    let metadata = metadata.map(|metadata| metadata.value);
    let manifest = Manifest { app_sources, enclave_sources, metadata };
    if super::enclave::manifest(&manifest).len() > MAX_MANIFEST_LEN {
        given.wrong(line, format!("the manifest is larger than {MAX_MANIFEST_LEN} bytes"));
    }
    manifest
}
