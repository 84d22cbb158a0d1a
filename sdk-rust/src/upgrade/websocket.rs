use super::{UpgradeError, Upgraded};
use crate::client::Client;
use crate::error::{Error, InvalidRequest};
use futures_util::future::BoxFuture;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use std::future::IntoFuture;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A WebSocket in the making; see [`Client::websocket`]. Await it to open the WebSocket.
#[must_use = "a WebSocket is opened when this is awaited"]
pub struct WebSocketBuilder {
    client: Client,
    request: Result<Request<()>, InvalidRequest>,
    config: Option<WebSocketConfig>,
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The app refused it, or could not be asked.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The app's answer is no answer to this WebSocket's handshake (RFC 6455, Section 4.1).
    #[error("the app's answer to the WebSocket handshake is not valid: {0}")]
    Handshake(&'static str),
}

impl WebSocketBuilder {
    pub(super) fn new(client: Client, uri: &str) -> Self {
        let request = uri.parse::<Uri>().map_err(|_| InvalidRequest::Uri).map(|uri| {
            let mut request = Request::new(());
            *request.uri_mut() = uri;
            request
        });
        Self { client, request, config: None }
    }

    /// Adds a field.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: std::fmt::Display>,
        V: TryInto<HeaderValue, Error: std::fmt::Display>,
    {
        if let Ok(request) = &mut self.request {
            let name = name.try_into().map_err(|error| InvalidRequest::Http(error.to_string()));
            let value = value.try_into().map_err(|error| InvalidRequest::Http(error.to_string()));
            match (name, value) {
                (Ok(name), Ok(value)) => {
                    request.headers_mut().append(name, value);
                }
                (Err(error), _) | (_, Err(error)) => self.request = Err(error),
            }
        }
        self
    }

    /// Offers a subprotocol, after those offered before. The response says which one the app chose.
    pub fn subprotocol(self, name: &str) -> Self {
        self.header(SEC_WEBSOCKET_PROTOCOL, name)
    }

    /// Limits and buffers of the WebSocket. Without this: those of `tungstenite`, messages of at most
    /// 64 MiB.
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = Some(config);
        self
    }

    async fn open(self) -> Result<(WebSocketStream<Upgraded>, Response<()>), WebSocketError> {
        let mut request = self.request.map_err(|error| UpgradeError::from(Error::from(error)))?;
        let key = generate_key();
        let fields = request.headers_mut();
        let offered = fields.clone();
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let value = HeaderValue::from_str(&key).map_err(|_| WebSocketError::Handshake("key"))?;
        fields.insert(SEC_WEBSOCKET_KEY, value);
        let (response, upgraded) = self.client.upgrade(request).await?;
        check(&key, &offered, response.headers()).map_err(WebSocketError::Handshake)?;
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, self.config).await;
        Ok((socket, response))
    }
}

impl IntoFuture for WebSocketBuilder {
    type Output = Result<(WebSocketStream<Upgraded>, Response<()>), WebSocketError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// Holds the app's answer to RFC 6455, Section 4.1.
fn check(key: &str, offered: &HeaderMap, answer: &HeaderMap) -> Result<(), &'static str> {
    let accept = answer.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err("sec-websocket-accept does not belong to the request");
    }
    if answer.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it uses an extension that was not offered");
    }
    let mut chosen = answer.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let Some(protocol) = chosen.next() else { return Ok(()) };
    let was_offered = offered
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|name| name.trim_ascii() == protocol.as_bytes());
    match was_offered && chosen.next().is_none() {
        true => Ok(()),
        false => Err("it chooses a subprotocol that was not offered"),
    }
}
