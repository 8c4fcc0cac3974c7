//! What the endpoints of a lineage served when they were last looked at.

use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{backoff, is_of_a_wrong_clock};
use crate::{Endpoint, EndpointSource, Version};

/// What is as it should be, or does not count, is looked at again after this. Runs of a daemon or timer every six hours
/// look each time, whichever is late by a minute.
const PAUSE: TimeDelta = TimeDelta::hours(5);
/// A program that runs all the time looks again at the latest after this while something is not served.
const LONGEST_PAUSE_WHILE_MISSING: TimeDelta = TimeDelta::hours(1);

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
    /// The version in use that the answers were compared with.
    #[serde(default)]
    pub compared_with: Option<Version>,
    /// How often in a row it was looked at without finding the version in use at every address.
    #[serde(default)]
    pub misses: u32,
    /// What each address answered, with the name in the handshake; one without address when the host has none. None at all
    /// when another version is in use since then.
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
    /// The serial number of the leaf, lower-case hex.
    #[serde(default)]
    pub serial: Option<String>,
    /// The end of the leaf (UTC).
    #[serde(default)]
    pub not_after: Option<DateTime<Utc>>,
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
    /// It is served as its CA gave it, and the CA, which is none of the known public ones, is not trusted on this machine.
    UnknownAuthority,
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

impl AddressMemory {
    /// An address that served something.
    pub fn new(address: SocketAddr, leaf: ServedLeaf) -> Self {
        Self {
            address: Some(address),
            leaf,
            serial: None,
            not_after: None,
            troubles: Vec::new(),
            detail: String::new(),
        }
    }

    /// Nothing was served; `why` is escaped here.
    pub fn unreachable(address: Option<SocketAddr>, why: impl AsRef<str>) -> Self {
        Self {
            address,
            leaf: ServedLeaf::Unreachable,
            serial: None,
            not_after: None,
            troubles: Vec::new(),
            detail: crate::escape(why.as_ref()).into_owned(),
        }
    }
}

impl EndpointMemory {
    /// What an endpoint answered at `checked_at`, compared with the version in use; `before` is what is remembered of it.
    pub fn looked(
        endpoint: Endpoint,
        answers: Vec<AddressMemory>,
        compared_with: Option<Version>,
        before: Option<&Self>,
        checked_at: DateTime<Utc>,
    ) -> Self {
        let is_ours = |answer: &AddressMemory| matches!(answer.leaf, ServedLeaf::Same | ServedLeaf::Older { .. });
        let has_served_ours = before.is_some_and(|before| before.has_served_ours) || answers.iter().any(is_ours);
        let mut memory = Self { endpoint, checked_at, has_served_ours, compared_with, misses: 0, answers };
        if memory.counts() && memory.serving() != Serving::Matches {
            memory.misses = before.map_or(0, |before| before.misses).saturating_add(1);
        }
        memory
    }

    /// Whether it is time to look at it again. A run looks at what is not served each time: whoever has just put it right
    /// wants to see that.
    pub fn look_is_due(&self, now: DateTime<Utc>) -> bool {
        self.answers.is_empty()
            || is_of_a_wrong_clock(self.checked_at, now)
            || (self.counts() && self.serving() != Serving::Matches)
            || now - self.checked_at >= PAUSE
    }

    /// When a program that runs all the time looks again because the version in use is not served; none when it is, or
    /// when that does not count.
    pub fn retry(&self) -> Option<DateTime<Utc>> {
        let is_missing = self.counts() && !self.answers.is_empty() && self.serving() != Serving::Matches;
        let pause = backoff(self.misses).min(LONGEST_PAUSE_WHILE_MISSING);
        is_missing.then(|| self.checked_at.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// Another version is in use: what was answered is not about it.
    pub(super) fn forget_answers(&mut self) {
        self.answers.clear();
        self.compared_with = None;
        self.misses = 0;
    }

    /// Whether what it serves says something about the lineage, as seen from here.
    pub fn counts(&self) -> bool {
        self.endpoint.counts_by(Some(self))
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

impl Endpoint {
    /// Whether what it serves says something about the lineage, by what is remembered of the same place.
    pub fn counts_by(&self, known: Option<&EndpointMemory>) -> bool {
        self.source == EndpointSource::Settings || known.is_some_and(|known| known.has_served_ours)
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
