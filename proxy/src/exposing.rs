//! The command `expose`: vsock to the ports of an app that does without STEVE.
//!
//! It is the enclave's end of the relay. Both directions of a connection are passed on, and ended, by
//! themselves; one that breaks off on either side is reset on the app's.

use crate::cli::Expose;
use crate::{log, relaying};
use socket2::SockRef;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use steve_proxy::Listener;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

/// Connections at once, over all ports; further ones wait. Each has at most 16 KiB here, and two of
/// the 4096 descriptors that Linux allows the processes of an enclave.
const MAX_CONNECTIONS: usize = 1984;
/// How long the client may go on after the app has ended its direction. Where the transport has no
/// half-close the client is not told of that end before.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the next connection if there was an error with this one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the command fails. One sentence each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExposeError {
    #[error("cannot listen on vsock port {port}: {source}")]
    Listen { port: u16, source: io::Error },
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
}

/// Runs until the process is told to stop.
pub(crate) fn run(args: &Expose) -> Result<(), ExposeError> {
    log::init(&args.log);
    relaying::raise_limit_of_files(MAX_CONNECTIONS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut listeners = JoinSet::new();
        for &port in &args.ports {
            let listener = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port.into()))
                .map_err(|source| ExposeError::Listen { port, source })?;
            let app = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            tracing::info!("listening on vsock port {port} for {app}");
            listeners.spawn(serve(listener, app, room.clone()));
        }
        while listeners.join_next().await.is_some() {}
        Ok(())
    })
}

/// Passes every connection on to the app.
async fn serve(mut listener: impl Listener, app: SocketAddr, room: Arc<Semaphore>) {
    loop {
        // It is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok(connection) => {
                tokio::spawn(async move {
                    if let Err(error) = pass_on(connection, app).await {
                        tracing::debug!("connection for {app} broken: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection for {app}: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn pass_on(connection: impl AsyncRead + AsyncWrite, app: SocketAddr) -> io::Result<()> {
    let mut app = TcpStream::connect(app).await?;
    app.set_nodelay(true)?;
    // Reset when it is closed, unless both directions have come to their ends.
    app.set_zero_linger()?;
    both(connection, &mut app).await?;
    SockRef::from(&app).set_linger(None)
}

async fn both(client: impl AsyncRead + AsyncWrite, app: &mut TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_app, mut to_app) = app.split();
    let mut up = pin!(async {
        copy(&mut from_client, &mut to_app).await?;
        to_app.shutdown().await
    });
    let mut down = pin!(async {
        copy(&mut from_app, &mut to_client).await?;
        to_client.shutdown().await
    });
    select! {
        end = up.as_mut() => {
            end?;
            down.await
        }
        end = down.as_mut() => {
            end?;
            timeout(HALF_CLOSE_TIMEOUT, up).await?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// A client, and the app's end of its connection; TCP stands for vsock.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let room = Arc::new(Semaphore::new(1));
        tokio::spawn(serve(listener, app.local_addr().unwrap(), room));
        let (client, accepted) = tokio::join!(TcpStream::connect(address), app.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn both_directions_end_by_themselves() {
        let (mut client, mut app) = pair().await;
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        let mut request = String::new();
        app.read_to_string(&mut request).await.unwrap();
        assert_eq!(request, "request");
        app.write_all(b"answer").await.unwrap();
        drop(app);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn what_breaks_off_is_a_reset_for_the_app() {
        let (mut client, mut app) = pair().await;
        client.write_all(b"request").await.unwrap();
        let mut request = [0; 7];
        app.read_exact(&mut request).await.unwrap();
        client.set_zero_linger().unwrap();
        drop(client);
        let error = app.read(&mut request).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    /// The client keeps its direction open, and says nothing.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_stays_is_left_behind() {
        let (mut client, app) = pair().await;
        drop(app);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        // Its own direction is closed by now, or soon.
        while client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }
}
