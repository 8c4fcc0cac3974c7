//! What the endpoints of a lineage served when they were last looked at.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Endpoint, EndpointSource, Version};

/// What an endpoint served when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointMemory {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// When it was looked at (UTC).
    pub checked_at: DateTime<Utc>,
    /// Whether any of its addresses has ever served a version of ours, as seen from here.
    #[serde(default)]
    pub has_served_ours: bool,
    /// What each address answered, with the name in the handshake; one without address when the host has none.
    pub answers: Vec<AddressMemory>,
}

/// What one address of an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddressMemory {
    /// The address; none when the host's name has none.
    pub address: Option<SocketAddr>,
    /// How the served leaf compares with the version in use.
    pub leaf: ServedLeaf,
    /// What is wrong with what was served, besides the leaf.
    #[serde(default)]
    pub troubles: Vec<ServedTrouble>,
    /// The details for people, escaped; may be empty.
    #[serde(default)]
    pub detail: String,
}

/// How a served leaf compares with the version in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum ServedLeaf {
    /// It is the version in use.
    Same,
    /// It is an older version of this lineage.
    Older {
        /// Which.
        version: Version,
    },
    /// It is none of this lineage's versions.
    Foreign,
    /// Nothing was served: no address, no connection, no handshake.
    Unreachable,
}

/// What is wrong with what an address served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ServedTrouble {
    /// The leaf is expired.
    Expired,
    /// An intermediate certificate is missing.
    IncompleteChain,
    /// The certificates are not in the order of RFC 8446 section 4.4.2.
    WrongOrder,
    /// The intermediates differ from those stored.
    OtherChain,
    /// A client that checks would refuse it now.
    UntrustedNow,
    /// A client that checks would refuse it before the leaf's end: an issuer ends earlier.
    UntrustedAtNotAfter,
    /// The leaf does not cover the name that was asked for.
    NameMismatch,
    /// Without a name in the handshake (SNI) something else is served.
    OtherWithoutSni,
}

/// Whether the version in use is served, taking together all endpoints that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Serving {
    /// Every address of every endpoint that counts serves the version in use.
    Matches,
    /// At least one that counts serves something else.
    Differs,
    /// At least one that counts could not be reached, and none differs.
    Unreachable,
    /// No endpoint counts, or none was looked at.
    Unknown,
}

impl EndpointMemory {
    /// Whether what it serves says something about the lineage, as seen from here.
    pub fn counts(&self) -> bool {
        self.endpoint.source == EndpointSource::Settings || self.has_served_ours
    }

    /// What its addresses say together.
    pub fn serving(&self) -> Serving {
        if self.answers.is_empty() {
            return Serving::Unknown;
        }
        let any = |wanted: fn(&ServedLeaf) -> bool| self.answers.iter().any(|answer| wanted(&answer.leaf));
        if any(|leaf| matches!(leaf, ServedLeaf::Older { .. } | ServedLeaf::Foreign)) {
            Serving::Differs
        } else if any(|leaf| *leaf == ServedLeaf::Unreachable) {
            Serving::Unreachable
        } else {
            Serving::Matches
        }
    }
}

impl Serving {
    /// What endpoints say together: what differs counts more than what cannot be reached.
    pub fn of(endpoints: &[EndpointMemory]) -> Self {
        let counting = || endpoints.iter().filter(|one| one.counts()).map(EndpointMemory::serving);
        let any = |wanted: Self| counting().any(|one| one == wanted);
        if any(Self::Differs) {
            Self::Differs
        } else if any(Self::Unreachable) {
            Self::Unreachable
        } else if any(Self::Matches) {
            Self::Matches
        } else {
            Self::Unknown
        }
    }
}
