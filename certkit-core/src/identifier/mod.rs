//! DNS names and IP addresses as certificates and ACME orders carry them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod error;
pub use error::IdentifierError;

mod set;
pub use set::IdentifierSet;

pub(crate) use error::shown;

/// The longest DNS name in text form: 255 octets on the wire, less the first length and the root (RFC 1035 section 3.1).
const MAX_NAME: usize = 253;
/// The longest label of a DNS name (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// A DNS name in the form that certificates and ACME use: lower case, A-labels only, no trailing dot,
/// at most 253 octets in labels of at most 63, with a wildcard only as the whole first label.
///
/// ```
/// use certkit_core::DnsName;
///
/// let name = DnsName::parse("*.Example.ORG.")?;
/// assert_eq!(name.as_str(), "*.example.org");
/// assert_eq!(name.base(), "example.org");
/// assert!(DnsName::parse("www.*.example.org").is_err());
/// # Ok::<(), certkit_core::IdentifierError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// Reads a name that already consists of ASCII labels; upper case is folded, one trailing dot is dropped.
    ///
    /// Letters, digits, hyphens inside a label and underscores are allowed. CAs refuse underscores today (CA/B Forum
    /// ballot SC12), but certificates with them are still stored and must be readable.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(IdentifierError::Empty);
        }
        if !name.is_ascii() {
            return Err(IdentifierError::NotAscii { name: shown(text) });
        }
        if name.len() > MAX_NAME {
            return Err(IdentifierError::TooLong { name: shown(text), octets: name.len() });
        }
        if name == "*" {
            return Err(IdentifierError::WildcardAlone);
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err(IdentifierError::IsAddress { name: shown(text) });
        }
        let base = name.strip_prefix("*.").unwrap_or(&name);
        for label in base.split('.') {
            check_label(label, text)?;
        }
        // A last label of digits is never a top-level domain (RFC 3696 section 2): it is an IPv4 address with a slip.
        if base.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit())) {
            return Err(IdentifierError::NumericLastLabel { name: shown(text) });
        }
        Ok(Self(name))
    }

    /// Reads a name as a person types it: blanks around it are dropped, U-labels are converted to A-labels (UTS 46,
    /// non-transitional). The result obeys the rules of [`DnsName::parse`].
    #[cfg(feature = "idn")]
    pub fn parse_unicode(text: &str) -> Result<Self, IdentifierError> {
        use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

        let text = text.trim();
        if text.is_ascii() {
            return Self::parse(text);
        }
        let (wildcard, base) = text.strip_prefix("*.").map_or(("", text), |base| ("*.", base));
        // Which ASCII characters may stand in a name, and how long it may be, is for `parse` to say, with its own words.
        let ascii = Uts46::new()
            .to_ascii(base.as_bytes(), AsciiDenyList::EMPTY, Hyphens::CheckFirstLast, DnsLength::Ignore)
            .map_err(|_| IdentifierError::Unconvertible { name: shown(text) })?;
        Self::parse(&format!("{wildcard}{ascii}"))
    }

    /// The name, for example `*.example.org`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name without a leading `*.`.
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }
}

/// What a certificate is valid for: a DNS name or an IP address (RFC 8555 section 7.1.3, RFC 8738).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Identifier {
    /// A DNS name.
    Dns(DnsName),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
}

impl Identifier {
    /// Reads an IP address or, failing that, a DNS name of ASCII labels.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        match text.parse() {
            Ok(address) => Ok(Self::Ip(address)),
            Err(_) => DnsName::parse(text).map(Self::Dns),
        }
    }

    /// As [`Identifier::parse`], for what a person types: blanks around it are dropped, an IPv6 address may stand in
    /// brackets, and U-labels are converted to A-labels.
    #[cfg(feature = "idn")]
    pub fn parse_unicode(text: &str) -> Result<Self, IdentifierError> {
        let text = text.trim();
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(address) = bare.and_then(|bare| bare.parse::<std::net::Ipv6Addr>().ok()) {
            return Ok(Self::Ip(address.into()));
        }
        match text.parse() {
            Ok(address) => Ok(Self::Ip(address)),
            Err(_) => DnsName::parse_unicode(text).map(Self::Dns),
        }
    }

    /// The DNS name, if it is one.
    pub fn as_dns(&self) -> Option<&DnsName> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The address, if it is one.
    pub fn as_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Dns(_) => None,
            Self::Ip(address) => Some(*address),
        }
    }

    /// Whether it is a DNS name whose first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.as_dns().is_some_and(DnsName::is_wildcard)
    }
}

/// Checks one lower-case label; `text` is the whole name as it was given.
fn check_label(label: &str, text: &str) -> Result<(), IdentifierError> {
    if label.is_empty() {
        return Err(IdentifierError::EmptyLabel { name: shown(text) });
    }
    if label.len() > MAX_LABEL {
        return Err(IdentifierError::LabelTooLong { name: shown(text), label: shown(label), octets: label.len() });
    }
    if label.contains('*') {
        return Err(IdentifierError::MisplacedWildcard { name: shown(text) });
    }
    if let Some(c) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
        return Err(IdentifierError::BadCharacter { name: shown(text), character: shown(c.encode_utf8(&mut [0; 4])) });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(IdentifierError::OuterHyphen { name: shown(text), label: shown(label) });
    }
    #[cfg(feature = "idn")]
    if !is_reversible(label) {
        return Err(IdentifierError::BadALabel { name: shown(text), label: shown(label) });
    }
    Ok(())
}

/// Whether an `xn--` label stands for something that needs it: valid Punycode, in its one canonical spelling, of a text
/// that is not plain ASCII. Otherwise `xn--example-` and `example` would be two spellings of one name (RUSTSEC-2024-0421).
#[cfg(feature = "idn")]
fn is_reversible(label: &str) -> bool {
    let Some(encoded) = label.strip_prefix("xn--") else { return true };
    idna::punycode::decode(encoded).is_some_and(|decoded| {
        decoded.iter().any(|c| !c.is_ascii()) && idna::punycode::encode(&decoded).as_deref() == Some(encoded)
    })
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl FromStr for DnsName {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<DnsName> for Identifier {
    fn from(name: DnsName) -> Self {
        Self::Dns(name)
    }
}

impl From<IpAddr> for Identifier {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl TryFrom<String> for DnsName {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl TryFrom<String> for Identifier {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Identifier> for String {
    fn from(identifier: Identifier) -> Self {
        identifier.to_string()
    }
}

#[cfg(test)]
mod tests;
