//! A host that cuts, changes and reads what it carries.

use crate::app::Ending;
use crate::proxy::Fate;
use crate::support::{builder, eventually, exchange, pair, stream};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::time::Duration;
use steve_sdk::{
    ChannelError, Error, HandshakeError, InvalidRequest, Receipt, RequestBody, ResetCode, Stage,
};

#[tokio::test]
async fn an_exchange_and_its_receipt() {
    let (proxy, client) = pair().await;
    let body = r#"{"q":"hello"}"#;
    let response = client.post("/v1/chat?a=b").json(&serde_json::json!({"q": "hello"})).send();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-length"], body.len().to_string());
    let receipt = response.extensions().get::<Receipt>().unwrap().clone();
    assert_eq!(receipt.stream_id(), 1);
    assert_eq!(receipt.module_id(), proxy.enclave.authority.module_id());
    assert_eq!(receipt.suite().name().split('-').next(), Some("xwing"));
    assert_eq!(receipt.request_bytes(), body.len() as u64);
    assert_eq!(response.into_body().text().await.unwrap(), body);
    assert_eq!(receipt.response_bytes(), body.len() as u64);
    assert_eq!(*proxy.app.requests.lock().unwrap(), ["POST /v1/chat?a=b"]);
    let debug = format!("{receipt:?} {client:?}");
    assert!(!debug.contains("hello"), "{debug}");
}

#[tokio::test]
async fn row_09_nothing_of_a_request_is_visible_outside() {
    let (proxy, client) = pair().await;
    let request = client.post("/secret-path?secret-query").header("x-secret-name", "secret-value");
    let response = request.body("secret-body").send().await.unwrap();
    assert_eq!(response.into_body().text().await.unwrap(), "secret-body");
    let seen = proxy.seen.lock().unwrap();
    assert!(seen.windows(9).any(|window| window == b"v3/stream"), "the recorder works");
    assert!(!seen.windows(6).any(|window| window.eq_ignore_ascii_case(b"secret")));
    assert!(!seen.windows(10).any(|window| window.eq_ignore_ascii_case(b"user-agent")));
}

#[tokio::test]
async fn the_binding_is_what_the_app_sees() {
    let (_proxy, client) = pair().await;
    let binding = client.session_binding().await.unwrap();
    assert_eq!(binding.len(), 43);
    assert_eq!(exchange(&client, "GET", "/session", "").await.unwrap().1, binding);
}

#[tokio::test]
async fn row_06_a_response_cut_anywhere_never_ends_cleanly() {
    let (proxy, client) = pair().await;
    // An echo of 10 bytes: the head, the bytes in one frame, an empty frame with FIN.
    let mut complete = 0;
    for len in 0..100 {
        for fate in [Fate::CutTo(len), Fate::BreakAt(len)] {
            proxy.plan([fate]);
            match exchange(&client, "POST", "/", "0123456789").await {
                Ok((_, body)) => {
                    assert_eq!(body, "0123456789", "{fate:?}");
                    complete += 1;
                }
                Err(error) => {
                    let cut = matches!(error, Error::Channel(ChannelError::Truncated));
                    let broken = matches!(fate, Fate::BreakAt(_)) && error.is_transport();
                    assert!(cut || broken, "{fate:?}: {error}");
                    // A break can swallow what was sent before it.
                    assert!(broken || complete == 0, "{fate:?}: all was there");
                }
            }
        }
    }
    assert!(complete > 0);
    let sent = 200;
    assert_eq!(proxy.app.requests.lock().unwrap().len(), sent, "row 8: none was sent twice");
}

