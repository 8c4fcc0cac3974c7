//! URLs of certificate revocation lists, and how far a look-up may reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::AcmeUrl;
use crate::url::{self, Parts};

/// The URL of a certificate revocation list that may be fetched: http or https. Plain http is right here: a list is
/// signed, and fetching it by https could need another list first (RFC 5280 section 8).
///
/// It stands in a certificate, which somebody else wrote, so it must not make this machine call services that only this
/// machine or its network reaches: see [`CrlReach`].
///
/// ```
/// use certkit_core::{CrlReach, CrlUrl};
///
/// assert!(CrlUrl::parse("http://c.ca.example/7.crl", CrlReach::PublicOnly).is_ok());
/// assert!(CrlUrl::parse("http://127.0.0.1:2375/", CrlReach::PublicOnly).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlUrl(String);

/// How far a look-up of revocation lists may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrlReach {
    /// Public addresses, ports 80 and 443.
    PublicOnly,
    /// This machine as well, and all ports there: for the certificates of a test CA that runs on it.
    Loopback,
}

impl CrlReach {
    /// The reach for the certificates of the CA with this directory: one on this machine may lead to this machine.
    pub fn of_directory(directory: &AcmeUrl) -> Self {
        let is_here = url::parts(directory.as_str()).is_ok_and(|parts| url::is_loopback(parts.host));
        if is_here { Self::Loopback } else { Self::PublicOnly }
    }

    /// Whether an address may be connected to; why not, otherwise. A name says nothing about where it leads, so this is
    /// asked of every address that is found for it.
    pub fn allows(self, address: IpAddr) -> Result<(), &'static str> {
        let address = address.to_canonical();
        match self {
            _ if is_public(address) => Ok(()),
            Self::Loopback if address.is_loopback() => Ok(()),
            _ => Err("a revocation list is not fetched from an address that is not public"),
        }
    }
}

impl CrlUrl {
    /// Checks a URL.
    pub fn parse(text: &str, reach: CrlReach) -> Result<Self, CrlUrlError> {
        let refuse = |problem| CrlUrlError { url: crate::escape(text).chars().take(200).collect(), problem };
        let Parts { plain, host, port } = url::parts(text).map_err(refuse)?;
        if reach == CrlReach::Loopback && url::is_loopback(host) {
            return Ok(Self(text.to_owned()));
        }
        match bare(host).parse::<IpAddr>() {
            Ok(address) => reach.allows(address).map_err(refuse)?,
            Err(_) if url::is_local(host) => return Err(refuse("it leads to this machine")),
            Err(_) => {}
        }
        let usual = if plain { 80 } else { 443 };
        if !matches!(port.unwrap_or(usual), 80 | 443) {
            return Err(refuse("a revocation list is fetched from the ports 80 and 443 alone"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port as they stand in the URL: the server that is asked.
    pub fn origin(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        let length = self.0.get(start..).and_then(|rest| rest.find(['/', '?']));
        length.and_then(|length| self.0.get(..start + length)).unwrap_or(&self.0)
    }
}

impl fmt::Display for CrlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why no revocation list may be fetched from a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL `{url}` of a revocation list is refused: {problem}")]
pub struct CrlUrlError {
    url: String,
    problem: &'static str,
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
}

/// Whether the whole internet may reach the address (the special-purpose registries of IANA, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // "This network", multicast and reserved, the broadcast address included.
        || a == 0
        || a >= 224
        // Shared by carriers (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544).
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Translated to IPv4 on the way (RFC 6052, RFC 3056): what counts is where that leads.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo and other assignments to protocols, documentation (RFC 3849, RFC 9637).
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // All that is given out to networks today (RFC 4291 section 2.4).
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_servers_are_asked_on_their_usual_ports() {
        for good in [
            "http://c.ca.example/7.crl",
            "HTTPS://ca.example",
            "http://ca.example:80/x?y=z",
            "http://ca.example:443/",
            "https://1.1.1.1/x",
            "http://[2606:4700::1]/x",
            "http://[64:ff9b::808:808]/x",
        ] {
            assert!(CrlUrl::parse(good, CrlReach::PublicOnly).is_ok(), "{good}");
        }
        for bad in [
            "ldap://ca.example/x",
            "ftp://ca.example/x",
            "http://ca.example:8080/x",
            "http://ca.example:22/x",
            "http://user@ca.example/x",
            "http://ca.example/x#y",
            "http://ca.example/a b",
            "http:///x",
            "",
        ] {
            assert!(CrlUrl::parse(bad, CrlReach::PublicOnly).is_err(), "{bad}");
            assert!(CrlUrl::parse(bad, CrlReach::Loopback).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_does_not_make_us_call_what_only_we_reach() {
        for bad in [
            "http://localhost/x",
            "http://a.localhost/x",
            "http://127.0.0.1/x",
            "http://127.1/x",
            "http://2130706433/x",
            "http://0x7f.1/x",
            "http://[::1]/x",
            "http://[::ffff:127.0.0.1]/x",
            "http://0.0.0.0/x",
            "http://10.0.0.7/x",
            "http://172.16.0.1/x",
            "http://192.168.1.1/x",
            "http://100.64.0.1/x",
            "http://100.100.100.200/latest",
            "http://169.254.169.254/latest",
            "http://224.0.0.1/x",
            "http://255.255.255.255/x",
            "http://[fe80::1]/x",
            "http://[fd00:ec2::254]/latest",
            "http://[fc00::1]/x",
            "http://[ff02::1]/x",
            "http://[2001:db8::1]/x",
            "http://[64:ff9b::a00:1]/x",
            "http://[2002:7f00:1::]/x",
        ] {
            assert!(CrlUrl::parse(bad, CrlReach::PublicOnly).is_err(), "{bad}");
        }
        for (url, fine) in [
            ("http://127.0.0.1:4001/x", true),
            ("http://localhost:4001/x", true),
            ("http://[::1]:4001/x", true),
            ("http://10.0.0.7/x", false),
            ("http://169.254.169.254/latest", false),
            ("http://ca.example:4001/x", false),
            ("http://ca.example/x", true),
        ] {
            assert_eq!(CrlUrl::parse(url, CrlReach::Loopback).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn the_ca_decides_how_far_its_certificates_lead() {
        let reach = |url: &str| CrlReach::of_directory(&AcmeUrl::parse(url).unwrap());
        assert_eq!(reach("https://localhost:14000/dir"), CrlReach::Loopback);
        assert_eq!(reach("http://127.0.0.1:1/dir"), CrlReach::Loopback);
        assert_eq!(reach("https://ca.example/dir"), CrlReach::PublicOnly);
        assert_eq!(reach("https://10.0.0.7/dir"), CrlReach::PublicOnly);
    }

    #[test]
    fn the_server_is_what_stands_before_the_path() {
        let origin = |url: &str| CrlUrl::parse(url, CrlReach::PublicOnly).unwrap().origin().to_owned();
        assert_eq!(origin("http://ca.example:80/a/b?c"), "http://ca.example:80");
        assert_eq!(origin("http://ca.example?c"), "http://ca.example");
        assert_eq!(origin("http://ca.example"), "http://ca.example");
    }

    proptest::proptest! {
        #[test]
        fn checking_never_panics(text in "(http://)?.{0,40}", octets: [u8; 16]) {
            for reach in [CrlReach::PublicOnly, CrlReach::Loopback] {
                if let Ok(url) = CrlUrl::parse(&text, reach) {
                    assert!(url.as_str().starts_with(url.origin()));
                }
                let _ = reach.allows(octets.into());
            }
        }
    }
}
