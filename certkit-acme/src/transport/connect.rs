//! TCP to the first address of a name that answers.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use certkit_core::CrlReach;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::NetworkFailure;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Connects to the first address of `host` that answers and that `may` allows; the error tells of every address.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    timeout: Duration,
    may: impl Fn(&SocketAddr) -> bool,
) -> io::Result<TcpStream> {
    let refuse = "it may not be connected to";
    try_each(host, port, timeout, |address| if may(address) { Ok(()) } else { Err(refuse) }).await
}

/// Why there is no connection; inside an `io::Error`, in which it is found again.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(super) struct NoConnection {
    pub(super) kind: NetworkFailure,
    said: String,
}

impl NoConnection {
    pub(super) fn error(kind: NetworkFailure, said: String) -> io::Error {
        io::Error::other(Self { kind, said })
    }
}

/// Plain TCP.
#[derive(Clone)]
pub(super) struct Tcp {
    pub(super) reach: Reach,
    pub(super) timeout: Duration,
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    Loopback,
    Crl(CrlReach),
}

impl Reach {
    fn allows(self, address: IpAddr) -> Result<(), &'static str> {
        match self {
            Self::Anywhere => Ok(()),
            Self::Loopback if address.is_loopback() => Ok(()),
            Self::Loopback => Err("not a loopback address, and plain http is for those alone"),
            Self::Crl(reach) => reach.allows(address),
        }
    }
}

impl Tcp {
    pub(super) async fn connect(&self, target: &Uri) -> Result<TcpStream, BoxError> {
        let host = bare_host(target);
        let usual = match target.scheme_str() {
            Some("https") => 443,
            Some("socks4" | "socks4a" | "socks5" | "socks5h") => 1080,
            _ => 80,
        };
        let port = target.port_u16().unwrap_or(usual);
        Ok(try_each(host, port, self.timeout, |address| self.reach.allows(address.ip())).await?)
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

/// The host without the brackets of an IPv6 address.
pub(super) fn bare_host(target: &Uri) -> &str {
    target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

async fn try_each(
    host: &str,
    port: u16,
    timeout: Duration,
    may: impl Fn(&SocketAddr) -> Result<(), &'static str>,
) -> io::Result<TcpStream> {
    let unresolved = |said: String| NoConnection::error(NetworkFailure::NameNotResolved, said);
    let found: Vec<_> = tokio::time::timeout(timeout, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| unresolved(format!("the name {host} was not resolved in time")))?
        .map_err(|error| unresolved(format!("the name {host} does not resolve ({error})")))?
        .collect();
    if found.is_empty() {
        return Err(unresolved(format!("the name {host} has no address")));
    }
    let (mut problems, mut kinds) = (Vec::<String>::new(), Vec::new());
    for address in found {
        let (kind, problem) = match may(&address) {
            Err(why) => (NetworkFailure::Unreachable, why.to_owned()),
            Ok(()) => match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are small and answered one by one: waiting to fill packets only costs time.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    (NetworkFailure::Refused, error.to_string())
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    (NetworkFailure::TimedOut, error.to_string())
                }
                Ok(Err(error)) => (NetworkFailure::Unreachable, error.to_string()),
                Err(_) => (NetworkFailure::TimedOut, format!("no answer within {} s", timeout.as_secs())),
            },
        };
        kinds.push(kind);
        problems.push(format!("{address}: {problem}"));
    }
    problems.dedup();
    // One address that may answer later outweighs those that refuse, and a refusal says more than a missing route: a
    // machine without IPv6 has none to half of all addresses.
    let most_telling =
        [NetworkFailure::TimedOut, NetworkFailure::Refused].into_iter().find(|kind| kinds.contains(kind));
    let said = format!("cannot connect: {}", problems.join(", "));
    Err(NoConnection::error(most_telling.unwrap_or(NetworkFailure::Unreachable), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_does_not_leave_the_machine_even_when_the_name_does() {
        let tcp = Tcp { reach: Reach::Loopback, timeout: Duration::from_secs(1) };
        let problem = tcp.connect(&Uri::from_static("http://192.0.2.1/")).await.unwrap_err().to_string();
        assert!(problem.contains("plain http is for those alone"), "{problem}");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_does_not_lead_a_list_there() {
        let tcp = Tcp { reach: Reach::Crl(CrlReach::PublicOnly), timeout: Duration::from_secs(1) };
        let problem = tcp.connect(&Uri::from_static("http://localhost/x.crl")).await.unwrap_err().to_string();
        assert!(problem.contains("127.0.0.1:80: a revocation list is not fetched from"), "{problem}");
    }

    #[tokio::test]
    async fn the_error_tells_how_far_it_came() {
        let kind = async |target: &str| {
            let tcp = Tcp { reach: Reach::Anywhere, timeout: Duration::from_secs(1) };
            let error = tcp.connect(&target.parse().unwrap()).await.unwrap_err();
            let error = error.downcast::<io::Error>().unwrap();
            error.get_ref().unwrap().downcast_ref::<NoConnection>().unwrap().kind
        };
        // A label that is too long (RFC 1035 section 2.3.4) fails without asking anybody.
        assert_eq!(kind(&format!("http://{}.example/", "x".repeat(64))).await, NetworkFailure::NameNotResolved);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(kind(&format!("http://{nobody}/")).await, NetworkFailure::Refused);
    }
}
