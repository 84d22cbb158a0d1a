//! Connections that change to another protocol: in the SDK, and through `steve connect`.

use crate::app::Ending;
use crate::gateway::{Gateway, read_until};
use crate::outer::{both, client_of};
use crate::proxy::Fate;
use crate::support::{eventually, pair};
use futures_util::{SinkExt, StreamExt};
use http::Request;
use std::io::ErrorKind;
use steve_sdk::{
    Client, Error, InvalidRequest, Receipt, ResetCode, UpgradeError, Upgraded, WebSocketError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

async fn upgrade(client: &Client, path: &str) -> Result<Upgraded, UpgradeError> {
    let request = Request::get(path).header("upgrade", "raw").header("connection", "upgrade");
    client.upgrade(request.body(()).unwrap()).await.map(|(response, upgraded)| {
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["x-protocol"], "raw");
        assert!(response.extensions().get::<Receipt>().is_some());
        upgraded
    })
}

#[tokio::test]
async fn bytes_go_both_ways_and_directions_end_one_by_one() {
    for proxy in both().await {
        let mut raw = upgrade(&client_of(&proxy), "/raw").await.unwrap();
        let mut buffer = [0; 4];
        for _ in 0..3 {
            raw.write_all(b"ping").await.unwrap();
            raw.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"ping");
        }
        raw.shutdown().await.unwrap();
        let mut rest = String::new();
        raw.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, " and over");
        assert_eq!(raw.read(&mut buffer).await.unwrap(), 0);
        let error = raw.write_all(b"late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_both_ways_at_once() {
    let (_proxy, client) = pair().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 997) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(upgrade(&client, "/raw").await.unwrap());
    let data = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&data).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    assert!(received.strip_suffix(b" and over").unwrap() == sent);
}

#[tokio::test]
async fn row_06_a_connection_that_breaks_never_ends_cleanly() {
    let (proxy, client) = pair().await;
    let mut raw = upgrade(&client, "/raw-resets").await.unwrap();
    raw.write_all(b"ping").await.unwrap();
    let mut read = Vec::new();
    for _ in 0..2 {
        let error = raw.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(read, b"ping");

    let mut raw = upgrade(&client, "/raw").await.unwrap();
    raw.write_all(b"ping").await.unwrap();
    raw.read_exact(&mut [0; 4]).await.unwrap();
    proxy.cut_connections();
    let error = raw.read_to_end(&mut read).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn refusals_are_responses_and_dropping_tells_the_app() {
    let (proxy, client) = pair().await;
    let request = Request::get("/trailers").header("upgrade", "raw").body(()).unwrap();
    let error = client.upgrade(request).await.unwrap_err();
    let UpgradeError::Refused(response) = error else { panic!("{error}") };
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().bytes().await.unwrap(), "body");

    let error = client.upgrade(Request::get("/raw").body(()).unwrap()).await.unwrap_err();
    let invalid =
        matches!(error, UpgradeError::Failed(Error::InvalidRequest(InvalidRequest::Head(_))));
    assert!(invalid, "{error}");

    drop(upgrade(&client, "/raw").await.unwrap());
    eventually("the app is told", || {
        proxy.app.endings.lock().unwrap().last() == Some(&Ending::Truncated)
    })
    .await;
}

#[tokio::test]
async fn row_08_a_request_to_upgrade_is_not_safe() {
    let (proxy, client) = pair().await;
    let asked = || proxy.app.requests.lock().unwrap().len();
    for code in [ResetCode::REFUSED, ResetCode::SESSION_ENDING] {
        proxy.plan([Fate::Reset(code)]);
        drop(upgrade(&client, "/raw").await.unwrap());
    }
    assert_eq!(asked(), 2);
    for fate in [Fate::CutTo(0), Fate::Reset(ResetCode::TRUNCATED)] {
        let before = asked();
        proxy.plan([fate]);
        let error = upgrade(&client, "/raw").await.unwrap_err();
        assert!(matches!(error, UpgradeError::Failed(Error::Channel(_))), "{fate:?}: {error}");
        let dispatched = matches!(fate, Fate::CutTo(_));
        assert_eq!(asked() - before, usize::from(dispatched), "{fate:?}");
    }

    // The proxy has lost the session, or says so.
    proxy.enclave.forget_sessions();
    let error = upgrade(&client, "/raw").await.unwrap_err();
    assert!(matches!(error, UpgradeError::Failed(Error::Outer { .. })), "{error}");
    let error = client.websocket("/never-101").await.unwrap_err();
    assert!(matches!(error, WebSocketError::Upgrade(UpgradeError::Refused(_))), "{error}");

    // After 101 there is the connection, and what becomes of it.
    let before = asked();
    let mut raw = upgrade(&client, "/raw-resets").await.unwrap();
    raw.write_all(b"ping").await.unwrap();
    raw.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(asked() - before, 1);
}

#[tokio::test]
async fn websockets() {
    let (_proxy, client) = pair().await;
    let builder = client.websocket("/websocket").subprotocol("one").subprotocol("two");
    let (mut socket, response) = builder.await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "two");
    for text in ["hello".to_owned(), "x".repeat(200_000)] {
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text.as_str());
    }
    socket.close(None).await.unwrap();

    let error = client.websocket("/websocket").subprotocol("one").await.unwrap_err();
    assert!(matches!(error, WebSocketError::Handshake(_)), "{error}");
    let error = client.websocket("/raw").await.unwrap_err();
    assert!(matches!(error, WebSocketError::Handshake(_)), "{error}");
    let error = client.websocket("/redirect").await.unwrap_err();
    let WebSocketError::Upgrade(UpgradeError::Refused(response)) = error else { panic!("{error}") };
    assert_eq!(response.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_carries_websockets() {
    let mut gateway = Gateway::start(&["-v", "--idle-timeout", "1"]).await;
    let url = format!("ws://{}/websocket", gateway.address);
    let (mut socket, _) =
        tokio_tungstenite::client_async(url, gateway.connect().await).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "hello");
    drop(socket);
    let line = gateway.line().await;
    assert!(line.starts_with("GET /websocket HTTP/1.1 101 "), "{line}");

    let fields = "connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n";
    let mut tcp = gateway.connect().await;
    tcp.write_all(gateway.head("GET /raw", fields).as_bytes()).await.unwrap();
    let head = read_until(&mut tcp, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket"), "{head}");
    tcp.write_all(b"ping").await.unwrap();
    read_until(&mut tcp, "ping").await;
    tcp.shutdown().await.unwrap();
    assert_eq!(read_until(&mut tcp, "over").await, " and over");
    assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0);

    let answer = gateway.raw(&gateway.head("GET /redirect", fields)).await;
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
}
