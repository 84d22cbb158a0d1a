//! Who is compared, and how each is set up.

use crate::Result;
use crate::channel::Cipher;
use crate::process::{Program, Side};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use steve_protocol::suite::Suite;

/// Connections to the app that every product keeps.
const UPSTREAM_IDLE: u32 = 256;

/// Programs, each of which serves one or more contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Product {
    /// The app itself.
    Direct,
    Nginx,
    Caddy,
    Rustls,
    Ohttp,
    Steve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Plain,
    Tls(Cipher),
    Oblivious,
    Steve(Suite),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) product: Product,
    pub(crate) channel: Channel,
}

const fn contender(name: &'static str, product: Product, channel: Channel) -> Contender {
    Contender { name, product, channel }
}

pub(crate) const DIRECT: &str = "no proxy";
pub(crate) const NGINX_AES: &str = "nginx TLS AES-256";
pub(crate) const NGINX_CHACHA: &str = "nginx TLS ChaCha20";
pub(crate) const STEVE_CHACHA: &str = "STEVE X25519 ChaCha20";
pub(crate) const STEVE_AES: &str = "STEVE X25519 AES-256";
pub(crate) const STEVE_XWING: &str = "STEVE X-Wing AES-256";

pub(crate) const ALL: [Contender; 11] = [
    contender(DIRECT, Product::Direct, Channel::Plain),
    contender("nginx plain", Product::Nginx, Channel::Plain),
    contender(NGINX_AES, Product::Nginx, Channel::Tls(Cipher::Aes256)),
    contender(NGINX_CHACHA, Product::Nginx, Channel::Tls(Cipher::ChaCha20)),
    contender("Caddy TLS AES-256", Product::Caddy, Channel::Tls(Cipher::Aes256)),
    contender("hyper + rustls AES-256", Product::Rustls, Channel::Tls(Cipher::Aes256)),
    contender("OHTTP X25519 AES-128", Product::Ohttp, Channel::Oblivious),
    contender(STEVE_CHACHA, Product::Steve, Channel::Steve(Suite::X25519ChaCha20Poly1305)),
    contender(
        "STEVE X-Wing ChaCha20",
        Product::Steve,
        Channel::Steve(Suite::XWingChaCha20Poly1305),
    ),
    contender(STEVE_AES, Product::Steve, Channel::Steve(Suite::X25519Aes256Gcm)),
    contender(STEVE_XWING, Product::Steve, Channel::Steve(Suite::XWingAes256Gcm)),
];

/// The programs that were built for this.
pub(crate) struct Binaries {
    pub(crate) steve_proxy: PathBuf,
    pub(crate) rustls_proxy: PathBuf,
    pub(crate) ohttp_gateway: Option<PathBuf>,
}

impl Binaries {
    /// Why a product is left out, if it is.
    pub(crate) fn missing(&self, product: Product) -> Option<String> {
        let program = match product {
            Product::Direct => return None,
            Product::Nginx => Path::new("nginx"),
            Product::Caddy => Path::new("caddy"),
            Product::Rustls => &self.rustls_proxy,
            Product::Steve => &self.steve_proxy,
            Product::Ohttp => match &self.ohttp_gateway {
                Some(path) => path,
                None => return Some("no OHTTP gateway was given".to_owned()),
            },
        };
        let found = program.is_file() || {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        (!found).then(|| format!("{} is missing", program.display()))
    }
}

/// Where a running product listens.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) app: SocketAddr,
    /// Plain HTTP, and so STEVE and OHTTP.
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// Starts a product, its files in `folder`, where certificate and key are.
pub(crate) fn start(
    product: Product,
    binaries: &Binaries,
    folder: &Path,
    at: Addresses,
) -> Result<Option<Program>> {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let mut ready = at.tls;
    let mut command = match product {
        Product::Direct => return Ok(None),
        Product::Nginx => {
            let path = folder.join(format!("nginx-{}.conf", at.plain.port()));
            fs::write(&path, nginx(folder, at))?;
            let mut command = Command::new("nginx");
            command.arg("-c").arg(path).arg("-p").arg(folder).args(["-e", "stderr"]);
            command
        }
        Product::Caddy => {
            let path = folder.join(format!("Caddyfile-{}", at.tls.port()));
            fs::write(&path, caddy(folder, at))?;
            let mut command = Command::new("caddy");
            command.arg("run").arg("--adapter").arg("caddyfile").arg("--config").arg(path);
            command.env("GOMAXPROCS", "1").env("HOME", folder).env("XDG_DATA_HOME", folder);
            command
        }
        Product::Rustls => {
            let mut command = Command::new(&binaries.rustls_proxy);
            command.args([at.tls.to_string(), at.app.to_string()]).arg(certificate).arg(key);
            command
        }
        Product::Ohttp => {
            let gateway = binaries.ohttp_gateway.as_ref().ok_or("no OHTTP gateway was given")?;
            ready = at.plain;
            let mut command = Command::new(gateway);
            command.args([at.plain.to_string(), at.app.to_string()]);
            command
        }
        Product::Steve => {
            ready = at.plain;
            let mut command = Command::new(&binaries.steve_proxy);
            command.args(["serve", "--dangerous-dev-attester", "--dangerous-dev-root-out"]);
            command.arg(folder.join(format!("root-{}.pem", at.plain.port())));
            command.args(["--listen", &at.plain.to_string()]);
            command.args(["--upstream", &format!("http://{}", at.app)]);
            // Room for every case, and connections that wait for their turn.
            command.args(["--max-connections=16384", "--memory-budget=68719476736"]);
            command.args(["--max-sessions=200000", "--header-read-timeout=3600"]);
            command.arg("--session-idle-timeout=3600");
            command
        }
    };
    command.env("TOKIO_WORKER_THREADS", "1");
    Program::start(&mut command, Side::Contender, ready).map(Some)
}

/// One worker, kept-alive connections on both sides, nothing on disk.
fn nginx(folder: &Path, at: Addresses) -> String {
    let Addresses { app, plain, tls } = at;
    let folder = folder.display();
    let pid = plain.port();
    format!(
        r#"daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx-{pid}.pid;
error_log /dev/null;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  proxy_max_temp_file_size 0;
  proxy_request_buffering off;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream app {{
    server {app};
    keepalive {UPSTREAM_IDLE};
    keepalive_requests 1000000000;
  }}
  server {{
    listen {plain} backlog=4096;
    listen {tls} ssl backlog=4096;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ssl_protocols TLSv1.3;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"#
    )
}

fn caddy(folder: &Path, Addresses { app, tls, .. }: Addresses) -> String {
    let folder = folder.display();
    let (address, port) = (tls.ip(), tls.port());
    format!(
        r#"{{
  admin off
  auto_https off
  servers {{
    protocols h1
    timeouts {{
      idle 1h
    }}
  }}
  log {{
    output discard
  }}
}}
https://localhost:{port} {{
  bind {address}
  tls {folder}/cert.pem {folder}/key.pem {{
    protocols tls1.3 tls1.3
  }}
  reverse_proxy {app} {{
    flush_interval -1
    transport http {{
      versions 1.1
      compression off
      keepalive 1h
      keepalive_idle_conns {UPSTREAM_IDLE}
      keepalive_idle_conns_per_host {UPSTREAM_IDLE}
    }}
  }}
}}
"#
    )
}
