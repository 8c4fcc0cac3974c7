//! From a URL to a connection: directly or through a proxy.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{TransportError, TransportSettings};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Finds the way to a host and goes it. TLS with the host itself is laid over this by hyper-rustls.
#[derive(Clone)]
pub(super) struct Route {
    proxies: Arc<Matcher>,
    tls: ClientConfig,
    connect_timeout: Duration,
}

impl Route {
    pub(super) fn new(settings: &TransportSettings, tls: ClientConfig) -> Result<Self, TransportError> {
        let proxies = Arc::new(proxies(settings)?);
        Ok(Self { proxies, tls, connect_timeout: settings.connect_timeout })
    }

    /// The same with TLS where the URL says https.
    pub(super) fn with_tls(self) -> HttpsConnector<Self> {
        // HTTP/1.1 alone: every CA speaks it (certbot speaks nothing else), and its bounds are the simpler ones.
        let tls = self.tls.clone();
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(self)
    }

    async fn connect(self, target: Uri) -> Result<Stream, BoxError> {
        let direct = Tcp { reach: Reach::Anywhere, timeout: self.connect_timeout };
        if target.scheme_str() != Some("https") {
            // `localhost` is a name like any other to a resolver; what counts is where it leads.
            return Ok(Stream::new(Tcp { reach: Reach::Loopback, ..direct }.connect(&target).await?));
        }
        let proxy = if is_loopback(&target) { None } else { self.proxies.intercept(&target) };
        match proxy {
            None => Ok(Stream::new(direct.connect(&target).await?)),
            Some(proxy) => self.through(&proxy, direct, target).await,
        }
    }

    async fn through(&self, proxy: &Intercept, direct: Tcp, target: Uri) -> Result<Stream, BoxError> {
        let at = proxy.uri().clone();
        let named = format!("proxy {}", at.authority().map_or("", |authority| authority.as_str()));
        let failed = |error: BoxError| -> BoxError { Box::new(ThroughProxy { named: named.clone(), source: error }) };
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
                let tls = HttpsConnectorBuilder::new()
                    .with_tls_config(self.tls.clone())
                    .https_only()
                    .enable_http1()
                    .wrap_connector(direct);
                let mut tunnel = Tunnel::new(at.clone(), tls);
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

fn bare_host(target: &Uri) -> &str {
    target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Plain TCP.
#[derive(Clone)]
struct Tcp {
    reach: Reach,
    timeout: Duration,
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Anywhere,
    Loopback,
}

impl Tcp {
    async fn connect(&self, target: &Uri) -> Result<TcpStream, BoxError> {
        let host = bare_host(target);
        let usual = match target.scheme_str() {
            Some("https") => 443,
            Some("socks4" | "socks4a" | "socks5" | "socks5h") => 1080,
            _ => 80,
        };
        let port = target.port_u16().unwrap_or(usual);
        connect(host, port, self.timeout, |address| self.reach == Reach::Anywhere || address.ip().is_loopback())
            .await
            .map_err(BoxError::from)
    }
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect(&target).await.map(TokioIo::new) })
    }
}

/// Connects to the first address of `host` that answers and that `may` allows; the error tells of every address.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    timeout: Duration,
    may: impl Fn(&SocketAddr) -> bool,
) -> io::Result<TcpStream> {
    let found: Vec<_> = tokio::time::timeout(timeout, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("the name {host} was not resolved in time")))?
        .map_err(|error| io::Error::new(error.kind(), format!("the name {host} does not resolve ({error})")))?
        .collect();
    if found.is_empty() {
        return Err(io::Error::other(format!("the name {host} has no address")));
    }
    let mut problems: Vec<String> = Vec::new();
    for address in found {
        if !may(&address) {
            problems.push(format!("{address}: not a loopback address, and plain http is for those alone"));
            continue;
        }
        match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small and answered one by one: waiting to fill packets only costs time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => problems.push(format!("{address}: {error}")),
            Err(_) => problems.push(format!("{address}: no answer within {} s", timeout.as_secs())),
        }
    }
    problems.dedup();
    Err(io::Error::other(format!("cannot connect: {}", problems.join(", "))))
}

#[derive(Debug, thiserror::Error)]
#[error("{named}")]
struct ThroughProxy {
    named: String,
    source: BoxError,
}

/// A connection, whatever lies under it.
pub(super) struct Stream(TokioIo<Box<dyn Io>>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Stream {
    fn new(io: impl Io + 'static) -> Self {
        Self(TokioIo::new(Box::new(io)))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
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

    #[tokio::test]
    async fn plain_http_does_not_leave_the_machine_even_when_the_name_does() {
        let problem = connect("192.0.2.1", 80, Duration::from_secs(1), |address| address.ip().is_loopback())
            .await
            .unwrap_err()
            .to_string();
        assert!(problem.contains("plain http is for those alone"), "{problem}");
    }
}
