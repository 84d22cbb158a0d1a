//! What `steve connect` does when something is wrong: never what looks like success.

use crate::app::Ending;
use crate::cli::{Setup, TRUSTING};
use crate::gateway::{Gateway, own_code, read_until};
use crate::proxy::{Fate, Proxy};
use crate::support::eventually;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use std::net::TcpListener;
use steve_protocol::evidence::{Pcr, dev};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_with_a_verified_enclave_only() {
    let setup = Setup::new().await;
    let url = setup.url("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let root = ["--dangerous-dev-root", "root.der"];
    for (arguments, code, expected) in [
        (&[&root[..], &["--pcrs", "wrong", &url]].concat()[..], 3, "REFUSED"),
        (&["--pcrs", "pcrs", &url], 4, "REFUSED"),
        (&["--pcrs", "pcrs", "http://127.0.0.1:1"], 5, "connection failed"),
        (&[&url], 2, "--pcrs"),
        (&["--pcrs", "pcrs", &setup.url("/path")], 2, "must be an origin"),
        (&["--pcrs", "pcrs", "--listen", "0.0.0.0:0", &url], 2, "--allow-non-loopback"),
        (&["--pcrs", "pcrs", "--listen", &taken, &url], 2, "cannot listen on"),
        (&["--pcrs", "pcrs", "--max-requests", "0", &url], 2, "1 to 65536"),
    ] {
        let output = setup.run(&[&["connect"], arguments].concat()).await;
        assert_eq!(output.code, code, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{arguments:?}: {}", output.stderr);
        assert!(!output.stderr.contains("serving"), "{arguments:?}: {}", output.stderr);
    }
    let arguments = [&["connect"], &TRUSTING[..], &["--listen", &taken, &url]].concat();
    assert_eq!(setup.run(&arguments).await.stderr.lines().count(), 1);
    assert!(setup.proxy.app.requests.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_the_enclave_is_replaced_by_one_that_is_refused() {
    type Change = fn(&Proxy);
    let other_image: Change = |proxy| {
        let other = dev::pcrs().iter().map(|(index, _)| (index, Pcr::from([7; 48]))).collect();
        proxy.enclave.testimony.lock().unwrap().pcrs = other;
    };
    let other_manifest: Change = |proxy| proxy.enclave.testimony.lock().unwrap().tamper = true;
    for (change, code, name) in
        [(other_image, 3, "policy_refused"), (other_manifest, 4, "evidence_invalid")]
    {
        let mut gateway = Gateway::start(&[]).await;
        assert!(gateway.get("/fields").await.starts_with("HTTP/1.1 200 "));
        change(&gateway.setup.proxy);
        gateway.setup.proxy.enclave.restart();
        let answer = gateway.get("/fields").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert_eq!(own_code(&answer), name);
        let (found, said) = gateway.exit().await;
        assert_eq!(found, code, "{said}");
        assert!(said.starts_with("steve: ") && said.lines().count() == 1, "{said}");
        assert_eq!(gateway.setup.proxy.app.requests.lock().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_failures_are_answered_and_it_goes_on() {
    let gateway = Gateway::start(&["--timeout", "2"]).await;
    let proxy = &gateway.setup.proxy;
    let post = gateway.head("POST /", "content-length: 4\r\nconnection: close\r\n") + "body";
    for (fate, status, code) in [
        (Fate::ForgedAfterDispatch(503), 502, "outer_status"),
        (Fate::CutTo(0), 502, "channel_failed"),
        (Fate::FlipFirst, 502, "channel_failed"),
        (Fate::Reset(steve_sdk::ResetCode::TIMEOUT), 504, "timeout"),
        (Fate::Silence, 504, "timeout"),
    ] {
        proxy.plan([fate]);
        let answer = gateway.raw(&post).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fate:?}: {answer}");
        assert_eq!(own_code(&answer), code, "{fate:?}");
        assert!(gateway.raw(&post).await.contains("\r\nbody\r\n"), "{fate:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_off_never_ends_cleanly() {
    let gateway = Gateway::start(&[]).await;
    let answer = gateway.get("/dies").await;
    assert!(answer.contains("content-length: 8\r\n") && !answer.ends_with("halfhalf"), "{answer}");
    gateway.setup.proxy.plan([Fate::CutLast(1)]);
    let post = gateway.head("POST /", "transfer-encoding: chunked\r\nconnection: close\r\n");
    let answer = gateway.raw(&(post + "4\r\nbody\r\n0\r\n\r\n")).await;
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(!answer.contains("\r\n0\r\n"), "{answer}");

    for path in ["/dies", "/trailers"] {
        gateway.setup.proxy.plan([Fate::CutLast(1)]);
        let request = gateway.request("GET", path);
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
        let request = request.body(body).unwrap();
        // The break can come before its client has seen the head.
        let error = match gateway.http2().await.send_request(request).await {
            Ok(response) => response.into_body().collect().await.map(|_| ()).unwrap_err(),
            Err(error) => error,
        };
        assert!(!error.is_canceled(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_the_exchange() {
    let gateway = Gateway::start(&[]).await;
    let app = &gateway.setup.proxy.app;
    let ended = || app.endings.lock().unwrap().pop() == Some(Ending::Truncated);
    let begun = || app.concurrent.load(std::sync::atomic::Ordering::SeqCst) == 1;

    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("GET /until-gone", "").as_bytes()).await.unwrap();
    eventually("the app serves it", begun).await;
    drop(tcp);
    eventually("before the head over HTTP/1.1", ended).await;

    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("GET /endless", "").as_bytes()).await.unwrap();
    read_until(&mut tcp, "\r\n\r\n").await;
    drop(tcp);
    eventually("in the body over HTTP/1.1", ended).await;

    let request = |path| {
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
        gateway.request("GET", path).body(body).unwrap()
    };
    let mut client = gateway.http2().await;
    let waiting = tokio::spawn(client.send_request(request("/until-gone")));
    eventually("the app serves it", begun).await;
    waiting.abort();
    eventually("before the head over HTTP/2", ended).await;
    let response = client.send_request(request("/endless")).await.unwrap();
    drop(response);
    eventually("in the body over HTTP/2", ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_others_are_not_carried() {
    let gateway = Gateway::start(&[]).await;
    let service = gateway.setup.url("");
    let own = format!("http://{}", gateway.address);
    for (target, host, expected) in [
        ("GET / HTTP/1.1", "evil.example.com", Some((421, "misdirected"))),
        ("GET http://evil.example.com/ HTTP/1.1", "localhost", Some((421, "misdirected"))),
        ("GET / HTTP/1.1", "127.0.0.1", Some((421, "misdirected"))),
        ("CONNECT example.com:443 HTTP/1.1", "example.com", Some((501, "connect_not_supported"))),
        ("GET / HTTP/1.0", &own[7..], Some((505, "http_version"))),
        ("GET / HTTP/1.1", &service[7..], None),
        (&format!("GET {own}/ HTTP/1.1"), &own[7..], None),
        ("OPTIONS * HTTP/1.1", &own[7..], None),
    ] {
        let request = format!("{target}\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = gateway.raw(&request).await;
        let (status, code) = expected.unwrap_or((200, ""));
        assert!(answer[8..].starts_with(&format!(" {status} ")), "{target} {host}: {answer}");
        if expected.is_some() {
            assert_eq!(own_code(&answer), code);
        }
    }
    let requests = gateway.setup.proxy.app.requests.lock().unwrap();
    assert_eq!(*requests, ["GET /", "GET /", "OPTIONS *"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_21_requests_that_can_be_read_in_two_ways_are_refused() {
    let gateway = Gateway::start(&[]).await;
    let chunks = "4\r\nbody\r\n0\r\n\r\n";
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let host = format!("host: {}\r\n", gateway.address);
    let coding = |value: &str| format!("transfer-encoding: {value}\r\n");
    let own = gateway.address;
    for (line, fields, status, code) in [
        ("POST /", coding("gzip, chunked"), 501, "transfer_coding"),
        ("POST /", coding("chunked, chunked"), 501, "transfer_coding"),
        ("POST /", coding("gzip") + &coding("chunked"), 501, "transfer_coding"),
        ("POST /", coding("chunked") + &host, 400, "malformed_request"),
        ("GET /", format!("{upgrade}{}", coding("chunked")), 400, "malformed_request"),
        ("GET /", format!("{upgrade}content-length: 14\r\n"), 400, "malformed_request"),
        (&format!("POST ftp://{own}/"), coding("chunked"), 400, "malformed_request"),
        (&format!("POST {own}"), coding("chunked"), 400, "malformed_request"),
    ] {
        // What comes after the request is not another one.
        let request = gateway.head(line, &fields) + chunks + &gateway.head("GET /fields", "");
        let answer = gateway.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {fields}: {answer}");
        assert_eq!(own_code(&answer), code, "{line} {fields}");
    }
    let answer = gateway.raw("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(own_code(&answer), "malformed_request");

    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    let request = gateway.request("GET", "/").header("host", gateway.setup.url("")[7..].to_owned());
    let answer = gateway.http2().await.send_request(request.body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["steve-gateway"], "malformed_request");
    assert!(gateway.setup.proxy.app.requests.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_before_it_reads_gets_an_early_answer() {
    const LENGTH: usize = 16 << 20;
    let gateway = Gateway::start(&[]).await;
    let length = format!("content-length: {LENGTH}\r\n");
    for (line, fields, expected) in [
        ("POST /ignored", &*length, "HTTP/1.1 413 "),
        ("POST /", &format!("{length}x-long: {}\r\n", "x".repeat(70_000)), "HTTP/1.1 431 "),
    ] {
        for _ in 0..20 {
            let mut tcp = gateway.connect().await;
            tcp.write_all(gateway.head(line, fields).as_bytes()).await.unwrap();
            tcp.write_all(&vec![0; LENGTH]).await.unwrap();
            let head = read_until(&mut tcp, "\r\n\r\n").await;
            assert!(head.starts_with(expected), "{head}");
            // And the connection can be used again.
            tcp.write_all(gateway.head("HEAD /", "connection: close\r\n").as_bytes())
                .await
                .unwrap();
            let mut rest = String::new();
            tcp.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains("HTTP/1.1 200 OK\r\n"), "{rest}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_are_sent_again_when_the_app_has_not_got_them() {
    let gateway = Gateway::start(&[]).await;
    let proxy = &gateway.setup.proxy;
    proxy.plan([Fate::Reset(steve_sdk::ResetCode::REFUSED)]);
    let post = gateway.head("POST /", "content-length: 4\r\nconnection: close\r\n") + "body";
    assert!(gateway.raw(&post).await.contains("\r\nbody\r\n"));
    // Without proof they are not.
    proxy.plan([Fate::ForgedBefore(503)]);
    assert_eq!(own_code(&gateway.raw(&post).await), "outer_status");

    // A body that comes in pieces does not wait to be whole.
    let mut tcp = gateway.connect().await;
    let (first, last) = post.split_at(post.len() - 2);
    tcp.write_all(first.as_bytes()).await.unwrap();
    read_until(&mut tcp, "\r\n2\r\nbo\r\n").await;
    tcp.write_all(last.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut tcp, "0\r\n\r\n").await, "2\r\ndy\r\n0\r\n\r\n");
}
