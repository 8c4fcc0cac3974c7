//! URLs that a CA may give us and that we may call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The URL of an ACME resource: https, or plain http to a loopback address only (RFC 8555 section 6.1; the exception is
/// for a test CA on the same machine). CVE-free by construction: no user information, no fragment, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcmeUrl(String);

impl AcmeUrl {
    /// The longest URL accepted, in bytes: more than any CA uses, less than harms.
    pub const MAX_BYTES: usize = 4096;

    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Self, AcmeUrlError> {
        let refuse = |problem| AcmeUrlError { url: crate::escape(text).chars().take(200).collect(), problem };
        if text.len() > Self::MAX_BYTES {
            return Err(refuse("it is too long"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("it contains a blank, a control character or a non-ASCII character"));
        }
        if text.contains('#') {
            return Err(refuse("it has a fragment"));
        }
        let (plain, rest) = if let Some(rest) = strip_scheme(text, "https://") {
            (false, rest)
        } else if let Some(rest) = strip_scheme(text, "http://") {
            (true, rest)
        } else {
            return Err(refuse("it is not an https URL"));
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(refuse("it has user information"));
        }
        let (host, port) = split_authority(authority);
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b)) {
            return Err(refuse("it has no valid host"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(refuse("its port is not a number"));
        }
        if plain && !is_loopback(host) {
            return Err(refuse("plain http is allowed for loopback addresses only; use https"));
        }
        Ok(Self(text.to_owned()))
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
        url.0
    }
}

/// Why a text is not a URL that may be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL `{url}` is refused: {problem}")]
pub struct AcmeUrlError {
    url: String,
    problem: &'static str,
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

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
}
