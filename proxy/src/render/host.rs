//! What the host needs: units for the enclave and the relay, and Caddy's configuration.

use super::check::PROXY_PORT;
use super::deployment::{Access, Deployment};
use super::enclave::{CID, NAME};
use super::output::File;

const ENCLAVE_UNIT: &str = include_str!("templates/steve-enclave.service");
/// deploy/systemd has the same, with another route.
const RELAY_UNIT: &str = include_str!("templates/steve-relay.service");
const SOCKET_UNIT: &str = include_str!("templates/steve-relay.socket");
const CADDYFILE: &str = include_str!("templates/Caddyfile");

/// What Caddy is told to do for TLS where there is no domain.
const NO_DOMAIN_TLS: &str = "\ttls internal {\n\t\ton_demand\n\t}\n";
/// Ports below are root's, and the relay is not root: systemd listens on them.
const FIRST_FREE_PORT: u16 = 1024;

/// Units, sockets and the Caddyfile.
pub(super) fn files(deployment: &Deployment) -> Vec<File> {
    let (http_port, raw_ports) = match &deployment.access {
        Access::Encrypted { .. } => (PROXY_PORT, [].as_slice()),
        Access::Direct { http_port, raw_ports } => (*http_port, raw_ports.as_slice()),
    };
    let mut routes = vec![format!("127.0.0.1:{PROXY_PORT}=vsock:{CID}:{http_port}")];
    let mut sockets = Vec::new();
    for port in raw_ports {
        let source = if *port < FIRST_FREE_PORT {
            sockets.push(socket(*port));
            format!("fd:port-{port}")
        } else {
            format!("0.0.0.0:{port}")
        };
        routes.push(format!("{source}=vsock:{CID}:{port}"));
    }
    let mut files = vec![
        File::new("steve-enclave.service", ENCLAVE_UNIT.replace("@NAME@", NAME)),
        File::new("steve-relay.service", RELAY_UNIT.replace("@ROUTES@", &routes.join(","))),
        File::new("Caddyfile", caddyfile(deployment.domain.as_deref())),
    ];
    files.extend(sockets);
    files
}

fn socket(port: u16) -> File {
    let unit = SOCKET_UNIT.replace("@PORT@", &port.to_string());
    File::new(format!("steve-relay-{port}.socket"), unit)
}

fn caddyfile(domain: Option<&str>) -> String {
    let (site, tls) = domain.map_or(("https://", NO_DOMAIN_TLS), |domain| (domain, ""));
    CADDYFILE
        .replace("@SITE@", site)
        .replace("@TLS@", tls)
        .replace("@PORT@", &PROXY_PORT.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both are the same unit, but for its route.
    #[test]
    fn the_units_are_those_of_deploy() {
        let unit = RELAY_UNIT.replace("@ROUTES@", "0.0.0.0:8080=vsock:16:8080");
        assert_eq!(unit, include_str!("../../../deploy/systemd/steve-relay.service"));
    }
}
