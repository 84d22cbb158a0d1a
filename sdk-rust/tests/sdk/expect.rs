//! Informational responses, and request bodies that wait for one.

use crate::app::Ending;
use crate::outer::{both, client_of};
use crate::support::{eventually, stream};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use steve_sdk::{RequestBody, ResetCode};

/// A body of one chunk, and how often it was asked for.
fn watched() -> (RequestBody, Arc<AtomicUsize>) {
    let polled = Arc::new(AtomicUsize::new(0));
    let count = polled.clone();
    let frames = futures_util::stream::unfold(false, move |over| {
        count.fetch_add(1, SeqCst);
        let frame = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"body")));
        async move { (!over).then_some((frame, true)) }
    });
    (RequestBody::new(StreamBody::new(Box::pin(frames))), polled)
}

#[tokio::test]
async fn informational_responses_are_offered_in_order() {
    for proxy in both().await {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        let request = client_of(&proxy).get("/hints").on_informational(move |status, fields| {
            let links: Vec<_> = fields.get_all("link").iter().cloned().collect();
            record.lock().unwrap().push((status.as_u16(), links));
        });
        assert_eq!(request.send().await.unwrap().status(), 204);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].0, &seen[0].1[..]), (103, &["</a>", "</b>"].map(header)[..]));
        assert_eq!((seen[1].0, &seen[1].1[..]), (103, &["</c>"].map(header)[..]));
    }
}

fn header(value: &'static str) -> http::HeaderValue {
    http::HeaderValue::from_static(value)
}

#[tokio::test]
async fn a_body_waits_for_an_informational_100() {
    for proxy in both().await {
        let (body, polled) = watched();
        let at_100 = polled.clone();
        let request = client_of(&proxy).post("/continue").header("expect", "100-Continue");
        let request = request.body(body).on_informational(move |status, _| {
            assert_eq!((status.as_u16(), at_100.load(SeqCst)), (100, 0));
        });
        let response = request.send().await.unwrap();
        assert_eq!(response.into_body().bytes().await.unwrap(), "body");
        assert!(polled.load(SeqCst) > 0);

        // A complete body waits as well.
        let request = client_of(&proxy).post("/continue").header("expect", "100-continue");
        let response = request.body("complete").send().await.unwrap();
        assert_eq!(response.into_body().bytes().await.unwrap(), "complete");
    }
}

#[tokio::test]
async fn a_body_that_is_refused_is_never_asked_for() {
    for proxy in both().await {
        let (body, polled) = watched();
        let request = client_of(&proxy).post("/refused").header("expect", "100-continue");
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), 417);
        assert_eq!(response.into_body().bytes().await.unwrap(), "not that");
        eventually("the app is told", || !proxy.app.endings.lock().unwrap().is_empty()).await;
        let endings = proxy.app.endings.lock().unwrap();
        assert_eq!(*endings, [Ending::Reset(ResetCode::CANCELLED)]);
        assert_eq!((polled.load(SeqCst), proxy.app.received.load(SeqCst)), (0, 0));
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_and_an_early_success_does_not_stop_the_body() {
    for proxy in both().await {
        let client = client_of(&proxy);
        let began = Instant::now();
        let request = client.post("/silent").header("expect", "100-continue");
        let request = request.body(stream([Ok(&b"body"[..])]));
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
        assert_eq!(proxy.app.received.load(SeqCst), 4);

        let request = client.post("/").header("expect", "100-continue").body(watched().0);
        let response = request.send().await.unwrap();
        assert_eq!(response.into_body().bytes().await.unwrap(), "body");
    }
}
