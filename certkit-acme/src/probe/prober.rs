//! Every address of an endpoint, with and without a name in the handshake, at once and bounded.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use certkit_core::{Certificate, Endpoint, EndpointProtocol, Observed, escape};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::handshake::{How, KeyFamily, Taken, take_down, too_long};
use super::{server_name_of, starttls};
use crate::dns::{AddressResolver, ResolverSettings};
use crate::transport::{TransportError, TransportSettings, trust};

/// How long a server is waited for, and how many at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProbeLimits {
    /// For one TCP connection. 3 seconds by default: more than a handshake across the world takes.
    pub connect: Duration,
    /// For everything that comes after it: STARTTLS and the handshake. 5 seconds by default.
    pub exchange: Duration,
    /// How many addresses are looked at at once. 32 by default.
    pub at_once: usize,
}

impl Default for ProbeLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), exchange: Duration::from_secs(5), at_once: 32 }
    }
}

/// Looks at what endpoints serve. It connects directly, whatever proxies there are: what counts is what this machine gets
/// from an address. Cheap to clone.
#[derive(Clone)]
pub struct Prober {
    roots: Arc<trust::SystemRoots>,
    resolver: Arc<AddressResolver>,
    limits: ProbeLimits,
    turns: Arc<Semaphore>,
}

/// What one address of an endpoint answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The address; none when the host has none.
    pub address: Option<SocketAddr>,
    /// What it served, or why it served nothing, escaped.
    pub observed: Result<Observed, String>,
    /// Certificates that could not be read, escaped.
    pub unreadable: Vec<String>,
}

impl Prober {
    /// Believes the system's roots and those that the settings name. Bundles that the owner named are read here.
    pub fn new(
        transport: &TransportSettings,
        resolver: &ResolverSettings,
        limits: ProbeLimits,
    ) -> Result<Self, TransportError> {
        Ok(Self {
            roots: Arc::new(trust::SystemRoots::new(transport)?),
            resolver: Arc::new(AddressResolver::new(resolver)),
            turns: Arc::new(Semaphore::new(limits.at_once.max(1))),
            limits,
        })
    }

    /// Looks at every address of an endpoint and asks for a name there. The chain is judged as of `at`. A server with
    /// certificates of two kinds of key is asked for that of `expected` too. Never empty.
    pub async fn look(
        &self,
        endpoint: &Endpoint,
        asked: &str,
        expected: Option<&Certificate>,
        at: DateTime<Utc>,
    ) -> Vec<Answer> {
        let nowhere = |why: String| vec![Answer { address: None, observed: Err(why), unreadable: Vec::new() }];
        let name = match server_name_of(asked) {
            Ok(name) => name,
            Err(why) => return nowhere(why),
        };
        let resolved = {
            let _turn = self.turns.acquire().await.ok();
            self.resolver.addresses(&endpoint.host).await
        };
        let addresses = match resolved {
            Ok(addresses) => addresses,
            Err(why) => return nowhere(why),
        };
        let visit = Visit { prober: self, protocol: endpoint.protocol, name, asked, expected, at };
        let visits = addresses.into_iter().map(|address| visit.address(SocketAddr::new(address, endpoint.port)));
        let (answers, no_way): (Vec<_>, Vec<_>) = join_all(visits).await.into_iter().partition(|(_, no_way)| !no_way);
        // A machine without IPv6 has no way to half of all addresses: that says nothing about them, as long as others
        // answer.
        let counting = if answers.is_empty() { no_way } else { answers };
        counting.into_iter().map(|(answer, _)| answer).collect()
    }
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One look at an endpoint.
struct Visit<'a> {
    prober: &'a Prober,
    protocol: EndpointProtocol,
    name: ServerName<'static>,
    asked: &'a str,
    expected: Option<&'a Certificate>,
    at: DateTime<Utc>,
}

/// Why an address served nothing.
struct Nothing {
    why: String,
    /// There is no way to it from here.
    no_way: bool,
}

impl Visit<'_> {
    /// What it served, and whether there was no way to it.
    async fn address(&self, address: SocketAddr) -> (Answer, bool) {
        // Never closed; without a turn the bound is lost and nothing else.
        let _turn = self.prober.turns.acquire().await.ok();
        let sends_name = matches!(self.name, ServerName::DnsName(_));
        let (with, without) = tokio::join!(self.take(address, true, None), async {
            if sends_name { self.take(address, false, None).await.ok() } else { None }
        });
        let taken = match with {
            Ok(taken) => self.of_the_expected_kind(address, taken).await,
            Err(Nothing { why, no_way }) => {
                return (Answer { address: Some(address), observed: Err(why), unreadable: Vec::new() }, no_way);
            }
        };
        let (certificates, unreadable) = taken.certificates();
        let mut observed = Observed::new(address, self.asked, certificates);
        observed.trust = self.trust(&taken, self.at);
        if let Some(leaf) = observed.certificates.first() {
            observed.trust_at_not_after = self.trust(&taken, leaf.validity().not_after);
        }
        observed.without_name = without.and_then(|taken| taken.certificates().0.into_iter().next());
        (Answer { address: Some(address), observed: Ok(observed), unreadable }, false)
    }

    /// A server may have two certificates for a name, of which each client gets the one that it can use best.
    async fn of_the_expected_kind(&self, address: SocketAddr, taken: Taken) -> Taken {
        let (Some(expected), Some(leaf)) = (self.expected, taken.certificates().0.into_iter().next()) else {
            return taken;
        };
        let wanted = KeyFamily::of(expected);
        if leaf == *expected || KeyFamily::of(&leaf) == wanted {
            return taken;
        }
        match self.take(address, true, Some(wanted)).await {
            Ok(other) => other,
            Err(_) => taken,
        }
    }

    async fn take(&self, address: SocketAddr, with_name: bool, only: Option<KeyFamily>) -> Result<Taken, Nothing> {
        let limits = self.prober.limits;
        let mut stream = connect(address, limits.connect).await?;
        let own: Option<IpAddr> = stream.local_addr().ok().map(|own| own.ip());
        let exchange = async {
            starttls::upgrade(&mut stream, self.protocol, own).await?;
            take_down(stream, self.name.clone(), How { with_name, only }, limits.exchange).await
        };
        let nothing = |why: String| Nothing { why, no_way: false };
        match tokio::time::timeout(limits.exchange, exchange).await {
            Ok(taken) => taken.map_err(nothing),
            Err(_) => Err(nothing(too_long(limits.exchange))),
        }
    }

    /// What a client that checks says, whatever name it asked for.
    fn trust(&self, taken: &Taken, at: DateTime<Utc>) -> Result<(), certkit_core::Distrust> {
        match taken.verdict(&self.prober.roots, &self.name, at) {
            Err(refusal) if !refusal.is_about_the_name => Err(refusal.distrust),
            _ => Ok(()),
        }
    }
}

async fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, Nothing> {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // The lines of STARTTLS are small and answered one by one.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => {
            use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
            let no_way =
                address.is_ipv6() && matches!(error.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable);
            Err(Nothing { why: escape(&error.to_string()).into_owned(), no_way })
        }
        Err(_) => Err(Nothing { why: too_long(limit), no_way: false }),
    }
}
