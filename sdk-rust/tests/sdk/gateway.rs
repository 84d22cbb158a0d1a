//! `steve connect` as a process, and clients of it.

use crate::cli::{Setup, TRUSTING};
use bytes::Bytes;
use http::Request;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

pub(crate) type H2Body = BoxBody<Bytes, std::io::Error>;

/// A running gateway to a proxy in this process.
pub(crate) struct Gateway {
    pub(crate) setup: Setup,
    pub(crate) address: SocketAddr,
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Gateway {
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::start_in(Setup::new().await, &TRUSTING, options).await
    }

    /// A gateway that trusts what `trust` says.
    pub(crate) async fn start_in(setup: Setup, trust: &[&str], options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_steve"))
            .arg("connect")
            .args(trust)
            .args(options)
            .arg(setup.url(""))
            .current_dir(setup.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = loop {
            let line = stderr.next_line().await.unwrap().expect("it does not serve");
            if let Some(serving) = line.strip_prefix("steve: serving http://") {
                break serving.to_owned();
            }
        };
        let (address, origin) = serving.split_once(" for ").unwrap();
        assert_eq!(origin, setup.url(""));
        Self { address: address.parse().unwrap(), setup, child, stderr }
    }

    /// The next line on standard error.
    pub(crate) async fn line(&mut self) -> String {
        self.stderr.next_line().await.unwrap().expect("it says no more")
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own; gives all that comes back.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut tcp = self.connect().await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A connection that breaks ends as well.
        let _ = tcp.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    /// A request without a body, the last of its connection.
    pub(crate) async fn get(&self, path: &str) -> String {
        self.raw(&self.head(&format!("GET {path}"), "connection: close\r\n")).await
    }

    /// A head over HTTP/1.1.
    pub(crate) fn head(&self, line: &str, fields: &str) -> String {
        format!("{line} HTTP/1.1\r\nhost: {}\r\n{fields}\r\n", self.address)
    }

    pub(crate) async fn http2(&self) -> SendRequest<H2Body> {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A request over HTTP/2.
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    pub(crate) async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(status.success());
    }

    /// Waits for its end; gives the exit code and what it said last.
    pub(crate) async fn exit(&mut self) -> (i32, String) {
        let mut said = String::new();
        while let Some(line) = self.stderr.next_line().await.unwrap() {
            said += &line;
            said.push('\n');
        }
        (self.child.wait().await.unwrap().code().unwrap(), said)
    }
}

/// Reads until `end`.
pub(crate) async fn read_until(tcp: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let byte = tcp.read_u8().await;
        read.push(byte.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&read))));
    }
    String::from_utf8(read).unwrap()
}

/// The error code of an answer that is the gateway's own.
pub(crate) fn own_code(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let code = body["error"].as_str().unwrap();
    assert!(head.contains(&format!("\r\nsteve-gateway: {code}\r\n")), "{head}");
    assert!(!body["message"].as_str().unwrap().is_empty());
    code.to_owned()
}
