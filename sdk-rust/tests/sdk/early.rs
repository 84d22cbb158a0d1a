//! Requests that go along with the handshake: what they save, and what is never done with them.

use crate::proxy::{Fate, Proxy};
use crate::support::{builder, eventually, exchange, pair, stream};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use steve_protocol::handshake::SessionParameters;
use steve_sdk::{ChannelError, Client, Early, Error, Receipt, RequestBody, ResetCode};

/// An enclave that accepts early requests.
async fn accepting() -> (Arc<Proxy>, Client) {
    let (proxy, client) = pair().await;
    proxy.enclave.accept_early(100);
    (proxy, client)
}

async fn stream_id(client: &Client, request: Request<RequestBody>) -> u64 {
    let response = client.request(request).await.unwrap();
    let id = response.extensions().get::<Receipt>().unwrap().stream_id();
    response.into_body().bytes().await.unwrap();
    id
}

fn request(method: Method, body: impl Into<RequestBody>) -> Request<RequestBody> {
    Request::builder().method(method).uri("/").body(body.into()).unwrap()
}

#[tokio::test]
async fn first_contact_costs_two_requests_and_a_later_session_one() {
    let (proxy, client) = accepting().await;
    let second = Duration::from_secs(1);
    let parameters = SessionParameters { idle_timeout: second, ..crate::enclave::PARAMETERS };
    *proxy.enclave.parameters.lock().unwrap() = parameters;
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.requests.load(SeqCst), 2, "challenge and request");
    tokio::time::sleep(second).await;
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 2);
    assert_eq!(proxy.requests.load(SeqCst), 3, "the request alone");
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 2);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn the_verified_enclave_is_not_asked_for_evidence_again() {
    let (proxy, client) = accepting().await;
    client.verify().await.unwrap();
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.requests.load(SeqCst), 2);
}

#[tokio::test]
async fn only_small_safe_requests_go_early_unless_the_caller_says_otherwise() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        let (_proxy, client) = accepting().await;
        assert_eq!(stream_id(&client, request(method.clone(), "")).await, 0, "{method}");
        assert_eq!(stream_id(&client, request(method, "")).await, 1);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let (_proxy, client) = accepting().await;
        assert_eq!(stream_id(&client, request(method.clone(), "")).await, 1, "{method}");
        let (_proxy, client) = accepting().await;
        let mut request = request(method, "body");
        request.extensions_mut().insert(Early(true));
        assert_eq!(stream_id(&client, request).await, 0);
    }
    let get = |body: RequestBody| request(Method::GET, body);
    let mut waits = get("body".into());
    waits.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let mut large_head = get("".into());
    large_head.headers_mut().insert("x", "x".repeat(20_000).parse().unwrap());
    let mut forbidden = get("".into());
    forbidden.extensions_mut().insert(Early(false));
    let not_early = [
        get(Bytes::from(vec![0; 20_000]).into()),
        get(stream([Ok(&b"body"[..])])),
        waits,
        large_head,
        forbidden,
    ];
    for request in not_early {
        let (_proxy, client) = accepting().await;
        assert_eq!(stream_id(&client, request).await, 1);
    }
    let (proxy, _) = accepting().await;
    let client = builder(&proxy).early_data(false).build().unwrap();
    assert_eq!(stream_id(&client, get("".into())).await, 1);
    let response = builder(&proxy).early_data(false).build().unwrap();
    let response = response.get("/").early(true).send().await.unwrap();
    assert_eq!(response.extensions().get::<Receipt>().unwrap().stream_id(), 0);
}

#[tokio::test]
async fn a_rejected_request_is_sent_once_more_and_the_next_one_is_not_offered() {
    for method in ["GET", "POST"] {
        let (proxy, client) = pair().await;
        proxy.enclave.accept_early(0);
        let send = || client.method(method.parse().unwrap(), "/").early(true).send();
        send().await.unwrap().into_body().bytes().await.unwrap();
        assert_eq!(proxy.requests.load(SeqCst), 3, "challenge, rejected request, request");
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
        assert_eq!(*proxy.app.requests.lock().unwrap(), [format!("{method} /")]);
        proxy.plan([Fate::Reset(ResetCode::SESSION_ENDING)]);
        send().await.unwrap();
        proxy.plan([Fate::Reset(ResetCode::SESSION_ENDING)]);
        send().await.unwrap();
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 3);
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), 3);
    }
}

