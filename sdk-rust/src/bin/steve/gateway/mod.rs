//! `steve connect`: a local port behind which the app seems to be.

mod body;
mod connection;
mod forward;
mod hosts;
mod line;
mod linger;
mod refusal;
mod serve;
mod signals;
mod upgrade;
mod wellformed;

use crate::args::{ConnectArgs, Limits};
use crate::exit::Failure;
use crate::{connect, report};
use signals::Signals;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use steve_sdk::{Client, Error};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SetOnce};

/// Models think for minutes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// What `steve connect --help` says besides its options.
pub(crate) const HELP: &str = "\
It speaks HTTP/1.1, and HTTP/2 without TLS to clients that begin with it. Requests must name the
address it listens on, or the service, as their host; others are answered 421. Redirects are passed
on; a redirect to the service's own URL leads past this gateway. WebSockets over HTTP/1.1 are carried;
other protocol upgrades are ignored, and of informational responses only 100 is passed on.

An answer of the gateway itself has the field \"steve-gateway\" with an error code, and a JSON body
{\"error\": code, \"message\": sentence}. No app can send that field. Only what cannot be parsed as HTTP
is answered without it, and without a body: 400, 414 or 431. A response that breaks off breaks the
local connection: it never seems complete.

It never sends anything to an enclave that the policy refuses. If the enclave is replaced by such a
one, or a signed policy expires, requests are answered 502 and the command ends with exit code 3 or 4.
Other failures are answered 502, or 504 when time ran out, and it goes on.

After an interrupt (Ctrl-C) or SIGTERM the requests and WebSockets at hand have 30 seconds to finish;
a second one ends it at once. Exit codes: 0 after a signal, otherwise as for the other commands.";

/// What all connections share.
struct Gateway {
    client: Client,
    /// Where it was told to listen, with the port it got.
    address: SocketAddr,
    limits: Limits,
    /// Time for a response head, while nothing of the request is being sent.
    head_timeout: Duration,
    verbose: bool,
    requests: Arc<Semaphore>,
    /// Why the enclave that is there now must not be used.
    refused: SetOnce<Error>,
}

/// Verifies the enclave, then serves until a signal, or until the enclave is refused.
pub(crate) async fn run(args: ConnectArgs) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let client = connect::gateway_client(&args.common, &args.url)?;
    let origin = client.origin().to_string();
    let listener = listen(&args).await?;
    let address = listener.local_addr().map_err(Failure::usage)?;

    let verified = client.verify().await;
    report::print(args.common.json, &origin, verified.as_ref());
    verified?;
    let gateway = Gateway {
        client,
        address,
        limits: args.limits,
        head_timeout: args.common.timeout.unwrap_or(HEAD_TIMEOUT),
        verbose: args.common.verbose,
        requests: Arc::new(Semaphore::new(args.limits.max_requests)),
        refused: SetOnce::new(),
    };
    // It serves, whether or not anybody reads this.
    let _ = writeln!(std::io::stderr(), "steve: serving http://{address} for {origin}");
    serve::serve(listener, Arc::new(gateway), signals).await
}

async fn listen(args: &ConnectArgs) -> Result<TcpListener, Failure> {
    let address = args.listen;
    if !address.ip().is_loopback() && !args.allow_non_loopback {
        return Err(Failure::Usage(format!(
            "{address} is reached by other computers, whose requests would cross the network \
             unencrypted; listen on 127.0.0.1, or give --allow-non-loopback"
        )));
    }
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Usage(format!("cannot listen on {address}: {error}")))
}
