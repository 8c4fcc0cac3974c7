//! Where a certificate is expected to be served.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{Certificate, DnsName, Identifier, IdentifierSet};

/// A place where a certificate is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Endpoint {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What is spoken before TLS.
    pub protocol: EndpointProtocol,
    /// The name to send in the handshake (SNI, RFC 6066 section 3); see [`Endpoint::asked_name`] when none.
    pub server_name: Option<String>,
    /// Who says that the certificate is served there.
    pub source: EndpointSource,
}

/// What is spoken before TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndpointProtocol {
    /// Nothing: TLS from the first byte.
    #[default]
    Tls,
    /// SMTP with STARTTLS (RFC 3207).
    Smtp,
    /// IMAP with STARTTLS (RFC 9051 section 6.2.1).
    Imap,
    /// POP3 with STLS (RFC 2595 section 4).
    Pop3,
}

/// Who says that a certificate is served at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndpointSource {
    /// Nobody: it is port 443 of one of its names. It counts once it has served a version of ours, as seen from here.
    Default,
    /// The owner, in the settings. It always counts.
    Settings,
}

impl Endpoint {
    /// TLS at this host and port, said by the owner.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            protocol: EndpointProtocol::Tls,
            server_name: None,
            source: EndpointSource::Settings,
        }
    }

    /// Port 443 of a name of the certificate.
    pub fn default_of(name: impl Into<String>) -> Self {
        /// RFC 9110 section 4.2.2.
        const HTTPS_PORT: u16 = 443;
        Self { source: EndpointSource::Default, ..Self::new(name, HTTPS_PORT) }
    }

    /// Where a certificate for these identifiers is served: what the owner set, and, with `defaults`, port 443 of each
    /// name without wildcard and of each address that the owner did not set himself.
    pub fn all_of(set: &[Self], identifiers: &IdentifierSet, defaults: bool) -> Vec<Self> {
        let mut all = set.to_vec();
        for identifier in identifiers.iter().filter(|one| defaults && !one.is_wildcard()) {
            let default = Self::default_of(identifier.to_string());
            if !all.iter().any(|one| one.is_same_place(&default)) {
                all.push(default);
            }
        }
        all
    }

    /// Whether both are the same place, whoever says so.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let name = |one: &Self| one.server_name.clone().filter(|name| *name != one.host);
        (&self.host, self.port, self.protocol, name(self)) == (&other.host, other.port, other.protocol, name(other))
    }

    /// A host with or without a port, as people write it: `example.org`, `example.org:8443`, `192.0.2.1:25`,
    /// `[2001:db8::1]:443`, `2001:db8::1`. None for what has another form; whether the host can exist is not judged.
    pub fn split(text: &str) -> Option<(&str, Option<u16>)> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            return match rest.strip_prefix(':') {
                Some(port) => Some((host, Some(port.parse().ok()?))),
                None => rest.is_empty().then_some((host, None)),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Some((text, None));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        (!host.is_empty()).then_some((host, port))
    }

    /// Whether the host is this very address.
    pub fn host_is(&self, address: IpAddr) -> bool {
        self.host.parse() == Ok(address)
    }

    /// The name that a client of a certificate for these identifiers asks for there: the one that the owner set; else the
    /// host, where the certificate covers it or covers nothing that could be asked for; else its first name without
    /// wildcard. An address is asked for without SNI (RFC 6066 section 3).
    pub fn asked_name(&self, identifiers: &IdentifierSet) -> String {
        if let Some(name) = &self.server_name {
            return name.clone();
        }
        let is_covered = identifiers.iter().any(|one| covers(one, &self.host));
        let first = identifiers.iter().find(|one| !one.is_wildcard() && one.as_dns().is_some());
        match first {
            Some(first) if !is_covered => first.to_string(),
            _ => self.host.clone(),
        }
    }

    /// The same with another protocol before TLS.
    #[must_use]
    pub fn speaking(mut self, protocol: EndpointProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same with another name in the handshake.
    #[must_use]
    pub fn named(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = crate::escape(&self.host);
        match self.host.contains(':') {
            true => write!(f, "[{host}]:{}", self.port),
            false => write!(f, "{host}:{}", self.port),
        }
    }
}

impl EndpointProtocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tls, Self::Smtp, Self::Imap, Self::Pop3];

    /// The port where it is usually spoken (RFC 9110, RFC 5321, RFC 9051, RFC 1939).
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Tls => 443,
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Pop3 => 110,
        }
    }

    /// The word for it in settings and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}

/// Whether a certificate's leaf is for this name or address (RFC 9525 section 6: a wildcard stands for one whole label).
pub(crate) fn certificate_covers(certificate: &Certificate, asked: &str) -> bool {
    certificate.identifiers().is_ok_and(|all| all.iter().any(|one| covers(one, asked)))
}

fn covers(identifier: &Identifier, asked: &str) -> bool {
    match identifier {
        Identifier::Ip(address) => asked.parse::<IpAddr>().is_ok_and(|asked| asked == *address),
        Identifier::Dns(name) => {
            let Ok(asked) = DnsName::parse(asked) else { return false };
            if name.is_wildcard() {
                asked.as_str().split_once('.').is_some_and(|(_, parent)| parent == name.base())
            } else {
                *name == asked
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> IdentifierSet {
        names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
    }

    #[test]
    fn every_name_without_wildcard_is_looked_at_and_what_the_owner_set_is_not_looked_at_twice() {
        let set =
            [Endpoint::new("a.example", 443), Endpoint::new("mail.a.example", 25).speaking(EndpointProtocol::Smtp)];
        let all = Endpoint::all_of(&set, &names(&["a.example", "*.a.example", "192.0.2.1", "2001:db8::1"]), true);
        let shown: Vec<String> = all.iter().map(|one| format!("{one} {:?}", one.source)).collect();
        assert_eq!(
            shown,
            [
                "a.example:443 Settings",
                "mail.a.example:25 Settings",
                "192.0.2.1:443 Default",
                "[2001:db8::1]:443 Default"
            ]
        );
        assert_eq!(Endpoint::all_of(&set, &names(&["b.example"]), false).len(), 2);
    }

    #[test]
    fn what_is_asked_for_is_something_that_the_certificate_covers() {
        let asked = |host: &str, covered: &[&str]| Endpoint::new(host, 443).asked_name(&names(covered));
        assert_eq!(asked("10.0.0.5", &["*.a.example", "a.example"]), "a.example");
        assert_eq!(asked("www.a.example", &["a.example", "*.a.example"]), "www.a.example");
        assert_eq!(asked("www.a.example", &["a.example"]), "a.example");
        assert_eq!(asked("a.b.a.example", &["*.a.example"]), "a.b.a.example");
        assert_eq!(asked("192.0.2.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(Endpoint::new("10.0.0.5", 443).named("x.example").asked_name(&names(&["a.example"])), "x.example");
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, expected) in [
            ("example.org", Some(("example.org", None))),
            ("example.org:8443", Some(("example.org", Some(8443)))),
            ("127.0.0.1:1", Some(("127.0.0.1", Some(1)))),
            ("[::1]:8443", Some(("::1", Some(8443)))),
            ("[::1]", Some(("::1", None))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("example.org:https", None),
            ("example.org:70000", None),
            (":1", None),
            ("", None),
            ("[x]:1", None),
            ("[::1]x", None),
            ("a:b:c", None),
        ] {
            assert_eq!(Endpoint::split(text), expected, "{text}");
        }
    }
}
