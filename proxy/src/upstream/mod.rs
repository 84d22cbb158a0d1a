//! The connections to the app.

mod body;
mod connector;
mod http1;
mod http2;

pub(crate) use body::ResponseBody;
pub(crate) use connector::{AppConnection, AppConnector};

use crate::body::AppBody;
use crate::error::StartError;
use crate::idempotent::KeyError;
use crate::limits::Limits;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

/// What the app speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Where the app is, as the configuration says it.
#[derive(Clone, Debug)]
pub(crate) struct AppAddress {
    pub(crate) protocol: AppProtocol,
    pub(crate) authority: Authority,
}

impl fmt::Display for AppAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            AppProtocol::Http1 => "http",
            AppProtocol::Http2 => "h2c",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// Sends requests to the app.
pub(crate) struct Upstream {
    protocol: Protocol,
    address: AppAddress,
    connector: AppConnector,
}

enum Protocol {
    Http1(Box<http1::Http1>),
    Http2(http2::Http2),
}

/// A response head that is to come. Dropping it cancels the exchange.
pub(crate) type Exchange = Pin<Box<dyn Future<Output = Result<AppResponse, SendError>> + Send>>;

/// The app's response.
pub(crate) type AppResponse = Response<ResponseBody>;

/// Why there is no response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// There is no connection: the app did not get the request.
    Unreachable,
    /// What came is no response, or leaves in doubt where it ends.
    Malformed,
    /// The exchange broke off. The app may have seen the request.
    Failed,
    /// The app took too long over a request with an idempotency key.
    Timeout,
    /// There is no memory for a request with an idempotency key: the app did not get it.
    NoRoom,
    /// A request with an idempotency key is not executed.
    Key(KeyError),
}

/// Gets the interim responses of an exchange.
pub(crate) trait OnInterim: Fn(StatusCode, &HeaderMap) + Send + Sync + 'static {}
impl<F: Fn(StatusCode, &HeaderMap) + Send + Sync + 'static> OnInterim for F {}

impl Upstream {
    pub(crate) fn new(address: AppAddress, limits: &Limits) -> Result<Self, StartError> {
        let at = uri(address.authority.clone(), PathAndQuery::from_static("/"));
        let at = at.map_err(|error| StartError::System(io::Error::other(error)))?;
        let connector = AppConnector::new(at, limits);
        let protocol = match address.protocol {
            AppProtocol::Http1 => Protocol::Http1(Box::new(http1::Http1::new(&connector, limits))),
            AppProtocol::Http2 => Protocol::Http2(http2::Http2::new(&connector, limits)),
        };
        Ok(Self { protocol, address, connector })
    }

    /// What the app speaks.
    pub(crate) fn protocol(&self) -> AppProtocol {
        self.address.protocol
    }

    /// Host and port of the app.
    #[cfg(feature = "e2p-v2")]
    pub(crate) fn authority(&self) -> &Authority {
        &self.address.authority
    }

    /// Whether the app can be connected to.
    pub(crate) fn connector(&self) -> &AppConnector {
        &self.connector
    }

    /// The URI of a request to `path` of `authority`, which in HTTP/1.1 is the `host` field's.
    pub(crate) fn uri(&self, authority: Authority, path: PathAndQuery) -> Result<Uri, http::Error> {
        match self.address.protocol {
            AppProtocol::Http1 => uri(self.address.authority.clone(), path),
            AppProtocol::Http2 => uri(authority, path),
        }
    }

    /// Starts an exchange.
    pub(crate) fn send(&self, request: Request<AppBody>, on_interim: impl OnInterim) -> Exchange {
        match &self.protocol {
            Protocol::Http1(app) => app.send(request, on_interim),
            Protocol::Http2(app) => app.send(request, on_interim),
        }
    }
}

fn uri(authority: Authority, path: PathAndQuery) -> Result<Uri, http::Error> {
    Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build()
}
