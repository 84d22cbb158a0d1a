//! Bodies that are large, slow, or given up; over HTTP/1.1 and HTTP/2.

use crate::app::Ending;
use crate::outer::{both, client_of};
use crate::proxy::Proxy;
use crate::support::eventually;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use steve_sdk::RequestBody;
use tokio::sync::mpsc;

const CHUNK: usize = 50_000;

/// A body of `chunks` chunks, and how many of them were taken.
fn counted(chunks: usize) -> (RequestBody, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let frames = futures_util::stream::iter(0..chunks).map(move |number| {
        count.fetch_add(1, SeqCst);
        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![number as u8; CHUNK])))
    });
    (RequestBody::new(StreamBody::new(frames)), taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_goes_there_and_back() {
    for proxy in both().await {
        let client = client_of(&proxy);
        const CHUNKS: usize = 400;
        let (body, _) = counted(CHUNKS);
        let mut body = client.post("/").body(body).send().await.unwrap().into_body();
        let (mut length, mut expected) = (0, 0);
        while let Some(data) = body.chunk().await.unwrap() {
            for byte in &data {
                assert_eq!(*byte, (expected / CHUNK) as u8);
                expected += 1;
            }
            length += data.len();
        }
        assert_eq!(length, CHUNKS * CHUNK);

        let whole = Bytes::from(vec![7; 3_000_000]);
        let response = client.post("/").body(whole.clone()).send().await.unwrap();
        assert_eq!(response.headers()["x-length"], "3000000");
        assert_eq!(response.into_body().bytes().await.unwrap(), whole);
    }
}

#[tokio::test]
async fn both_directions_at_once() {
    for proxy in both().await {
        let (send, receive) = mpsc::channel::<Bytes>(1);
        let frames = futures_util::stream::unfold(receive, |mut receive| async {
            Some((Ok::<_, Infallible>(Frame::data(receive.recv().await?)), receive))
        });
        let body = RequestBody::new(StreamBody::new(Box::pin(frames)));
        let response = client_of(&proxy).post("/").body(body).send().await.unwrap();
        let mut answer = response.into_body();
        for word in ["one", "two", "three"] {
            send.send(Bytes::from_static(word.as_bytes())).await.unwrap();
            assert_eq!(answer.chunk().await.unwrap().unwrap(), word);
        }
        drop(send);
        assert!(answer.chunk().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn an_app_that_does_not_read_stops_the_source() {
    for proxy in both().await {
        let (body, taken) = counted(10_000);
        let client = client_of(&proxy);
        let request = tokio::spawn(client.post("/unread").body(body).send());
        let mut before = usize::MAX;
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = taken.load(SeqCst);
            if now > 0 && now == before {
                break;
            }
            before = now;
        }
        assert!(before < 500, "{before} chunks of 10000 were taken");
        request.abort();
    }
}

#[tokio::test]
async fn a_caller_that_does_not_read_stops_the_app() {
    for proxy in both().await {
        let response = client_of(&proxy).get("/endless").send().await.unwrap();
        let before = loop {
            let before = proxy.seen.lock().unwrap().len();
            tokio::time::sleep(Duration::from_millis(300)).await;
            if proxy.seen.lock().unwrap().len() == before {
                break before;
            }
        };
        assert!(before < 9_000_000, "{before} bytes were sent to nobody");
        drop(response);
        ends_truncated(&proxy, "the app is told").await;
    }
}

#[tokio::test]
async fn giving_up_cancels_the_exchange() {
    for proxy in both().await {
        // While waiting for the response, with the request still being sent.
        let client = client_of(&proxy);
        let (body, _) = endless();
        let request = tokio::spawn(client.post("/").body(body).send());
        let response = request.await.unwrap().unwrap();
        drop(response);
        ends_truncated(&proxy, "dropping a response ends its request").await;

        let (body, taken) = endless();
        let request = tokio::spawn(client.post("/unread").body(body).send());
        eventually("the upload runs", || taken.load(SeqCst) > 0).await;
        request.abort();
        eventually("the source is dropped", || Arc::strong_count(&taken) == 1).await;

        // The client goes on working.
        assert_eq!(client.get("/slow").send().await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn an_early_response_ends_the_upload() {
    for proxy in both().await {
        let client = client_of(&proxy);
        let (body, taken) = endless();
        let response = client.post("/ignored").body(body).send().await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.into_body().text().await.unwrap(), "too much");
        eventually("the source is dropped", || Arc::strong_count(&taken) == 1).await;
    }
}

/// The proxy stops reading and closes its connection after the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_response_comes_before_what_breaks_the_upload() {
    for proxy in both().await {
        for _ in 0..50 {
            let client = client_of(&proxy);
            let (body, _) = counted(10_000);
            let response = client.post("/ignored").body(body).send().await.unwrap();
            assert_eq!(response.into_body().text().await.unwrap(), "too much");
        }
    }
}

/// A body that never ends, and counts its chunks.
fn endless() -> (RequestBody, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let frames = futures_util::stream::unfold(taken.clone(), |taken| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        taken.fetch_add(1, SeqCst);
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 100]))), taken))
    });
    (RequestBody::new(StreamBody::new(Box::pin(frames))), taken)
}

async fn ends_truncated(proxy: &Proxy, what: &str) {
    eventually(what, || proxy.app.endings.lock().unwrap().pop() == Some(Ending::Truncated)).await;
}
