//! What the owner asked of a lineage through certkit that its certificate is not yet.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::IdentifierSet;

/// A wish that was recorded: until it is fulfilled, a certificate that differs from it is due. What a conf says at first
/// sight is no such wish: a tree that was just taken over is not to be issued anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedWish {
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Other identifiers (`certonly --expand`, `--cert-name NAME -d …`).
    #[serde(default)]
    pub identifiers: Option<IdentifierSet>,
    /// Another kind of key than the certificate has (`--key-type`, `--elliptic-curve`, `--rsa-key-size`): the conf says which.
    #[serde(default)]
    pub key: bool,
    /// Another profile: the conf says which.
    #[serde(default)]
    pub profile: bool,
    /// Another CA: the conf says which.
    #[serde(default)]
    pub authority: bool,
}

impl RecordedWish {
    /// A wish for nothing yet.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self { at, identifiers: None, key: false, profile: false, authority: false }
    }

    /// Whether nothing is wished.
    pub fn is_empty(&self) -> bool {
        self.identifiers.is_none() && !self.key && !self.profile && !self.authority
    }

    /// Whether other names are all that is wished.
    pub fn is_about_names_alone(&self) -> bool {
        self.identifiers.is_some() && !self.key && !self.profile && !self.authority
    }

    /// The wish as it stands after a later one.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            at: later.at,
            identifiers: later.identifiers.or(self.identifiers),
            key: later.key || self.key,
            profile: later.profile || self.profile,
            authority: later.authority || self.authority,
        }
    }
}