#[tokio::test]
async fn row_06_the_end_mark_decides_and_errors_are_not_forgotten() {
    let (proxy, client) = pair().await;
    proxy.plan([Fate::CutTo(usize::MAX)]);
    let (_, whole) = exchange(&client, "POST", "/", "body").await.unwrap();
    assert_eq!(whole, "body");

    for cut in 1..=21 {
        // Whatever part of the last frame is missing, the data before it arrives, and then an error.
        proxy.plan([Fate::CutLast(cut)]);
        let response = client.post("/").body("body").send().await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.chunk().await.unwrap().unwrap(), "body");
        for _ in 0..3 {
            let error = body.chunk().await.unwrap_err();
            assert!(matches!(error, Error::Channel(ChannelError::Truncated)), "{error}");
            assert!(!http_body::Body::is_end_stream(&body));
        }
    }
}

#[tokio::test]
async fn row_06_an_app_that_dies_half_way_is_an_error() {
    let (_proxy, client) = pair().await;
    let mut body = client.get("/dies").send().await.unwrap().into_body();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(8));
    assert_eq!(body.chunk().await.unwrap().unwrap(), "half");
    let error = body.chunk().await.unwrap_err();
    let Error::Channel(ChannelError::Reset { code }) = error else { panic!("{error}") };
    assert_eq!(code, ResetCode::APP_FAILED);
    assert!(!error.is_not_dispatched());
}

#[tokio::test]
async fn tampered_and_swapped_responses_are_errors() {
    let (proxy, client) = pair().await;
    proxy.plan([Fate::FlipFirst]);
    let error = exchange(&client, "GET", "/", "").await.unwrap_err();
    assert!(matches!(error, Error::Channel(ChannelError::Tampered(_))), "{error}");

    proxy.plan([Fate::FlipLast]);
    let mut body = client.post("/").body("body").send().await.unwrap().into_body();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "body");
    let error = body.chunk().await.unwrap_err();
    assert!(matches!(error, Error::Channel(ChannelError::Tampered(_))), "{error}");

    proxy.plan([Fate::CutTo(usize::MAX), Fate::AnswerOfAnother]);
    exchange(&client, "GET", "/a", "").await.unwrap();
    let error = exchange(&client, "GET", "/b", "").await.unwrap_err();
    assert!(matches!(error, Error::Channel(ChannelError::Tampered(_))), "{error}");
    assert_eq!(exchange(&client, "POST", "/", "again").await.unwrap().1, "again");
}

/// Of a ServerHello with an X-Wing suite.
const HELLO_LEN: usize = 1168;

#[tokio::test]
async fn row_01_whoever_lacks_the_attested_key_has_no_session() {
    let (proxy, client) = pair().await;
    for (method, hello, expected) in [
        ("GET", vec![0; HELLO_LEN], "malformed"),
        ("POST", vec![3; HELLO_LEN], "malformed"),
        ("GET", Vec::new(), "shorter"),
        ("POST", Vec::new(), "shorter"),
        ("GET", vec![3; HELLO_LEN - 1], "shorter"),
        ("POST", vec![3; HELLO_LEN - 1], "shorter"),
        // A response may follow where an early request was offered.
        ("GET", vec![3; HELLO_LEN + 1], "malformed"),
        ("POST", vec![3; HELLO_LEN + 1], "longer"),
    ] {
        proxy.forged_hellos.lock().unwrap().push_back(Ok(hello));
        let error = exchange(&client, method, "/", "").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.is_channel(), expected == "malformed");
    }
    // A well-formed answer by somebody without the key.
    let mut forged = vec![0; HELLO_LEN];
    for (place, byte) in [(0, 3), (1141, 60), (1145, 60), (1148, 0x10), (1151, 1)] {
        forged[place] = byte;
    }
    proxy.forged_hellos.lock().unwrap().push_back(Ok(forged));
    let error = exchange(&client, "GET", "/", "").await.unwrap_err();
    let Error::Handshake(error) = error else { panic!("{error}") };
    assert_eq!(error, HandshakeError::ConfirmationInvalid);
    assert!(proxy.app.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn heads_trailers_and_empty_bodies() {
    let (proxy, client) = pair().await;
    let response = client.get("/trailers").send().await.unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a", "b"]);
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(collected.to_bytes(), "body");

    let (head, names) = ("close, X-Hop", ["connection", "keep-alive", "te", "x-hop", "x-trailer"]);
    for (connection, expected) in [(head, &["x-trailer"][..]), ("x-trailer, x-hop", &[])] {
        let value = http::HeaderValue::from_static("x-sum");
        let trailers = names.iter().map(|name| (name.parse().unwrap(), value.clone())).collect();
        let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)];
        let frames = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
        let body = RequestBody::new(StreamBody::new(frames));
        let request = client.post("/").header("connection", connection).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.into_body().bytes().await.unwrap(), "body");
        assert_eq!(std::mem::take(&mut *proxy.app.trailers.lock().unwrap()), expected);
    }

    let response = client.method(http::Method::HEAD, "/").send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    assert_eq!(response.into_body().bytes().await.unwrap(), "");
}

