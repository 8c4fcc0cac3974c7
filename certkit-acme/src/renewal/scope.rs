//! What an order asks of a CA, as its limits count it.

use std::net::IpAddr;

use certkit_core::state::OrderScope;
use certkit_core::{AcmeUrl, Identifier, IdentifierSet};

/// The scope of an order for `identifiers`.
pub(super) fn order_scope(directory: &AcmeUrl, account: Option<&str>, identifiers: &IdentifierSet) -> OrderScope {
    let mut domains: Vec<String> = identifiers.iter().map(registered_domain).collect();
    domains.sort_unstable();
    domains.dedup();
    OrderScope::new(directory.clone(), account.unwrap_or_default(), identifiers.clone(), domains)
}

/// The registered domain by the public suffix list, its private part included, as Let's Encrypt counts; an IPv4 address
/// is its own and an IPv6 address that of its /64 (letsencrypt.org/docs/rate-limits, 2026-08). A name that is a public
/// suffix itself stands for itself.
fn registered_domain(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Ip(IpAddr::V6(address)) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            format!("{}/64", std::net::Ipv6Addr::from(segments))
        }
        Identifier::Ip(address) => address.to_string(),
        Identifier::Dns(name) => psl::domain_str(name.base()).unwrap_or_else(|| name.base()).to_owned(),
    }
}

/// The public suffix list by which registered domains are told, for people: the crate's version and when it was taken in.
pub const PUBLIC_SUFFIX_LIST: &str = "psl 2.1.247, 2026-11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_is_shown_is_the_one_that_is_used() {
        let lock = include_str!("../../../Cargo.lock");
        let version = lock.split("name = \"psl\"\nversion = \"").nth(1).unwrap().split('"').next().unwrap();
        assert!(PUBLIC_SUFFIX_LIST.contains(version), "{PUBLIC_SUFFIX_LIST} and {version}");
    }

    #[test]
    fn names_count_by_registered_domain_and_addresses_by_network() {
        let identifiers: IdentifierSet = [
            "www.example.co.uk",
            "*.example.co.uk",
            "a.github.io",
            "b.github.io",
            "192.0.2.7",
            "2001:db8:1:2:3:4:5:6",
            "2001:db8:1:2:ffff::1",
        ]
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
        let directory = AcmeUrl::parse("https://ca.example/dir").unwrap();
        let scope = order_scope(&directory, Some("id"), &identifiers);
        assert_eq!(
            scope.registered_domains,
            ["192.0.2.7", "2001:db8:1:2::/64", "a.github.io", "b.github.io", "example.co.uk"]
        );
    }
}
