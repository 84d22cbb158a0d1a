//! The program `steve-proxy relay`: signals, socket activation, readiness, errors.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod enclave;

use enclave::{Enclave, random, rest, scrape, until_reset, within};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PROXY: &str = env!("CARGO_BIN_EXE_steve-proxy");

/// `program` with the options of a relay, and nothing of the environment.
fn command(program: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("relay").env_clear().stderr(Stdio::piped());
    command
}

struct Program {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// Reads its log up to a line with `text`, and gives that line.
    fn says(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it never says `{text}`");
        }
        line
    }

    /// The address that it listens on.
    fn address(&mut self) -> SocketAddr {
        let line = self.says("listening on ");
        let (_, rest) = line.split_once("listening on ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn to(enclave: &Enclave) -> String {
    format!("--listen=127.0.0.1:0={}", enclave.target())
}

#[tokio::test]
async fn a_signal_drains_and_a_second_one_cuts() {
    let enclave = Enclave::new();
    let mut program = Program::start(command(&[PROXY]).arg(to(&enclave)));
    let address = program.address();
    let (client, _peer) = tokio::join!(TcpStream::connect(address), enclave.accept());
    program.signal("-TERM");
    program.says("shutting down");
    assert!(program.child.try_wait().unwrap().is_none());
    program.signal("-TERM");
    until_reset(client.unwrap()).await;
    assert!(program.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_relay_that_is_killed_looks_like_no_clean_end() {
    let enclave = Enclave::new();
    let mut program = Program::start(command(&[PROXY]).arg(to(&enclave)));
    let address = program.address();
    let (client, mut peer) = tokio::join!(TcpStream::connect(address), enclave.accept());
    let mut client = client.unwrap();
    peer.write_all(b"half an ans").await.unwrap();
    let mut half = [0; 11];
    within(client.read_exact(&mut half)).await.unwrap();
    program.signal("-KILL");
    until_reset(client).await;
}

#[tokio::test]
async fn systemd_passes_sockets_by_name_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let notify = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&notify).unwrap();
    let enclaves = [Enclave::new(), Enclave::new()];
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [0, 1].map(|i: usize| sockets[i].local_addr().unwrap());
    let [http, https] = sockets.map(OwnedFd::from);
    let script = "exec 3<&0 4>&1 </dev/null >/dev/null
        export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:https
        exec \"$@\"";
    let mut command = command(&["/bin/sh", "-c", script, "sh", PROXY]);
    command
        .env("NOTIFY_SOCKET", &notify)
        .arg(format!("--listen=fd:https={}", enclaves[1].target()))
        .arg(format!("--listen=fd:http={}", enclaves[0].target()))
        .stdin(Stdio::from(http))
        .stdout(Stdio::from(https));
    let program = Program::start(&mut command);
    drop(command);
    let mut said = [0; 64];
    let told = |len: usize, said: &[u8]| String::from_utf8(said[..len].to_vec()).unwrap();
    let len = systemd.recv(&mut said).unwrap();
    assert_eq!(told(len, &said).trim_end(), "READY=1");
    for (address, enclave) in addresses.iter().zip(&enclaves) {
        let (client, mut peer) = tokio::join!(TcpStream::connect(address), enclave.accept());
        peer.write_all(address.to_string().as_bytes()).await.unwrap();
        drop(peer);
        assert_eq!(rest(client.unwrap()).await, address.to_string().as_bytes());
    }
    program.signal("-INT");
    let len = systemd.recv(&mut said).unwrap();
    assert_eq!(told(len, &said).trim_end(), "STOPPING=1");
}

/// Runs a relay that must not start; gives what it says.
fn refusal(command: &mut Command) -> String {
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    said
}

#[test]
fn what_cannot_be_used_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let in_use = format!("--listen={address}=unix:/x:1");
    let metrics = format!("--metrics-listen={address}");
    let listen = "--listen=127.0.0.1:0=unix:/x:1";
    for (arguments, said) in [
        (&[][..], "--listen is missing"),
        (&["--listen=8080"], "--listen `8080` is not understood: it must look like"),
        (&[&in_use], "cannot listen: Address already in use"),
        (&[listen, &metrics], "--metrics-listen 127.0.0.1:"),
        (&[listen, "--max-connections=0"], "--max-connections must be 1 to 1000000, not 0"),
        (&[listen, "--connect-timeout=0"], "--connect-timeout must be 1 to"),
        (&["--listen=fd:x=unix:/x:1"], "--listen fd:x: systemd passed no socket of this name"),
    ] {
        let all = refusal(command(&[PROXY]).args(arguments));
        assert!(all.starts_with("steve-proxy: ") && all.contains(said), "{all}");
    }
}

