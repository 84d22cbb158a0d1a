use super::Gateway;
use super::body::{Content, DownBody, Progress, UpBody};
use super::connection::Active;
use super::hosts::Hosts;
use super::line::Line;
use super::refusal::Refusal;
use super::upgrade::{self, Joint};
use super::wellformed;
use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use std::pin::pin;
use std::sync::Arc;
use steve_sdk::{Body, Error, RequestBody, UpgradeError, Upgraded};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// For statuses without a phrase that everybody knows.
const NO_REASON: ReasonPhrase = ReasonPhrase::from_static(b"");

/// Answers the requests of one connection.
pub(super) struct Forwarder {
    pub(super) gateway: Arc<Gateway>,
    pub(super) hosts: Hosts,
    /// The connection is one too many.
    pub(super) turned_away: bool,
    /// Takes the one upgrade that a connection can have.
    pub(super) joint: mpsc::Sender<Joint>,
}

impl Forwarder {
    /// The app's response, or the gateway's own. Dropping the future, or the body of the response,
    /// cancels the exchange.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        active: Active,
    ) -> Response<DownBody> {
        let (mut parts, incoming) = request.into_parts();
        let progress = Progress::begin();
        let mut line = self.gateway.verbose.then(|| Line::begin(&parts, progress.clone()));
        let local = upgrade::requested(&mut parts);
        let (body, rest) = UpBody::new(incoming, &parts, progress.clone());
        let answered = self.forward(parts, body, &progress, local.is_some()).await;
        let (mut response, permit, failure) = match answered {
            Ok((Answer::Response(response), permit)) => {
                (response.map(Content::App), Some(permit), None)
            }
            Ok((Answer::Upgraded(mut response, app), permit)) => {
                upgrade::answer(response.headers_mut());
                if let Some(local) = local {
                    if let Some(line) = &mut line {
                        line.answered(response.status(), None);
                    }
                    // There is room for the one upgrade of a connection.
                    let joint = Joint { local, app: *app, line: line.take(), _permit: permit };
                    let _ = self.joint.try_send(joint);
                }
                (response.map(|()| Content::Own(Bytes::new())), None, None)
            }
            Err(refusal) => {
                let own = refusal.answer().map(|text| Content::Own(Bytes::from(text)));
                (own, None, Some(refusal.code))
            }
        };
        if let Some(line) = &mut line {
            line.answered(response.status(), failure);
        }
        if response.status().canonical_reason().is_none() {
            response.extensions_mut().insert(NO_REASON);
        }
        response.map(|content| DownBody::new(content, line, rest, permit, active))
    }

    async fn forward(
        &self,
        parts: request::Parts,
        body: UpBody,
        progress: &Progress,
        upgrades: bool,
    ) -> Result<(Answer, OwnedSemaphorePermit), Refusal> {
        let gateway = &self.gateway;
        self.check(&parts, upgrades && !body.is_end_stream())?;
        let permit = gateway
            .requests
            .clone()
            .try_acquire_owned()
            .map_err(|_| Refusal::requests(gateway.limits.max_requests))?;
        let body = body.into_request_body(&parts);
        let request = to_service(parts, body);
        match self.within(progress, self.send(request, upgrades)).await? {
            Ok(answer) => Ok((answer, permit)),
            Err(error) => {
                let refusal = Refusal::from(&error);
                if error.is_policy_refusal() || error.is_evidence_invalid() {
                    // The first one ends the process.
                    let _ = gateway.refused.set(error);
                }
                Err(refusal)
            }
        }
    }

    /// What can be said of a request without the service.
    fn check(&self, request: &request::Parts, asks_and_sends: bool) -> Result<(), Refusal> {
        let limits = &self.gateway.limits;
        if self.turned_away {
            return Err(Refusal::connections(limits.max_connections));
        }
        if let Some(error) = self.gateway.refused.get() {
            return Err(error.into());
        }
        if request.version < Version::HTTP_11 {
            return Err(Refusal::version());
        }
        if head_size(request) > limits.max_head_size as usize {
            return Err(Refusal::head_too_large(limits.max_head_size));
        }
        if request.method == Method::CONNECT {
            return Err(Refusal::connect());
        }
        wellformed::check(request, asks_and_sends)?;
        if !self.hosts.admit(request) {
            return Err(Refusal::host(self.gateway.address));
        }
        Ok(())
    }

    async fn send(&self, request: Request<RequestBody>, upgrades: bool) -> Result<Answer, Error> {
        let client = &self.gateway.client;
        if !upgrades {
            return client.request(request).await.map(Answer::Response);
        }
        match client.upgrade(upgrade::ask(request)).await {
            Ok((response, app)) => Ok(Answer::Upgraded(response, Box::new(app))),
            Err(UpgradeError::Refused(response)) => Ok(Answer::Response(*response)),
            Err(UpgradeError::Failed(error)) => Err(error),
        }
    }

    /// Waits for a response as long as its request makes progress, and the head's time after that.
    async fn within<T>(
        &self,
        progress: &Progress,
        response: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let limit = self.gateway.head_timeout;
        let mut response = pin!(response);
        loop {
            let left = limit.saturating_sub(progress.last().elapsed());
            if let Ok(response) = timeout(left, response.as_mut()).await {
                return Ok(response);
            }
            if progress.last().elapsed() >= limit {
                return Err(Refusal::timeout(limit));
            }
        }
    }
}

/// What the app answered.
enum Answer {
    Response(Response<Body>),
    Upgraded(Response<()>, Box<Upgraded>),
}

/// The request as the SDK wants it: no name of the host, which is the origin's.
fn to_service(parts: request::Parts, body: RequestBody) -> Request<RequestBody> {
    let root = || PathAndQuery::from_static("/");
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::from(parts.uri.into_parts().path_and_query.unwrap_or_else(root));
    *request.method_mut() = parts.method;
    *request.headers_mut() = parts.headers;
    request.headers_mut().remove(HOST);
    join_cookies(request.headers_mut());
    request
}

/// HTTP/2 may split the one cookie field into several; HTTP/1 must not (RFC 9113, Section 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        fields.insert(COOKIE, whole);
    }
}

fn head_size(request: &request::Parts) -> usize {
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    request.method.as_str().len() + target + fields.sum::<usize>()
}
