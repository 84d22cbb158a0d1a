use super::Gateway;
use super::connection::{self, Place};
use super::signals::Signals;
use crate::exit::Failure;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// For requests at hand, after a signal.
const GRACE: Duration = Duration::from_secs(30);
/// For answers at hand, after the enclave was refused.
const GRACE_AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// Before the next connection when the system has nothing left for one.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
/// Connections above the limit that are told so at once; those above this are just closed.
const MAX_TURNED_AWAY: usize = 16;

/// Serves until a signal, or until the enclave is refused.
pub(super) async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    mut signals: Signals,
) -> Result<(), Failure> {
    let admitted = Arc::new(Semaphore::new(gateway.limits.max_connections));
    let turned_away = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    let closing = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let refused = loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else {
                    sleep(ACCEPT_BACK_OFF).await;
                    continue;
                };
                let Some(place) = place(&admitted, false).or_else(|| place(&turned_away, true))
                else {
                    continue;
                };
                let closing = closing.subscribe();
                connections.spawn(connection::serve(tcp, gateway.clone(), place, closing));
            }
            Some(_) = connections.join_next() => {}
            () = signals.next() => break None,
            error = gateway.refused.wait() => break Some(error.clone()),
        }
    };
    drop(listener);
    closing.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    let grace = if refused.is_some() { GRACE_AFTER_REFUSAL } else { GRACE };
    tokio::select! {
        // Whoever needs longer is cut off.
        _ = timeout(grace, finished) => {}
        () = signals.next() => {}
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

fn place(places: &Arc<Semaphore>, turned_away: bool) -> Option<Place> {
    let permit = places.clone().try_acquire_owned().ok()?;
    Some(Place { _permit: permit, turned_away })
}
