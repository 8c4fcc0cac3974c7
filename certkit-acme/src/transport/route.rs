//! From a URL to a connection: directly or through a proxy.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use certkit_core::CrlReach;
use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tower_service::Service;

use super::connect::{BoxError, Connecting, Reach, Tcp, bare_host};
use super::servers::Servers;
use super::stream::Stream;
use super::{TransportError, TransportSettings};

/// Finds the way to a host and goes it. TLS with the host itself is laid over this by hyper-rustls.
#[derive(Clone)]
pub(super) struct Route {
    proxies: Arc<Matcher>,
    tls: ClientConfig,
    connect_timeout: Duration,
    purpose: Purpose,
    servers: Arc<Servers>,
}

/// What the connections are for: it decides where they may lead.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// ACME: https anywhere, plain http to loopback alone.
    Acme,
    /// Revocation lists.
    Crl(CrlReach),
}

impl Route {
    pub(super) fn new(
        settings: &TransportSettings,
        tls: ClientConfig,
        purpose: Purpose,
        servers: Arc<Servers>,
    ) -> Result<Self, TransportError> {
        let proxies = Arc::new(proxies(settings)?);
        Ok(Self { proxies, tls, connect_timeout: settings.connect_timeout, purpose, servers })
    }

    /// The same with TLS where the URL says https. HTTP/2 is offered to CAs, of which a run may ask thousands of small
    /// things; of a server of lists it wants one file.
    pub(super) fn with_tls(self) -> HttpsConnector<Self> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http().enable_http1();
        match self.purpose {
            Purpose::Acme => builder.enable_http2().wrap_connector(self),
            Purpose::Crl(_) => builder.wrap_connector(self),
        }
    }

    /// `Proxy-Authorization` for a plain http request, which goes to the proxy as it is. Where TLS or SOCKS tunnels lead
    /// through a proxy, the tunnel has said it already.
    pub(super) fn proxy_authorization(&self, target: &Uri) -> Option<HeaderValue> {
        let proxy = self.proxy(target).filter(|proxy| !is_https(target) && !is_socks(proxy))?;
        proxy.basic_auth().cloned()
    }

    fn proxy(&self, target: &Uri) -> Option<Intercept> {
        if is_loopback(target) { None } else { self.proxies.intercept(target) }
    }

    async fn connect(self, target: Uri) -> Result<Stream, BoxError> {
        let server = self.servers.of(&target);
        Ok(self.find(target).await?.counted(&server))
    }

    async fn find(self, target: Uri) -> Result<Stream, BoxError> {
        let timeout = self.connect_timeout;
        let reach = match self.purpose {
            // `localhost` is a name like any other to a resolver; what counts is where it leads.
            Purpose::Acme if !is_https(&target) => {
                return Ok(Stream::new(Tcp { reach: Reach::Loopback, timeout }.connect(&target).await?));
            }
            Purpose::Acme => Reach::Anywhere,
            Purpose::Crl(reach) => Reach::Crl(reach),
        };
        // A proxy is the owner's own, wherever it is.
        let to_proxy = Tcp { reach: Reach::Anywhere, timeout };
        match self.proxy(&target) {
            None => Ok(Stream::new(Tcp { reach, timeout }.connect(&target).await?)),
            Some(proxy) if !is_https(&target) && !is_socks(&proxy) => self.to_proxy(&proxy, to_proxy).await,
            Some(proxy) => self.through(&proxy, to_proxy, target).await,
        }
    }

    /// A connection to the proxy itself, for plain http: many refuse tunnels to port 80.
    async fn to_proxy(&self, proxy: &Intercept, tcp: Tcp) -> Result<Stream, BoxError> {
        let at = proxy.uri().clone();
        let failed = |error| failed(&at, error);
        let stream = if is_https(&at) {
            Stream::new(TokioIo::new(self.tls_to_proxy(tcp).call(at.clone()).await.map_err(failed)?))
        } else {
            Stream::new(tcp.connect(&at).await.map_err(failed)?)
        };
        Ok(stream.proxied())
    }

    fn tls_to_proxy(&self, tcp: Tcp) -> HttpsConnector<Tcp> {
        HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_only().enable_http1().wrap_connector(tcp)
    }

    async fn through(&self, proxy: &Intercept, direct: Tcp, target: Uri) -> Result<Stream, BoxError> {
        let at = proxy.uri().clone();
        let failed = |error: BoxError| failed(&at, error);
        let credentials = proxy.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
        match at.scheme_str() {
            Some(scheme @ ("socks4" | "socks4a")) => {
                let mut socks = SocksV4::new(at.clone(), direct).local_dns(scheme == "socks4");
                Ok(Stream::new(socks.call(target).await.map_err(|error| failed(error.into()))?.into_inner()))
            }
            Some(scheme @ ("socks5" | "socks5h")) => {
                let mut socks = SocksV5::new(at.clone(), direct).local_dns(scheme == "socks5");
                if let Some((user, password)) = credentials {
                    socks = socks.with_auth(user, password);
                }
                Ok(Stream::new(socks.call(target).await.map_err(|error| failed(error.into()))?.into_inner()))
            }
            Some("https") => {
                let mut tunnel = Tunnel::new(at.clone(), self.tls_to_proxy(direct));
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                Ok(Stream::new(TokioIo::new(tunnel.call(target).await.map_err(|error| failed(error.into()))?)))
            }
            _ => {
                let mut tunnel = Tunnel::new(at.clone(), direct);
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                Ok(Stream::new(tunnel.call(target).await.map_err(|error| failed(error.into()))?.into_inner()))
            }
        }
    }
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting<Stream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().connect(target))
    }
}

