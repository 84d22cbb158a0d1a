//! What is sent again, and what never is.

use crate::proxy::{Fate, Proxy};
use crate::support::{builder, exchange, pair, stream};
use http::Request;
use std::sync::atomic::Ordering::SeqCst;
use steve_sdk::{ChannelError, Error, RequestBody, ResetCode, Stage};

#[tokio::test]
async fn row_08_forged_hints_after_a_post_do_not_repeat_it() {
    for status in [408, 422, 500, 502, 503] {
        let (proxy, client) = pair().await;
        proxy.plan([Fate::ForgedAfterDispatch(status), Fate::ForgedBefore(status)]);
        // The client cannot tell the two apart.
        for _ in 0..2 {
            let error = exchange(&client, "POST", "/pay", "1 euro").await.unwrap_err();
            let Error::Outer { status: found, .. } = error else { panic!("{error}") };
            assert_eq!(found, status);
        }
        assert_eq!(*proxy.app.requests.lock().unwrap(), ["POST /pay"]);
        // The client goes on working.
        exchange(&client, "POST", "/pay", "1 euro").await.unwrap();
    }
}

/// The host can hold the original back, and let go of it after later writes (SPEC.md, Section 13.4).
#[tokio::test]
async fn row_08_forged_hints_do_not_repeat_methods_that_are_only_idempotent() {
    for method in ["PUT", "DELETE"] {
        let (proxy, client) = pair().await;
        for fate in [
            Fate::ForgedBefore(503),
            Fate::ForgedBefore(422),
            Fate::ForgedAfterDispatch(503),
            Fate::CutTo(0),
            Fate::BreakAt(3),
        ] {
            proxy.app.requests.lock().unwrap().clear();
            proxy.plan([fate]);
            exchange(&client, method, "/", "old").await.unwrap_err();
            let dispatched = !matches!(fate, Fate::ForgedBefore(_));
            let requests = proxy.app.requests.lock().unwrap().len();
            assert_eq!(requests, usize::from(dispatched), "{method}: {fate:?}");
        }
        proxy.app.requests.lock().unwrap().clear();
        proxy.plan([Fate::ForgedBefore(503)]);
        let request = client.method(method.parse().unwrap(), "/").body("old").idempotent();
        request.send().await.unwrap();
        proxy.plan([Fate::Reset(ResetCode::REFUSED)]);
        exchange(&client, method, "/", "old").await.unwrap();
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 2, "{method}");
    }
}

#[tokio::test]
async fn row_08_forged_hints_repeat_safe_methods() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        let (proxy, client) = pair().await;
        proxy.plan([Fate::ForgedBefore(503)]);
        exchange(&client, method, "/", "").await.unwrap();
        assert_eq!(*proxy.app.requests.lock().unwrap(), [format!("{method} /")]);
    }
}

#[tokio::test]
async fn row_08_forged_hints_after_a_get_repeat_it() {
    for status in [408, 422, 502, 503] {
        let (proxy, client) = pair().await;
        proxy.plan([Fate::ForgedAfterDispatch(status)]);
        exchange(&client, "GET", "/", "").await.unwrap();
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 2, "{status}");
        let sessions = if status == 422 { 2 } else { 1 };
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), sessions, "{status}");
        assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 1, "{status}");
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    let proxy = Proxy::start(None).await;
    let client = builder(&proxy).early_data(false).build().unwrap();
    proxy.plan([Fate::ForgedAfterDispatch(503); 10]);
    let error = exchange(&client, "GET", "/", "").await.unwrap_err();
    assert!(matches!(error, Error::Outer { .. }) && error.is_transport(), "{error}");
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_reset_that_says_not_dispatched_repeats_a_post() {
    for code in [ResetCode::REFUSED, ResetCode::DRAINING, ResetCode::SESSION_ENDING] {
        let (proxy, client) = pair().await;
        proxy.plan([Fate::Reset(code)]);
        assert_eq!(exchange(&client, "POST", "/", "body").await.unwrap().1, "body");
        assert_eq!(proxy.app.requests.lock().unwrap().len(), 1, "{code}");
        let sessions = if code == ResetCode::REFUSED { 1 } else { 2 };
        assert_eq!(proxy.enclave.handshakes.load(SeqCst), sessions, "{code}");

        proxy.plan([Fate::Reset(code)]);
        let error = exchange(&client, "POST", "/", stream([Ok(&b"body"[..])])).await.unwrap_err();
        assert!(error.is_not_dispatched(), "a stream cannot be sent again: {error}");
        assert!(error.to_string().contains("did not get the request"), "{error}");
    }
}