#[test]
fn sockets_that_cannot_be_used_are_named() {
    let script = "exec 3<&0 </dev/null
        export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=x
        exec \"$@\"";
    let launcher = ["/bin/sh", "-c", script, "sh", PROXY];
    let listening = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let datagram = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    for (socket, name, said) in [
        (listening(), "y", "--listen fd:y: systemd passed no socket of this name"),
        (datagram, "x", "--listen fd:x: not a listening TCP socket"),
        (OwnedFd::from(unix), "x", "--listen fd:x: not a listening TCP socket"),
    ] {
        let listen = format!("--listen=fd:{name}=unix:/x:1");
        let all = refusal(command(&launcher).arg(listen).stdin(Stdio::from(socket)));
        assert!(all.contains(said), "{all}");
    }
    let listen = "--listen=127.0.0.1:0=unix:/x:1";
    let all = refusal(command(&launcher).arg(listen).stdin(Stdio::from(listening())));
    assert!(all.contains("systemd passed the socket `x`, but there is no --listen fd:x"), "{all}");
}

/// As of a socket unit with two ListenStream.
#[test]
fn two_sockets_of_one_name_are_refused() {
    let script = "exec 3<&0 4>&1 </dev/null >/dev/null
        export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=x:x
        exec \"$@\"";
    let [one, two] = [(); 2].map(|()| OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()));
    let mut command = command(&["/bin/sh", "-c", script, "sh", PROXY]);
    command.arg("--listen=fd:x=unix:/x:1").stdin(Stdio::from(one)).stdout(Stdio::from(two));
    let all = refusal(&mut command);
    assert!(all.contains("systemd passed two sockets `x`"), "{all}");
}

/// 32 connections, blocked in both directions.
#[tokio::test]
async fn peers_that_do_not_read_cost_little_memory() {
    const CONNECTIONS: usize = 32;
    let enclave = Enclave::new();
    let metrics = "--metrics-listen=127.0.0.1:0";
    let mut program = Program::start(command(&[PROXY]).arg(to(&enclave)).arg(metrics));
    let address = program.address();
    let line = program.says("metrics on ");
    let metrics = line.trim().rsplit_once(' ').unwrap().1.parse().unwrap();
    let before = program.resident();
    let flood = std::sync::Arc::new(random(1, 64 << 20));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, peer) = tokio::join!(TcpStream::connect(address), enclave.accept());
        let (mut client, mut peer) = (client.unwrap(), peer);
        let flood = flood.clone();
        writers.spawn(async move {
            tokio::join!(client.write_all(&flood), peer.write_all(&flood)).0.unwrap();
        });
    }
    // What the relay has passed on does not grow for a while: all is full.
    let (mut last, mut calm) = (String::new(), 0);
    while calm < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let text = scrape(metrics).await;
        let now: Vec<_> = text.lines().filter(|line| line.contains("_bytes_total ")).collect();
        let (now, full) = (now.concat(), !now.concat().contains("_total 0") && now.len() == 2);
        calm = if now == last && full { calm + 1 } else { 0 };
        last = now;
    }
    assert_eq!(writers.len(), CONNECTIONS);
    assert!(writers.try_join_next().is_none(), "all of it went somewhere");
    let grown = program.resident().saturating_sub(before);
    println!("{} KiB for each connection", grown / 1024 / CONNECTIONS);
    // Twice what the buffers of both directions take.
    assert!(grown < CONNECTIONS * 4 * 64 * 1024, "{grown} bytes more");
}
