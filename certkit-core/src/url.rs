//! URLs that a CA may give us and that we may call.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The URL of an ACME resource: https, or plain http to a loopback address only (RFC 8555 section 6.1; the exception is
/// for a test CA on the same machine). CVE-free by construction: no user information, no fragment, no control characters.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcmeUrl(Arc<str>);

impl AcmeUrl {
    /// The longest URL accepted, in bytes: more than any CA uses, less than harms.
    pub const MAX_BYTES: usize = 4096;

    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Self, AcmeUrlError> {
        let refuse = |problem| AcmeUrlError { url: crate::escape(text).chars().take(200).collect(), problem };
        let Parts { plain, host, .. } = parts(text).map_err(refuse)?;
        if plain && !is_loopback(host) {
            return Err(refuse("plain http is allowed for loopback addresses only; use https"));
        }
        Ok(Self(text.into()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port as they stand in the URL, for example `localhost:14000`.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    /// Whether a CA whose directory (or another resource) is at `self` may send us to `other`; why not, otherwise.
    ///
    /// What a CA answers must not make this machine call services that only this machine reaches: from https it goes on
    /// to https alone (RFC 8555 section 6.1), and to this machine itself or the metadata services of clouds only from a
    /// CA that is there too.
    pub fn may_lead_to(&self, other: &Self) -> Result<(), &'static str> {
        if self.is_https() && !other.is_https() {
            return Err("an https URL must not lead to plain http");
        }
        if is_local(other.host()) && !is_local(self.host()) {
            return Err("a CA elsewhere must not lead to an address that only this machine reaches");
        }
        Ok(())
    }

    fn is_https(&self) -> bool {
        strip_scheme(&self.0, "https://").is_some()
    }

    fn host(&self) -> &str {
        split_authority(self.authority()).0
    }

    /// The path, beginning with `/`, or an empty string; without the query.
    pub fn path(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.split('?').next().unwrap_or_default();
        rest.find('/').map_or("", |at| &rest[at..])
    }
}

impl fmt::Display for AcmeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AcmeUrl {
    type Error = AcmeUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AcmeUrl> for String {
    fn from(url: AcmeUrl) -> Self {
        url.0.as_ref().to_owned()
    }
}

/// Why a text is not a URL that may be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL `{url}` is refused: {problem}")]
pub struct AcmeUrlError {
    url: String,
    problem: &'static str,
}

/// An http or https URL taken apart, as far as it decides whom a call reaches.
pub(crate) struct Parts<'a> {
    /// Whether it is plain http.
    pub(crate) plain: bool,
    /// With the brackets of an IPv6 address.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
}

/// Takes a URL apart that holds nothing which programs read in different ways; what is wrong with it, otherwise.
pub(crate) fn parts(text: &str) -> Result<Parts<'_>, &'static str> {
    if text.len() > AcmeUrl::MAX_BYTES {
        return Err("it is too long");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it contains a blank, a control character or a non-ASCII character");
    }
    if text.contains('#') {
        return Err("it has a fragment");
    }
    let (plain, rest) = if let Some(rest) = strip_scheme(text, "https://") {
        (false, rest)
    } else if let Some(rest) = strip_scheme(text, "http://") {
        (true, rest)
    } else {
        return Err("it is not an https URL");
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("it has user information");
    }
    let (host, port) = split_authority(authority);
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b)) {
        return Err("it has no valid host");
    }
    let port = port.map(str::parse).transpose().map_err(|_| "its port is not a number")?;
    Ok(Parts { plain, host, port })
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

fn split_authority(authority: &str) -> (&str, Option<&str>) {
    if let Some(end) = authority.strip_prefix('[').and_then(|_| authority.find(']')) {
        let (host, rest) = authority.split_at(end + 1);
        return (host, rest.strip_prefix(':'));
    }
    match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a host stands for this machine, for its link or for a cloud's metadata service.
pub(crate) fn is_local(host: &str) -> bool {
    /// The metadata services of AWS over IPv6 and of Alibaba; the others are at link-local addresses.
    const METADATA: [IpAddr; 2] =
        [IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200))];
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = bare.parse::<IpAddr>() {
        let address = address.to_canonical();
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        return address.is_loopback() || address.is_unspecified() || is_link_local || METADATA.contains(&address);
    }
    // Resolvers read `127.1`, `0x7f.1` and `2130706433` as addresses, too; no name ends in a number.
    let last = bare.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").unwrap_or(last);
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || (digits.len() < last.len() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    last == "localhost" || is_number || bare.starts_with("fe80:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_on_loopback_only() {
        for good in [
            "https://acme.example/dir",
            "HTTPS://acme.example",
            "http://127.0.0.1:4000/dir",
            "http://[::1]:80/",
            "http://localhost/d",
        ] {
            assert!(AcmeUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://acme.example/dir",
            "ftp://x",
            "file:///etc/passwd",
            "https://",
            "https://a b/",
            "https://u@h/",
            "https://h/#f",
            "https://h:99999/",
            "http://127.0.0.1.evil.example/",
            "http://localhost@evil.example/",
            "https://h/\n",
            "é",
            "",
        ] {
            assert!(AcmeUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn authority_and_path_are_what_certbot_names_account_directories_after() {
        let url = AcmeUrl::parse("https://localhost:14000/dir?x=1").unwrap();
        assert_eq!((url.authority(), url.path()), ("localhost:14000", "/dir"));
        assert_eq!(AcmeUrl::parse("https://h").unwrap().path(), "");
    }

    #[test]
    fn a_ca_elsewhere_does_not_lead_to_this_machine() {
        let leads = |from: &str, to: &str| AcmeUrl::parse(from).unwrap().may_lead_to(&AcmeUrl::parse(to).unwrap());
        let ca = "https://ca.example/directory";
        for to in ["https://ca.example/x", "https://other.example/x", "https://10.0.0.7/x", "https://[2001:db8::1]:1/"]
        {
            assert_eq!(leads(ca, to), Ok(()), "{to}");
        }
        for to in [
            "http://127.0.0.1:2375/containers/create",
            "http://localhost/x",
            "https://localhost/x",
            "https://LOCALHOST./x",
            "https://a.localhost/x",
            "https://127.0.0.1:8443/x",
            "https://127.1/x",
            "https://2130706433/x",
            "https://0x7f.0.0.0x1/x",
            "https://0.0.0.0/x",
            "https://[::1]/x",
            "https://[::]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/x",
            "https://[fd00:ec2::254]/latest",
            "https://100.100.100.200/latest",
        ] {
            assert!(leads(ca, to).is_err(), "{to}");
        }
        // A test CA on this machine.
        assert_eq!(leads("https://localhost:14000/dir", "https://127.0.0.1:14000/x"), Ok(()));
        assert_eq!(leads("http://127.0.0.1/dir", "http://127.0.0.1/x"), Ok(()));
        assert_eq!(leads("http://127.0.0.1/dir", "https://ca.example/x"), Ok(()));
        assert!(leads("https://localhost:14000/dir", "http://localhost:2375/x").is_err());
    }
}
