use super::*;
use crate::idempotent::recording::BLOCK;
use crate::upstream::SendError;
use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt;
use std::thread;
use std::time::Duration;
use tokio::time::timeout;

const REQUEST: RequestHash = [1; 32];

fn memory(capacity: usize, max_response: usize, space: usize) -> Arc<Memory> {
    Arc::new(Memory::new(capacity, max_response, Share::new(space)))
}

fn key(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

fn new(memory: &Arc<Memory>, number: u8) -> (Writer, RecordedBody) {
    match memory.begin(key(number), REQUEST) {
        Ok(Begun::New(writer, reader)) => (writer, reader),
        Ok(Begun::Repetition(_)) => panic!("it was executed before"),
        Err(error) => panic!("{error:?}"),
    }
}

fn again(memory: &Arc<Memory>, number: u8) -> Result<RecordedBody, KeyError> {
    match memory.begin(key(number), REQUEST)? {
        Begun::Repetition(reader) => Ok(reader),
        Begun::New(..) => panic!("it would be executed twice"),
    }
}

fn error(memory: &Arc<Memory>, number: u8) -> Option<KeyError> {
    again(memory, number).err()
}

async fn record(mut writer: Writer, body: &[u8]) {
    let (parts, ()) = Response::builder().status(201).body(()).unwrap().into_parts();
    writer.head(&parts);
    writer.data(body).await;
    writer.end(Ok(()));
}

async fn read(reader: RecordedBody) -> Result<(u16, Bytes), SendError> {
    let response = reader.response().await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|_| SendError::Failed)?;
    Ok((status, body.to_bytes()))
}

#[tokio::test]
async fn a_repetition_gets_the_first_response_before_and_after_its_end() {
    let memory = memory(2, 1 << 20, 1 << 20);
    let (writer, first) = new(&memory, 1);
    let during = again(&memory, 1).unwrap();
    let body = vec![b'x'; 3 * BLOCK + 5];
    record(writer, &body).await;
    let after = again(&memory, 1).unwrap();
    for reader in [first, during, after] {
        assert_eq!(read(reader).await, Ok((201, body.clone().into())));
    }
    let other = memory.begin(key(1), [2; 32]).err();
    assert_eq!(other, Some(KeyError::Mismatch));
}

#[tokio::test]
async fn what_is_full_stays_full() {
    let memory = memory(1, 1 << 20, 1 << 20);
    let (writer, _) = new(&memory, 1);
    record(writer, b"done").await;
    assert_eq!(memory.begin(key(2), REQUEST).err(), Some(KeyError::Full));
    assert!(again(&memory, 1).is_ok());
}

#[test]
fn of_copies_at_once_one_is_new() {
    for _ in 0..200 {
        let memory = memory(10, 1 << 20, 1 << 20);
        let news: Vec<_> = thread::scope(|scope| {
            let copies: Vec<_> =
                (0..4).map(|_| scope.spawn(|| memory.begin(key(1), REQUEST))).collect();
            copies.into_iter().map(|copy| copy.join().unwrap()).collect()
        });
        let count = news.iter().filter(|begun| matches!(begun, Ok(Begun::New(..)))).count();
        assert_eq!((count, news.len()), (1, 4));
    }
}

#[tokio::test]
async fn a_failure_stays_what_it_is() {
    let memory = memory(9, 1 << 20, 1 << 20);
    for (number, failure) in
        [SendError::Failed, SendError::Malformed, SendError::Timeout].into_iter().enumerate()
    {
        let (writer, first) = new(&memory, number as u8);
        writer.end(Err(failure));
        assert_eq!(read(first).await, Err(failure));
        assert_eq!(read(again(&memory, number as u8).unwrap()).await, Err(failure));
    }
    let (writer, first) = new(&memory, 8);
    drop(writer);
    assert_eq!(read(first).await, Err(SendError::Failed), "the task was lost");
    assert_eq!(read(again(&memory, 8).unwrap()).await, Err(SendError::Failed));
}

