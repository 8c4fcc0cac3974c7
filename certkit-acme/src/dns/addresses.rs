//! The addresses of a host, of both families, as this machine sees them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use certkit_core::escape;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::{ResolverSettings, none_found, shown};

/// One server is waited for so long, twice; a name that nobody answers for must not delay a run.
const PATIENCE: Duration = Duration::from_millis(1200);
const TRIES: usize = 2;
/// For one host, whatever is asked.
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// Nobody has more, and an answer may hold thousands.
const MOST_ADDRESSES: usize = 16;

/// Looks addresses up: in the hosts file and by DNS, and where DNS says that there are none, as the system does
/// (nsswitch.conf). It can be dropped at any time, which a look-up of the system's own cannot.
pub(crate) struct AddressResolver {
    dns: Result<TokioResolver, String>,
    is_the_systems: bool,
}

impl AddressResolver {
    pub(crate) fn new(settings: &ResolverSettings) -> Self {
        let is_the_systems = settings.servers.is_empty();
        let build = || {
            let mut builder = if is_the_systems {
                TokioResolver::builder_tokio()?
            } else {
                TokioResolver::builder_with_config(settings.named_servers(), TokioRuntimeProvider::default())
            };
            set(builder.options_mut(), is_the_systems);
            builder.build()
        };
        Self { dns: build().map_err(|error| shown(&error)), is_the_systems }
    }

    /// Every address of a host, IPv4 first; an address is its own. An error says why there is none, escaped.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let too_slow = || format!("the name was not resolved within {} s", TIME_LIMIT.as_secs());
        tokio::time::timeout(TIME_LIMIT, self.look_up(host)).await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        // A name with a dot is a whole one: no domain of resolv.conf is appended to it.
        let name = if host.contains('.') { format!("{}.", host.trim_end_matches('.')) } else { host.to_owned() };
        let said = match &self.dns {
            Ok(dns) => match dns.lookup_ip(name).await {
                Ok(found) => return ordered(found.iter()),
                Err(error) if none_found(&error).is_some() => "the name does not resolve".to_owned(),
                Err(error) => return Err(format!("the name does not resolve: {}", shown(&error))),
            },
            Err(problem) => problem.clone(),
        };
        if !self.is_the_systems {
            return Err(said);
        }
        match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => ordered(found.map(|address| address.ip())),
            Err(error) => Err(format!("the name does not resolve ({})", escape(&error.to_string()))),
        }
    }
}

fn set(options: &mut ResolverOpts, is_the_systems: bool) {
    options.timeout = PATIENCE;
    options.attempts = TRIES;
    options.edns0 = true;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = if is_the_systems { ResolveHosts::Always } else { ResolveHosts::Never };
}

fn ordered(found: impl Iterator<Item = IpAddr>) -> Result<Vec<IpAddr>, String> {
    let all: BTreeSet<IpAddr> = found.collect();
    if all.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(all.into_iter().take(MOST_ADDRESSES).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_their_own_and_localhost_is_this_machine() {
        let resolver = AddressResolver::new(&ResolverSettings::with_servers(vec!["127.0.0.1:1".parse().unwrap()]));
        assert_eq!(resolver.addresses("2001:db8::1").await, Ok(vec!["2001:db8::1".parse().unwrap()]));
        let found = resolver.addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && found.contains(&"127.0.0.1".parse().unwrap()), "{found:?}");
    }

    #[tokio::test]
    async fn a_name_that_nobody_answers_for_is_an_error_that_says_so() {
        // A UDP socket that reads nothing.
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let resolver = AddressResolver::new(&ResolverSettings::with_servers(vec![silent.local_addr().unwrap()]));
        let said = resolver.addresses("a.example").await.unwrap_err();
        assert!(said.contains("did not answer") || said.contains("not resolved within"), "{said}");
    }
}
