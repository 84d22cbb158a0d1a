use http::header::HOST;
use http::request;
use std::net::SocketAddr;
use steve_sdk::Origin;

/// The hosts that requests may name.
///
/// A web page can make a browser send requests to this computer under the name of the page's own
/// host (DNS rebinding), and would read the answers; such a name is not among these.
pub(super) struct Hosts {
    /// The service, and the gateway under its local names.
    admitted: Vec<Origin>,
    service_scheme: &'static str,
}

impl Hosts {
    /// `addresses` are those that the gateway is reached at.
    pub(super) fn new(service: &Origin, addresses: [SocketAddr; 2]) -> Self {
        let port = addresses[0].port();
        let names = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
        let local = names.into_iter().chain(addresses.map(|address| address.to_string()));
        let mut admitted = vec![service.clone()];
        admitted.extend(local.filter_map(|host| Origin::parse(&format!("http://{host}")).ok()));
        Self { admitted, service_scheme: service.scheme() }
    }

    /// True when the request names a host, and none that is not admitted.
    pub(super) fn admit(&self, request: &request::Parts) -> bool {
        let fields = request.headers.get_all(HOST).iter().map(|value| value.to_str().ok());
        let authority = request.uri.authority().map(|authority| Some(authority.as_str()));
        let mut names = authority.into_iter().chain(fields).peekable();
        names.peek().is_some() && names.all(|name| name.is_some_and(|name| self.is_admitted(name)))
    }

    fn is_admitted(&self, name: &str) -> bool {
        ["http", self.service_scheme].iter().any(|scheme| {
            Origin::split(&format!("{scheme}://{name}"))
                .is_ok_and(|(origin, rest)| rest.is_empty() && self.admitted.contains(&origin))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn admits(listen: &str, target: &str, hosts: &[&str]) -> bool {
        let service = Origin::parse("https://app.example.com").unwrap();
        let listen = listen.parse().unwrap();
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Hosts::new(&service, [listen, listen]).admit(&parts)
    }

    #[test]
    fn the_gateway_and_the_service_only() {
        for host in [
            "127.0.0.1:8100",
            "localhost:8100",
            "LOCALHOST:8100",
            "[::1]:8100",
            "10.0.0.7:8100",
            "app.example.com",
            "app.example.com:443",
        ] {
            assert!(admits("10.0.0.7:8100", "/", &[host]), "{host}");
        }
        for host in [
            "",
            "evil.example.com",
            "evil.example.com:8100",
            "127.0.0.1",
            "127.0.0.1:8101",
            "localhost.evil.example.com:8100",
            "me@127.0.0.1:8100",
            "127.0.0.1:8100/",
            "127.0.0.1:8100#",
            "app.example.com:80",
        ] {
            assert!(!admits("10.0.0.7:8100", "/", &[host]), "{host}");
        }
        assert!(admits("127.0.0.1:80", "/", &["localhost"]));
    }

    #[test]
    fn every_name_counts_and_one_is_needed() {
        let listen = "127.0.0.1:8100";
        assert!(!admits(listen, "/", &[]));
        assert!(!admits(listen, "/", &[listen, "evil.example.com"]));
        assert!(admits(listen, "http://127.0.0.1:8100/", &[]));
        assert!(admits(listen, "http://127.0.0.1:8100/", &["app.example.com"]));
        assert!(!admits(listen, "http://evil.example.com/", &[listen]));
    }
}