#[tokio::test]
async fn only_what_did_not_reach_the_app_is_withdrawn() {
    let memory = memory(1, 1 << 20, 1 << 20);
    let (writer, first) = new(&memory, 1);
    let during = again(&memory, 1).unwrap();
    writer.end(Err(SendError::Unreachable));
    for reader in [first, during] {
        assert_eq!(read(reader).await, Err(SendError::Unreachable));
    }
    let (writer, _) = new(&memory, 1);
    record(writer, b"done").await;
    assert!(again(&memory, 1).is_ok());
}

#[tokio::test]
async fn the_oldest_complete_response_makes_room_and_its_key_stays() {
    let memory = memory(9, 1 << 20, 3 * BLOCK);
    for number in 0..4 {
        let (writer, _) = new(&memory, number);
        record(writer, &[b'x'; BLOCK]).await;
    }
    assert_eq!(error(&memory, 0), Some(KeyError::ResponseGone));
    assert_eq!(error(&memory, 1), Some(KeyError::ResponseGone));
    assert!(again(&memory, 2).is_ok() && again(&memory, 3).is_ok());
    // One that is being read keeps its memory until then.
    let reading = again(&memory, 2).unwrap();
    let (_running, _) = new(&memory, 5);
    let (writer, live) = new(&memory, 6);
    let body = vec![b'y'; 2 * BLOCK];
    let (_, read_live) = tokio::join!(record(writer, &body), read(live));
    assert_eq!(read_live, Ok((201, body.into())));
    assert_eq!(error(&memory, 6), Some(KeyError::ResponseGone));
    assert_eq!(read(reading).await.unwrap().1.len(), BLOCK);
}

#[tokio::test]
async fn a_response_that_is_too_long_passes_and_is_not_kept() {
    let memory = memory(9, 4 * BLOCK, 1 << 20);
    let (mut writer, mut reader) = new(&memory, 1);
    let (parts, ()) = Response::new(()).into_parts();
    writer.head(&parts);
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            writer.data(&[b'x'; BLOCK]).await;
        }
        writer.end(Ok(()));
    });
    let mut body = BytesMut::new();
    let mut largest = 0;
    while let Some(frame) = std::future::poll_fn(|cx| reader.poll_frame(cx)).await {
        let Ok(frame) = frame else { panic!("it is whole") };
        body.extend_from_slice(frame.data_ref().unwrap());
        largest = largest.max(reader.held());
    }
    sending.await.unwrap();
    assert_eq!(body.len(), 100 * BLOCK);
    assert!(largest <= 4 * BLOCK, "{largest}");
    assert_eq!(error(&memory, 1), Some(KeyError::ResponseGone));
    assert!(memory.room((1 << 20) - BLOCK).is_some(), "its room is free again");
}

#[tokio::test]
async fn an_execution_is_abandoned_when_nobody_has_read_it_for_long() {
    let memory = memory(9, 1 << 20, 1 << 20);
    let (writer, reader) = new(&memory, 1);
    let recording = writer.recording();
    let patience = Duration::from_millis(20);
    let abandoned = || recording.abandoned(patience);
    assert!(timeout(5 * patience, abandoned()).await.is_err(), "somebody reads");
    drop(reader);
    abandoned().await;
    let back = again(&memory, 1).unwrap();
    assert!(timeout(5 * patience, abandoned()).await.is_err(), "somebody reads again");
    drop(back);
    abandoned().await;
}

#[tokio::test]
async fn an_execution_goes_on_when_nobody_reads_it() {
    let memory = memory(9, BLOCK, 1 << 20);
    let (writer, reader) = new(&memory, 1);
    drop(reader);
    record(writer, &[b'x'; 10 * BLOCK]).await;
    assert_eq!(error(&memory, 1), Some(KeyError::ResponseGone));
    let (writer, reader) = new(&memory, 2);
    drop(reader);
    record(writer, b"short").await;
    assert_eq!(read(again(&memory, 2).unwrap()).await.unwrap().1, "short");
}
