//! What the demo prints.

use super::tap::Seen;
use std::net::SocketAddr;
use steve_sdk::Report;

/// Bytes of a body that are shown.
pub(super) const MAX_BODY: usize = 2000;

const DUMP_LINES: usize = 6;
const DUMP_WIDTH: usize = 16;

pub(super) fn parts(app: &str, proxy: SocketAddr, host: SocketAddr) {
    println!("client ──► host http://{host} ──► proxy http://{proxy} ──► app {app}");
    println!("encrypts    sees every byte               decrypts                    plain HTTP");
}

pub(super) fn step(title: &str) {
    println!("\n── {title}\n");
}

pub(super) fn report(report: &Report) {
    for line in report.to_string().lines() {
        println!("   {line}");
    }
}

pub(super) fn sent(request: &str, header: &str, body: &str) {
    println!("   client sends     {request}   {header}");
    if !body.is_empty() {
        println!("                    {body}");
    }
}

pub(super) fn received(status: u16) {
    print!("   client receives  {status}  ");
}

pub(super) fn seen(seen: &Seen) {
    for (direction, bytes) in [("to the proxy", &seen.up), ("to the client", &seen.down)] {
        println!("   host sees        {} bytes {direction}, of which the last:", bytes.len());
        dump(&bytes[bytes.len().saturating_sub(DUMP_LINES * DUMP_WIDTH)..]);
    }
}

fn dump(bytes: &[u8]) {
    for line in bytes.chunks(DUMP_WIDTH) {
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text: String =
            line.iter().map(|byte| if printable(byte) { char::from(*byte) } else { '.' }).collect();
        println!("      {hex:<48} {text}");
    }
}

pub(super) fn no_plaintext(needles: usize) {
    println!("   ✓ none of {needles} pieces of the request and the answer is in them");
}

pub(super) fn refused(secret: &str) {
    println!("   ✓ here the host reads \"{secret}\", so it would have found it above;");
    println!("   ✓ and the proxy refused the request: 403 e2e_required");
}

pub(super) fn page(page: SocketAddr, is_built: bool) {
    println!("\n── The same in a browser: http://{page}\n");
    if !is_built {
        println!("   The page has not been built: run sdk-wasm/build.sh (it needs Node and a Rust");
        println!("   compiler for wasm32-unknown-unknown), or name its place with --page.");
    }
}

pub(super) fn next_steps(host: SocketAddr, root: &str, pcrs: &str, own_app: bool) {
    let steve = "cargo run -q --release -p steve-sdk --features dangerous-trust-anchor --";
    let trust = format!("--dangerous-dev-root {root} --pcrs {pcrs}");
    println!("\n── It stays up. From another terminal, try:\n");
    println!("   {steve} verify {trust} http://{host}\n");
    println!("   {steve} request {trust} http://{host}/\n");
    if !own_app {
        println!("   {steve} request {trust} \\");
        println!(
            "       -H 'content-type: application/json' -d '{{\"question\":\"Who sees this?\"}}' \\"
        );
        println!("       http://{host}/chat\n");
    }
    println!("   curl -i http://{host}/        # without encryption: refused\n");
    println!("Put your own app behind it: steve-proxy demo --upstream http://127.0.0.1:PORT");
    println!("Stop with Ctrl-C.");
}
