//! Ordered sets of identifiers.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DnsName, Identifier};

/// Identifiers in the order in which they were given, each once. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Identifier>", into = "Vec<Identifier>")]
pub struct IdentifierSet(Arc<[Identifier]>);

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

    /// The first identifier: certbot names a new lineage after it.
    pub fn first(&self) -> Option<&Identifier> {
        self.0.first()
    }

    /// The identifiers as a slice.
    pub fn as_slice(&self) -> &[Identifier] {
        &self.0
    }

    /// The DNS names in their order.
    pub fn dns(&self) -> impl Iterator<Item = &DnsName> {
        self.0.iter().filter_map(Identifier::as_dns)
    }

    /// The addresses in their order.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter_map(Identifier::as_ip)
    }

    /// Whether `identifier` is one of them, literally (a wildcard covers only itself).
    pub fn contains(&self, identifier: &Identifier) -> bool {
        self.0.contains(identifier)
    }

    /// Whether every identifier of `other` is in this set.
    pub fn is_superset(&self, other: &Self) -> bool {
        self.missing_from(other).next().is_none()
    }

    /// Whether both hold the same identifiers, whatever their order.
    pub fn same_as(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_superset(other)
    }

    /// Those of `other` that are not in this set, in the order of `other`.
    pub fn missing_from<'a>(&self, other: &'a Self) -> impl Iterator<Item = &'a Identifier> {
        let own: HashSet<&Identifier> = self.0.iter().collect();
        other.0.iter().filter(move |identifier| !own.contains(*identifier))
    }
}

impl FromIterator<Identifier> for IdentifierSet {
    fn from_iter<I: IntoIterator<Item = Identifier>>(identifiers: I) -> Self {
        let mut seen = HashSet::new();
        Self(identifiers.into_iter().filter(|identifier| seen.insert(identifier.clone())).collect())
    }
}

impl Extend<Identifier> for IdentifierSet {
    fn extend<I: IntoIterator<Item = Identifier>>(&mut self, identifiers: I) {
        *self = std::mem::take(self).into_iter().chain(identifiers).collect();
    }
}

impl IntoIterator for IdentifierSet {
    type Item = Identifier;
    type IntoIter = std::vec::IntoIter<Identifier>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl<'a> IntoIterator for &'a IdentifierSet {
    type Item = &'a Identifier;
    type IntoIter = std::slice::Iter<'a, Identifier>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl From<Vec<Identifier>> for IdentifierSet {
    fn from(identifiers: Vec<Identifier>) -> Self {
        identifiers.into_iter().collect()
    }
}

impl From<IdentifierSet> for Vec<Identifier> {
    fn from(set: IdentifierSet) -> Self {
        set.0.to_vec()
    }
}

/// The identifiers separated by a comma and a blank, as certbot shows them.
impl fmt::Display for IdentifierSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, identifier) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{identifier}")?;
        }
        Ok(())
    }
}