/// A host that delivers the request first, so that the client's own copy is a replay, must not get a
/// rejection for it, which would say that the request was not dispatched.
#[tokio::test]
async fn row_07_a_request_that_the_host_delivered_before_is_not_sent_again() {
    let (proxy, client) = accepting().await;
    proxy.plan([Fate::DeliveredTwice]);
    let error = client.post("/pay").body("1 euro").early(true).send().await.unwrap_err();
    let Error::Outer { status, .. } = &error else { panic!("{error}") };
    assert_eq!(*status, 422);
    assert!(!error.is_not_dispatched());
    assert_eq!(*proxy.app.requests.lock().unwrap(), ["POST /pay"]);
    exchange(&client, "POST", "/other", "").await.unwrap();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 2);

    let (proxy, client) = accepting().await;
    proxy.plan([Fate::DeliveredTwice]);
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(
        proxy.app.requests.lock().unwrap().len(),
        2,
        "safe: under the rules of Section 13.4"
    );
}

#[tokio::test]
async fn row_08_forged_answers_repeat_only_what_may_be_repeated() {
    for fate in [Fate::ForgedAfterDispatch(503), Fate::ForgedAfterDispatch(422), Fate::CutTo(80)] {
        let (proxy, client) = accepting().await;
        proxy.plan([fate]);
        client.post("/pay").body("1 euro").early(true).send().await.unwrap_err();
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 1, "{fate:?}");

        let (proxy, client) = accepting().await;
        proxy.plan([fate]);
        let safe = exchange(&client, "GET", "/", "").await;
        let (dispatched, ok) = match fate {
            // What is cut within the ServerHello is no answer of the protocol.
            Fate::CutTo(_) => (1, false),
            _ => (2, true),
        };
        assert_eq!(safe.is_ok(), ok, "{fate:?}");
        assert_eq!(proxy.app.requests.lock().unwrap().len(), dispatched, "{fate:?}");
    }
}