/// Checks the proxy settings: one that cannot be used must not quietly mean "no proxy".
fn proxies(settings: &TransportSettings) -> Result<Matcher, TransportError> {
    let chosen = |value: &Option<String>| value.clone().unwrap_or_default().trim().to_owned();
    let (https, http) = (chosen(&settings.https_proxy), chosen(&settings.http_proxy));
    let probe = Uri::from_static("https://ca.invalid/");
    for (setting, value) in [("https_proxy", &https), ("http_proxy", &http)] {
        let usable = || Matcher::builder().https(value.clone()).build().intercept(&probe).is_some();
        if !value.is_empty() && !usable() {
            return Err(TransportError::Proxy { setting });
        }
    }
    Ok(Matcher::builder().https(https).http(http).no(chosen(&settings.no_proxy)).build())
}

fn is_loopback(target: &Uri) -> bool {
    let host = bare_host(target);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_https(target: &Uri) -> bool {
    target.scheme_str() == Some("https")
}

fn is_socks(proxy: &Intercept) -> bool {
    proxy.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks"))
}

fn failed(proxy: &Uri, source: BoxError) -> BoxError {
    let named = format!("proxy {}", proxy.authority().map_or("", |authority| authority.as_str()));
    Box::new(ThroughProxy { named, source })
}

#[derive(Debug, thiserror::Error)]
#[error("{named}")]
struct ThroughProxy {
    named: String,
    source: BoxError,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(https_proxy: &str, no_proxy: &str) -> TransportSettings {
        TransportSettings {
            https_proxy: Some(https_proxy.into()),
            no_proxy: Some(no_proxy.into()),
            ..TransportSettings::new()
        }
    }

    #[test]
    fn an_unusable_proxy_is_refused_without_showing_it() {
        for bad in ["ftp://user:hunter2@proxy", "http://user:hunter2@", ":::"] {
            let problem = proxies(&settings(bad, "")).unwrap_err().to_string();
            assert!(problem.contains("https_proxy") && !problem.contains("hunter2"), "{problem}");
        }
        for good in ["http://proxy:3128", "proxy:3128", "https://u:p@proxy", "socks5h://127.0.0.1:9050", ""] {
            assert!(proxies(&settings(good, "")).is_ok(), "{good}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_that_are_reached_directly() {
        let matcher = proxies(&settings("http://proxy:3128", "internal.example, 192.0.2.0/24")).unwrap();
        let proxied = |url: &str| matcher.intercept(&url.parse().unwrap()).is_some();
        assert!(proxied("https://ca.example/"));
        assert!(!proxied("https://ca.internal.example/"));
        assert!(!proxied("https://192.0.2.7/"));
    }

    #[test]
    fn loopback_is_recognised_in_every_form() {
        for (url, loopback) in [
            ("https://localhost:1/", true),
            ("https://127.8.9.1/", true),
            ("https://[::1]:14000/", true),
            ("https://localhost.example/", false),
            ("https://128.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }
}
