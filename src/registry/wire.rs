//! One HTTP exchange: redirects, limits, and which secrets may go where.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Method;
use url::{Host as UrlHost, Url};

use super::answer::{Answer, Asker};
use super::clients::{Trust, is_loopback};
use super::host::Host;
use super::network::network_fault;
use super::options::HostSettings;
use super::shown::{Shown, authority};
use crate::execute::ports::RegistryFault;

/// How many redirects are followed (as Go's client does).
const REDIRECTS: usize = 10;

/// A request that may be sent more than once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
    pub(super) authorization: Option<&'a HeaderValue>,
}

impl Host {
    /// Sends a request and follows where it is sent on. `Authorization` goes to the first origin
    /// only; only requests without effect may leave it.
    pub(super) async fn follow(
        &self,
        request: Request<'_>,
    ) -> Result<reqwest::Response, RegistryFault> {
        let mut url = request.url.clone();
        let mut authorization = request.authorization;
        for _ in 0..=REDIRECTS {
            let mut headers = request.headers.clone();
            if let Some(value) = authorization {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let client = self.client(&url)?;
            let mut builder = client
                .request(request.method.clone(), url.clone())
                .headers(headers);
            if !matches!(*request.method, Method::GET | Method::HEAD) {
                builder = builder.body(request.body.clone());
            }
            let sent = builder.send().await;
            let response = sent.map_err(|error| network_fault(&error, &authority(&url)))?;
            let Some(next) = next_hop(request.method, &url, &response)? else {
                return Ok(response);
            };
            if !same_origin(&url, &next) {
                authorization = None;
            }
            url = next;
        }
        Err(RegistryFault::Protocol {
            message: format!(
                "more than {REDIRECTS} redirects from {}",
                Shown(request.url)
            ),
        })
    }

    /// The client for a URL: its own settings where it has some, else those of this registry.
    pub(super) fn client(&self, url: &Url) -> Result<reqwest::Client, RegistryFault> {
        let clients = &self.common.clients;
        let host = authority(url);
        let is_own = |own: &Url| authority(own) == host;
        let own = Url::parse(&format!("{}://{}", url.scheme(), self.api));
        if own.is_ok_and(|own| is_own(&own)) {
            return clients.serving(url, Trust::Registry(self.name.clone()), &self.settings);
        }
        if let Some(settings) = self.common.options.hosts.get(&host) {
            return clients.serving(url, Trust::Registry(host), settings);
        }
        let settings = HostSettings {
            client_cert: None,
            client_key: None,
            ..self.settings.clone()
        };
        clients.serving(url, Trust::Sibling(self.name.clone()), &settings)
    }
}

/// Where an answer sends a request on to, `None` where it is the answer itself.
fn next_hop(
    method: &Method,
    from: &Url,
    response: &reqwest::Response,
) -> Result<Option<Url>, RegistryFault> {
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    let is_redirect = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => is_safe,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => false,
    };
    let location = response.headers().get(LOCATION);
    let (true, Some(location)) = (is_redirect, location) else {
        return Ok(None);
    };
    let next = resolve(from, location)?;
    if !is_safe && !same_origin(from, &next) {
        return Err(RegistryFault::Protocol {
            message: format!("a write is sent on to another host, {}", authority(&next)),
        });
    }
    Ok(Some(next))
}

/// Reads a `Location` against the URL that it came from, without a login in it, and never from
/// TLS down to plain HTTP: that is refused for another host, and for the same host taken for what
/// it is, a proxy that forgot to say that it speaks TLS.
pub(super) fn resolve(from: &Url, location: &HeaderValue) -> Result<Url, RegistryFault> {
    let wrong = |what: &str| RegistryFault::Protocol {
        message: format!("{what} from {}", Shown(from)),
    };
    let location = location
        .to_str()
        .map_err(|_| wrong("an unreadable location"))?;
    let mut url = from
        .join(location)
        .map_err(|_| wrong("a malformed location"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("a location that is no HTTP URL"));
    }
    let removed = url.set_username("").and_then(|()| url.set_password(None));
    removed.map_err(|()| wrong("a location without a host"))?;
    url.set_fragment(None);
    if from.scheme() == "https" && url.scheme() == "http" {
        let is_same =
            url.host() == from.host() && (url.port().is_none() || url.port() == from.port());
        if !is_same {
            return Err(wrong("a redirect down to plain HTTP"));
        }
        let port = from.port();
        let upgraded = url.set_scheme("https").and_then(|()| url.set_port(port));
        upgraded.map_err(|()| wrong("a redirect down to plain HTTP"))?;
    }
    check_reach(from, &url).map_err(wrong)?;
    Ok(url)
}