#[tokio::test]
async fn a_reset_that_says_nothing_repeats_nothing() {
    let (proxy, client) = pair().await;
    for code in [ResetCode::APP_FAILED, ResetCode::TIMEOUT, ResetCode::TRUNCATED] {
        proxy.plan([Fate::Reset(code)]);
        let error = exchange(&client, "POST", "/", "body").await.unwrap_err();
        let Error::Channel(ChannelError::Reset { code: found }) = error else { panic!("{error}") };
        assert_eq!(found, code);
        assert!(!error.is_not_dispatched());
    }
    assert!(proxy.app.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_callers_word_makes_a_post_idempotent_but_not_a_stream_replayable() {
    let (proxy, client) = pair().await;
    proxy.plan([Fate::ForgedAfterDispatch(503)]);
    let response = client.post("/").body("body").idempotent().send().await.unwrap();
    assert_eq!(response.into_body().bytes().await.unwrap(), "body");
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 2);

    proxy.plan([Fate::ForgedAfterDispatch(503)]);
    let request = client.post("/").body(stream([Ok(&b"body"[..])])).idempotent();
    request.send().await.unwrap_err();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_truncated_answer_repeats_a_get_only_before_its_head() {
    let proxy = Proxy::start(None).await;
    let client = builder(&proxy).early_data(false).build().unwrap();
    proxy.plan([Fate::CutTo(0), Fate::BreakAt(3)]);
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 3);
    proxy.plan([Fate::CutLast(1)]);
    exchange(&client, "GET", "/", "").await.unwrap_err();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn tampering_is_reported_and_not_papered_over() {
    let (proxy, client) = pair().await;
    proxy.plan([Fate::FlipFirst]);
    exchange(&client, "GET", "/", "").await.unwrap_err();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_restart_requests_find_a_new_session_with_new_evidence() {
    let (proxy, client) = pair().await;
    exchange(&client, "GET", "/", "").await.unwrap();
    proxy.enclave.forget_sessions();
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 1, "the evidence still holds");

    proxy.enclave.restart();
    exchange(&client, "GET", "/", "").await.unwrap();
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2);
    // Session 1; 2 after it was lost; one refused by the new keys; 3.
    assert_eq!(proxy.enclave.handshakes.load(SeqCst), 4);

    proxy.enclave.restart();
    let error = exchange(&client, "POST", "/", "1 euro").await.unwrap_err();
    assert!(matches!(error, Error::Outer { .. }), "a 422 proves nothing: {error}");
    exchange(&client, "POST", "/", "1 euro").await.unwrap();
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_handshake_refused_again_with_new_evidence_is_final() {
    for method in ["GET", "POST"] {
        let (proxy, client) = pair().await;
        proxy.forged_hellos.lock().unwrap().extend([const { Err(422) }; 10]);
        let error = exchange(&client, method, "/", "").await.unwrap_err();
        let Error::Outer { stage: Stage::Handshake, status, .. } = error else { panic!("{error}") };
        assert_eq!(status, 422);
        assert_eq!(proxy.forged_hellos.lock().unwrap().len(), 8, "one handshake, and one more");
        assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2);
        assert!(proxy.app.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn hints_before_anything_is_sent_repeat_the_setup_even_for_a_post() {
    let (proxy, client) = pair().await;
    proxy.forged_hellos.lock().unwrap().extend([Err(422), Err(503)]);
    let request = Request::post("/").body(stream([Ok(&b"body"[..])])).unwrap();
    let response = client.request::<RequestBody>(request).await.unwrap();
    assert_eq!(response.into_body().bytes().await.unwrap(), "body");
    assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 1);
}

/// It may be about to end, and a load balancer may know of another one.
#[tokio::test]
async fn an_enclave_that_takes_no_handshakes_is_left_for_the_one_that_evidence_comes_from() {
    for status in [502, 503, 504] {
        let (proxy, client) = pair().await;
        proxy.forged_hellos.lock().unwrap().push_back(Err(status));
        exchange(&client, "POST", "/", "").await.unwrap();
        assert_eq!(proxy.enclave.evidence_requests.load(SeqCst), 2, "{status}");
    }
}

/// The answer would be the same.
#[tokio::test]
async fn an_answer_of_the_proxy_is_a_response() {
    let (proxy, client) = pair().await;
    assert_eq!(exchange(&client, "GET", "/not-implemented", "").await.unwrap().0, 501);
    assert_eq!(proxy.app.requests.lock().unwrap().len(), 1);
}