#[tokio::test]
async fn a_reset_that_says_not_dispatched_repeats_an_early_post() {
    let (proxy, client) = accepting().await;
    proxy.plan([Fate::Reset(ResetCode::REFUSED)]);
    let response = client.post("/").body("body").early(true).send().await.unwrap();
    assert_eq!(response.into_body().bytes().await.unwrap(), "body");
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn tampered_answers_are_reported() {
    for fate in [Fate::FlipFirst, Fate::FlipLast, Fate::CutLast(1)] {
        let (proxy, client) = accepting().await;
        proxy.plan([fate]);
        let error = exchange(&client, "GET", "/", "").await.unwrap_err();
        match fate {
            Fate::CutLast(_) => {
                assert!(matches!(error, Error::Channel(ChannelError::Truncated)), "{error}");
            }
            _ => assert!(error.is_channel(), "{error}"),
        }
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn after_a_restart_an_early_get_finds_its_way_with_new_evidence() {
    let (proxy, client) = accepting().await;
    client.verify().await.unwrap();
    proxy.enclave.restart();
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn of_many_first_requests_one_goes_early_and_all_share_the_session() {
    let (proxy, client) = accepting().await;
    let requests = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { exchange(&client, "GET", "/", "").await })
    });
    for result in futures_util::future::join_all(requests).await {
        result.unwrap().unwrap();
    }
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
    assert_eq!(proxy.requests.load(SeqCst), 21);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn an_answer_that_is_held_back_until_it_is_complete_holds_up_nobody_else() {
    let (proxy, client) = accepting().await;
    proxy.plan([Fate::CutLast(0)]);
    let held = client.clone();
    let held = tokio::spawn(async move { exchange(&held, "GET", "/after-a-post", "").await });
    eventually("it is sent", || proxy.app.requests.lock().unwrap().len() == 1).await;
    exchange(&client, "POST", "/", "").await.unwrap();
    assert_eq!(held.await.unwrap().unwrap().0, 204);
    assert_eq!(*proxy.app.requests.lock().unwrap(), ["GET /after-a-post", "POST /"]);
}

#[tokio::test]
async fn who_waits_for_the_session_does_not_depend_on_who_makes_it() {
    let (proxy, client) = accepting().await;
    let leader = client.clone();
    let leader = tokio::spawn(async move { exchange(&leader, "GET", "/stalls", "").await });
    eventually("it is sent", || proxy.app.requests.lock().unwrap().len() == 1).await;
    leader.abort();
    exchange(&client, "POST", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_was_given_up_is_not_sent_because_others_wait_for_the_session() {
    let (proxy, client) = accepting().await;
    let mut given_up = Box::pin(client.post("/given-up").early(true).send());
    assert!((&mut given_up).now_or_never().is_none());
    let mut other = Box::pin(exchange(&client, "POST", "/", ""));
    assert!((&mut other).now_or_never().is_none());
    drop(given_up);
    other.await.unwrap();
    assert_eq!(*proxy.app.requests.lock().unwrap(), ["POST /"]);
}

/// There is no time limit for the app, so there must be another sign that somebody is there.
#[tokio::test]
async fn without_any_answer_to_a_handshake_an_early_request_is_not_waited_for() {
    for (method, served) in [("GET", true), ("POST", false)] {
        let (proxy, client) = accepting().await;
        proxy.plan([Fate::Silence]);
        let sending = client.method(method.parse().unwrap(), "/").early(true).send();
        let sending = tokio::spawn(sending);
        eventually("it is sent", || proxy.enclave.handshakes.load(SeqCst) == 1).await;
        proxy.forged_hellos.lock().unwrap().push_back(Err(503));
        let answer = sending.await.unwrap();
        assert_eq!(answer.is_ok(), served, "{method}");
        if let Err(error) = answer {
            let Error::Outer { status, .. } = &error else { panic!("{error}") };
            assert_eq!(*status, 503);
        }
    }
}

#[tokio::test]
async fn attempts_are_bounded_with_the_early_one() {
    for status in [422, 503] {
        let (proxy, client) = accepting().await;
        proxy.plan([Fate::ForgedAfterDispatch(status); 10]);
        exchange(&client, "GET", "/", "").await.unwrap_err();
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 3, "{status}");
    }
    let (proxy, client) = pair().await;
    proxy.enclave.accept_early(0);
    proxy.plan([Fate::ForgedAfterDispatch(503); 10]);
    exchange(&client, "GET", "/", "").await.unwrap_err();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 2, "it was rejected before");
}

#[tokio::test]
async fn an_early_request_whose_answer_is_held_ends_with_the_time_of_its_own() {
    let (proxy, _) = accepting().await;
    let timeout = Duration::from_millis(1500);
    let client = builder(&proxy).request_timeout(timeout).build().unwrap();
    proxy.plan([Fate::Silence]);
    let held = client.clone();
    let held = tokio::spawn(async move { exchange(&held, "GET", "/held", "").await });
    eventually("it is sent", || proxy.enclave.handshakes.load(SeqCst) == 1).await;
    exchange(&client, "POST", "/", "").await.unwrap();
    let error = held.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert_eq!(*proxy.app.requests.lock().unwrap(), ["POST /"]);
}

/// Lets the clock of the client go on by itself.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_session_that_began_early_is_left_before_the_proxy_drops_it() {
    for (method, seconds, sessions) in
        [("GET", 29, 1), ("GET", 30, 2), ("POST", 1, 1), ("POST", 2, 2), ("PUT", 2, 2)]
    {
        let (proxy, client) = accepting().await;
        exchange(&client, "GET", "/", "").await.unwrap();
        later(seconds).await;
        exchange(&client, method, "/", "").await.unwrap();
        let handshakes = proxy.enclave.handshakes.load(SeqCst);
        assert_eq!(handshakes, sessions, "{method} after {seconds} s");
        later(60).await;
        exchange(&client, "POST", "/", "").await.unwrap();
        let confirmed = if (method, sessions) == ("GET", 2) { 1 } else { 0 };
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), sessions + confirmed);
    }
}

#[tokio::test]
async fn so_is_one_that_nothing_was_sent_on() {
    for (seconds, sessions) in [(29, 1), (30, 2)] {
        let (proxy, client) = pair().await;
        client.session_binding().await.unwrap();
        later(seconds).await;
        exchange(&client, "POST", "/", "").await.unwrap();
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), sessions, "after {seconds} s");
    }
}

#[tokio::test]
async fn only_an_authentic_response_of_the_app_confirms_a_session() {
    let (proxy, client) = accepting().await;
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(exchange(&client, "GET", "/not-implemented", "").await.unwrap().0, 501);
    let stalled = client.clone();
    let stalled = tokio::spawn(async move { exchange(&stalled, "GET", "/never", "").await });
    eventually("it is sent", || proxy.app.requests.lock().unwrap().len() == 3).await;
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 1);
    later(31).await;
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 2);
    stalled.abort();
}
