//! HAProxy with the configuration in deploy/, in which only addresses and the certificate are others.

use crate::common::eventually;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use tempfile::TempDir;

pub struct HaProxy {
    child: Child,
    directory: TempDir,
    pub address: SocketAddr,
}

impl HaProxy {
    /// Starts it before these enclaves, and waits until it listens.
    pub async fn start(enclaves: [SocketAddr; 2]) -> Self {
        let address = free_address();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("admin.sock").display().to_string();
        let mut config = std::fs::read_to_string(root.join("deploy/haproxy.cfg")).unwrap();
        for (shipped, here) in [
            (":443 ssl crt /etc/haproxy/app.pem alpn h2,http/1.1", address.to_string()),
            ("/run/haproxy/admin.sock", socket),
            // Few file descriptors will do.
            ("maxconn 20000", "maxconn 1000".into()),
            ("192.0.2.1:8080", enclaves[0].to_string()),
            ("192.0.2.2:8080", enclaves[1].to_string()),
        ] {
            assert_eq!(config.matches(shipped).count(), 1, "{shipped}");
            config = config.replace(shipped, &here);
        }
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(file)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self { child, directory, address };
        eventually("HAProxy", || TcpStream::connect(address).is_ok()).await;
        this
    }

    /// Gives it a command as operators do.
    pub fn command(&self, command: &str) {
        let mut socket = UnixStream::connect(self.directory.path().join("admin.sock")).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.trim(), "", "{command}");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("HAProxy said:\n{}", self.said());
        }
    }
}

/// An address of this machine where nothing listens.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