/// Refuses to be sent to a link-local address, where clouds keep their metadata service, and from a
/// registry elsewhere to this machine, unless that registry is one without TLS on somebody's desk.
pub(super) fn check_reach(from: &Url, to: &Url) -> Result<(), &'static str> {
    if to.host() == from.host() {
        return Ok(());
    }
    let is_link_local = match to.host() {
        Some(UrlHost::Ipv4(address)) => address.is_link_local() || address.is_unspecified(),
        Some(UrlHost::Ipv6(address)) => address.is_unicast_link_local() || address.is_unspecified(),
        _ => false,
    };
    let is_outside = from.scheme() == "https" && !is_loopback(from);
    if is_link_local || is_loopback(to) && is_outside {
        return Err("a redirect to an internal address");
    }
    Ok(())
}

/// Whether two URLs have the same scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Reads an answer of at most `limit` bytes.
pub(super) async fn bounded(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Answer, RegistryFault> {
    let (status, url) = (response.status(), response.url().clone());
    let headers = response.headers().clone();
    refuse_encoding(&headers)?;
    let too_long = || RegistryFault::Protocol {
        message: format!("an answer of more than {limit} bytes"),
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 && response.status() != StatusCode::NO_CONTENT {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| network_fault(&error, &authority(&url)))?;
        let Some(chunk) = chunk else {
            break;
        };
        if body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        headers,
        body: body.freeze(),
        url,
        asker: Asker::Nobody,
    })
}

/// Nothing compressed was asked for, and what is compressed on the way has another digest.
pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), RegistryFault> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(RegistryFault::Protocol {
            message: "the body is compressed, which was not asked for".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Waits at most `limit` for `work`.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RegistryFault>>,
) -> Result<T, RegistryFault> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(RegistryFault::TimedOut { after: limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(from: &str, location: &str) -> Result<String, String> {
        let from = Url::parse(from).unwrap();
        let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
        resolve(&from, &location)
            .map(String::from)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn locations_are_relative_or_absolute() {
        let from = "https://r.example/v2/a/blobs/uploads/";
        assert_eq!(
            go(from, "/v2/a/blobs/uploads/1?_state=x").unwrap(),
            "https://r.example/v2/a/blobs/uploads/1?_state=x"
        );
        assert_eq!(
            go(from, "https://me:pw@s3.example/x#y").unwrap(),
            "https://s3.example/x"
        );
    }

    #[test]
    fn tls_is_kept_on_the_same_host_and_never_given_up_for_another() {
        let from = "https://r.example:5000/v2/";
        assert_eq!(
            go(from, "http://r.example/v2/x").unwrap(),
            "https://r.example:5000/v2/x"
        );
        assert_eq!(
            go(from, "http://r.example:5000/v2/x").unwrap(),
            "https://r.example:5000/v2/x"
        );
        for location in ["http://s3.example/x", "http://r.example:81/x"] {
            let error = go(from, location).unwrap_err();
            assert!(error.contains("down to plain HTTP"), "{error}");
        }
        assert_eq!(
            go("http://r.lan/v2/", "http://s3.lan/x").unwrap(),
            "http://s3.lan/x"
        );
    }

    #[test]
    fn nobody_sends_us_to_internal_addresses() {
        for location in [
            "https://127.0.0.1/x",
            "https://localhost:1/x",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/x",
            "https://0.0.0.0/",
        ] {
            let error = go("https://r.example/v2/", location).unwrap_err();
            assert!(error.contains("internal address"), "{location}: {error}");
        }
        assert!(go("http://127.0.0.1:1/v2/", "http://127.0.0.1:2/x").is_ok());
        assert!(go("http://r.lan/v2/", "http://localhost:2/x").is_ok());
        assert!(go("https://10.0.0.1/v2/", "https://10.0.0.2/x").is_ok());
    }

    #[test]
    fn other_schemes_are_refused() {
        for location in ["file:///etc/passwd", "ftp://h/x", "data:text/plain,x"] {
            assert!(go("https://r.example/v2/", location).is_err(), "{location}");
        }
    }
}
