//! gRPC through the channel: a tonic client on top of the SDK, a tonic server behind `h2c://`.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Buf, BufMut, Bytes};
use common::Fixture;
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use steve_sdk::Client;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages are bytes.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    if request.get_ref().is_empty() {
        let mut refusal = Status::with_details(Code::FailedPrecondition, "empty, ä", "why".into());
        refusal.metadata_mut().insert("x-reason", "nothing".parse().unwrap());
        return Err(refusal);
    }
    let metadata = request.metadata().clone();
    let mut response = Response::new(request.into_inner());
    for (name, seen) in [("x-text", "x-seen-text"), ("grpc-timeout", "x-seen-timeout")] {
        if let Some(value) = metadata.get(name) {
            response.metadata_mut().insert(seen, value.clone());
        }
    }
    if let Some(value) = metadata.get_bin("x-data-bin") {
        response.metadata_mut().insert_bin("x-seen-bin", value.clone());
    }
    Ok(response)
}

async fn count(request: Request<Bytes>) -> Result<Response<Replies>, Status> {
    let until = request.into_inner().len();
    let replies = stream::iter((0..until).map(|i| Ok(Bytes::from(format!("{i}")))));
    let end = stream::iter([Err(Status::data_loss("the end"))]);
    Ok(Response::new(Box::pin(replies.chain(end))))
}

async fn join(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut all = Vec::new();
    let mut messages = request.into_inner();
    while let Some(message) = messages.message().await? {
        all.extend_from_slice(&message);
    }
    Ok(Response::new(all.into()))
}

async fn chat(request: Request<Streaming<Bytes>>) -> Result<Response<Replies>, Status> {
    let messages = request.into_inner();
    Ok(Response::new(Box::pin(
        messages.map(|message| message.map(|message| [b"re: ", &message[..]].concat().into())),
    )))
}

/// Sends "cancelled" when the call's future is dropped.
struct Watched(mpsc::UnboundedSender<&'static str>);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.send("cancelled");
    }
}

async fn server(events: mpsc::UnboundedSender<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: http::Request<Incoming>| {
        let events = events.clone();
        async move {
            let mut grpc = tonic::server::Grpc::new(Raw);
            let path = request.uri().path().to_owned();
            Ok::<_, Infallible>(match path.as_str() {
                "/test.Test/Unary" => grpc.unary(tower::service_fn(unary), request).await,
                "/test.Test/Count" => {
                    grpc.server_streaming(tower::service_fn(count), request).await
                }
                "/test.Test/Join" => grpc.client_streaming(tower::service_fn(join), request).await,
                "/test.Test/Chat" => grpc.streaming(tower::service_fn(chat), request).await,
                "/test.Test/Hang" => {
                    let hang = tower::service_fn(move |_: Request<Bytes>| {
                        let watched = Watched(events.clone());
                        async move {
                            watched.0.send("begun").unwrap();
                            std::future::pending::<Result<Response<Bytes>, Status>>().await
                        }
                    });
                    grpc.unary(hang, request).await
                }
                _ => Status::unimplemented(path).into_http(),
            })
        }
    };
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(io), service_fn(answer.clone())));
        }
    });
    address
}

type Grpc = tonic::client::Grpc<Client>;

async fn client(app: SocketAddr) -> (Fixture, Grpc) {
    let proxy = Fixture::with(app, |config| config.upstream = format!("h2c://{app}")).await;
    let grpc = Grpc::new(proxy.sdk());
    (proxy, grpc)
}

fn method(name: &str) -> PathAndQuery {
    PathAndQuery::try_from(format!("/test.Test/{name}")).unwrap()
}

#[tokio::test]
async fn unary_calls_with_metadata_and_status() {
    let (events, _) = mpsc::unbounded_channel();
    let (_proxy, mut grpc) = client(server(events).await).await;
    let mut request = Request::new(Bytes::from("hello"));
    request.metadata_mut().insert("x-text", "text".parse().unwrap());
    let data = MetadataValue::from_bytes(&[0, 255, 7]);
    request.metadata_mut().insert_bin("x-data-bin", data);
    request.set_timeout(Duration::from_secs(30));
    grpc.ready().await.unwrap();
    let response = grpc.unary(request, method("Unary"), Raw).await.unwrap();
    let metadata = response.metadata();
    assert_eq!(metadata.get("x-seen-text").unwrap(), "text");
    assert!(metadata.contains_key("x-seen-timeout"));
    assert_eq!(metadata.get_bin("x-seen-bin").unwrap().to_bytes().unwrap(), &[0, 255, 7][..]);
    assert_eq!(response.into_inner(), "hello");

    grpc.ready().await.unwrap();
    let refusal = grpc.unary(Request::new(Bytes::new()), method("Unary"), Raw).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.message()), (Code::FailedPrecondition, "empty, ä"));
    assert_eq!(refusal.details(), b"why");
    assert_eq!(refusal.metadata().get("x-reason").unwrap(), "nothing");

    grpc.ready().await.unwrap();
    let large = Bytes::from(vec![9; 3_000_000]);
    let response = grpc.unary(Request::new(large.clone()), method("Unary"), Raw).await.unwrap();
    assert_eq!(response.into_inner(), large);

    grpc.ready().await.unwrap();
    let unknown = grpc.unary(Request::new(large), method("None"), Raw).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}

#[tokio::test]
async fn streams_of_messages_either_way() {
    let (events, _) = mpsc::unbounded_channel();
    let (_proxy, mut grpc) = client(server(events).await).await;
    grpc.ready().await.unwrap();
    let request = Request::new(Bytes::from(vec![0; 100]));
    let response = grpc.server_streaming(request, method("Count"), Raw).await.unwrap();
    let mut replies = response.into_inner();
    for i in 0..100 {
        assert_eq!(replies.message().await.unwrap().unwrap(), format!("{i}"));
    }
    let end = replies.message().await.unwrap_err();
    assert_eq!((end.code(), end.message()), (Code::DataLoss, "the end"), "status in trailers");

    grpc.ready().await.unwrap();
    let parts = stream::iter(["a", "b", "c"].map(Bytes::from));
    let joined = grpc.client_streaming(Request::new(parts), method("Join"), Raw).await.unwrap();
    assert_eq!(joined.into_inner(), "abc");
}

/// Each message waits for the answer to the one before.
#[tokio::test]
async fn both_directions_in_lock_step() {
    let (events, _) = mpsc::unbounded_channel();
    let (_proxy, mut grpc) = client(server(events).await).await;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let messages = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|message| (message, receiver))
    });
    grpc.ready().await.unwrap();
    let response = grpc.streaming(Request::new(messages), method("Chat"), Raw).await.unwrap();
    let mut replies = response.into_inner();
    for turn in 0..20 {
        sender.send(format!("{turn}").into()).await.unwrap();
        let reply = timeout(Duration::from_secs(5), replies.message()).await.unwrap();
        assert_eq!(reply.unwrap().unwrap(), format!("re: {turn}"));
    }
    drop(sender);
    assert!(replies.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_at_the_server() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (_proxy, mut grpc) = client(server(sender).await).await;
    grpc.ready().await.unwrap();
    let call = tokio::spawn(async move {
        let _ = grpc.unary(Request::new(Bytes::from("x")), method("Hang"), Raw).await;
    });
    assert_eq!(events.recv().await, Some("begun"));
    call.abort();
    let cancelled = timeout(Duration::from_secs(1), events.recv()).await;
    assert_eq!(cancelled.unwrap(), Some("cancelled"));
}
