//! DNS names and IP addresses as certificates and ACME orders carry them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A DNS name in the form that certificates and ACME use: lower case, A-labels only, no trailing dot,
/// at most 253 octets in labels of at most 63, with a wildcard only as the whole first label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// Reads a name that already consists of ASCII labels; upper case is folded, one trailing dot is dropped.
    pub fn parse(_text: &str) -> Result<Self, IdentifierError> {
        todo!()
    }

    /// Reads a name as a person types it: U-labels are converted to A-labels (UTS 46).
    #[cfg(feature = "idn")]
    pub fn parse_unicode(_text: &str) -> Result<Self, IdentifierError> {
        todo!()
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
    pub fn parse(_text: &str) -> Result<Self, IdentifierError> {
        todo!()
    }

    /// As [`Identifier::parse`], with U-labels converted to A-labels.
    #[cfg(feature = "idn")]
    pub fn parse_unicode(_text: &str) -> Result<Self, IdentifierError> {
        todo!()
    }
}

/// Identifiers in the order in which they were given, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Identifier>", into = "Vec<Identifier>")]
pub struct IdentifierSet(Vec<Identifier>);

impl IdentifierSet {
    /// The identifiers in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Identifier> {
        self.0.iter()
    }

    /// The number of identifiers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `identifier` is one of them, literally (a wildcard covers only itself).
    pub fn contains(&self, identifier: &Identifier) -> bool {
        self.0.contains(identifier)
    }

    /// Whether every identifier of `other` is in this set.
    pub fn is_superset(&self, other: &Self) -> bool {
        other.iter().all(|identifier| self.contains(identifier))
    }

    /// Whether both hold the same identifiers, whatever their order.
    pub fn same_as(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_superset(other)
    }
}

impl FromIterator<Identifier> for IdentifierSet {
    fn from_iter<I: IntoIterator<Item = Identifier>>(_identifiers: I) -> Self {
        todo!()
    }
}

impl From<Vec<Identifier>> for IdentifierSet {
    fn from(identifiers: Vec<Identifier>) -> Self {
        identifiers.into_iter().collect()
    }
}

impl From<IdentifierSet> for Vec<Identifier> {
    fn from(set: IdentifierSet) -> Self {
        set.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
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

/// Why a text is not an identifier. The text itself is escaped and cut before it is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// Nothing there.
    #[error("an empty name")]
    Empty,
    // helper A: the further cases
}