#[tokio::test]
async fn invalid_requests_are_not_sent() {
    let (proxy, client) = pair().await;
    let invalid = |error: Error| match error {
        Error::InvalidRequest(error) => error,
        error => panic!("{error}"),
    };
    let other = client.get("https://other.example.com/").send().await.unwrap_err();
    assert!(matches!(invalid(other), InvalidRequest::OtherOrigin(_)));
    let host = client.get("/").header("host", "other.example.com").send().await.unwrap_err();
    assert!(matches!(invalid(host), InvalidRequest::Host(_)));
    let field = client.get("/").header("bad name", "x").send().await.unwrap_err();
    assert!(matches!(invalid(field), InvalidRequest::Http(_)));
    let uri = client.get("no path").send().await.unwrap_err();
    assert_eq!(invalid(uri), InvalidRequest::Uri);
    let long = "x".repeat(70_000);
    let large = client.get("/").header("x-large", long).send().await.unwrap_err();
    assert!(matches!(invalid(large), InvalidRequest::Head(_)));
    assert_eq!(proxy.enclave.evidence_requests.load(std::sync::atomic::Ordering::SeqCst), 0);

    let same = format!("http://{}/same", proxy.address);
    client.get(&same).send().await.unwrap();
    assert_eq!(*proxy.app.requests.lock().unwrap(), ["GET /same"]);
}

#[tokio::test]
async fn a_body_that_fails_or_has_another_length_is_reset() {
    let (proxy, client) = pair().await;
    let failing = || Err(std::io::Error::other("the disk is gone"));
    let error = exchange(&client, "POST", "/", stream([Ok(&b"half"[..]), failing()])).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::RequestBody(_)), "{error}");
    assert!(error.to_string().contains("the disk is gone"), "{error}");

    for chunks in [vec![Ok(&b"1234"[..])], vec![Ok(&b"123456"[..])]] {
        let request = client.post("/").header("content-length", "5").body(stream(chunks));
        let error = match request.send().await {
            Ok(response) => response.into_body().bytes().await.unwrap_err(),
            Err(error) => error,
        };
        let Error::InvalidRequest(error) = error else { panic!("{error}") };
        assert_eq!(error, InvalidRequest::ContentLength);
    }
    eventually("the app is told each time", || {
        *proxy.app.endings.lock().unwrap() == [Ending::Reset(ResetCode::CANCELLED); 3]
    })
    .await;
}

#[tokio::test]
async fn timeouts_say_what_was_awaited() {
    let (proxy, _) = pair().await;
    let short = Duration::from_secs(2);
    let client = builder(&proxy).request_timeout(short).idle_timeout(short).build().unwrap();
    let error = client.get("/never").send().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { stage: Stage::Request, .. }), "{error}");

    let mut body = client.get("/stalls").send().await.unwrap().into_body();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "half");
    let error = body.chunk().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { stage: Stage::ResponseBody, .. }), "{error}");
    assert!(error.is_transport());
}
