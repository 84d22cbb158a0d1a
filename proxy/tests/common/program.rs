//! The program `steve-proxy serve`, with what it says.

use super::eventually;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use steve_protocol::evidence::TrustAnchor;
use steve_proxy::attester::DevAttester;
use steve_sdk::{Client, PcrProfile, Policy};
use tempfile::TempDir;

pub struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
    directory: TempDir,
    address: SocketAddr,
}

impl Program {
    /// Starts `serve` with `arguments` before `app`, and waits until it listens.
    pub async fn start(app: SocketAddr, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_steve-proxy"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STEVE_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--dangerous-dev-attester"])
            .arg("--dangerous-dev-root-out")
            .arg(directory.path().join("root.pem"))
            .arg(format!("--upstream=http://{app}"))
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let shared = log.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *shared.lock().unwrap() += &(line + "\n");
            }
        });
        let said = || log.lock().unwrap().clone();
        let port = || {
            let said = said();
            let (_, rest) = said.split_once("listening on 127.0.0.1:")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
        };
        eventually("listening", || port().is_some()).await;
        let address = SocketAddr::from(([127, 0, 0, 1], port().unwrap()));
        Self { child, log, directory, address }
    }

    pub fn client(&self) -> Client {
        let profile = PcrProfile::of(DevAttester::new().unwrap().pcrs()).unwrap();
        Client::builder(format!("http://{}", self.address))
            .policy(Policy::pinned([profile]).unwrap())
            .dangerous_attestation_root_sha256(self.root_sha256())
            .build()
            .unwrap()
    }

    pub fn trust_anchor(&self) -> TrustAnchor {
        TrustAnchor::dangerous_from_sha256(self.root_sha256())
    }

    fn root_sha256(&self) -> [u8; 32] {
        let pem = std::fs::read_to_string(self.directory.path().join("root.pem")).unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        Sha256::digest(STANDARD.decode(base64).unwrap()).into()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Waits for its end; gives all that it said.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let mut status = None;
        eventually("the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        eventually("the end of the log", || Arc::strong_count(&self.log) == 1).await;
        (status.unwrap(), self.said())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
