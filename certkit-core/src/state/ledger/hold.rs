//! What a CA said with Retry-After, and whom it concerns.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::OrderScope;
use crate::{Failure, FailureClass, IdentifierSet, Retry};

/// A CA that wants to be left alone until an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hold {
    /// Whom it concerns.
    pub scope: HoldScope,
    /// Until when (UTC).
    pub until: DateTime<Utc>,
    /// What made it say so.
    pub class: FailureClass,
    /// When it said so (UTC).
    #[serde(default)]
    pub since: DateTime<Utc>,
}

/// Whom a Retry-After concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "scope")]
#[non_exhaustive]
pub enum HoldScope {
    /// Everybody who asks this CA.
    Authority,
    /// One account.
    Account {
        /// Its id or URL.
        account: String,
    },
    /// Every certificate with a name below a registered domain.
    RegisteredDomain {
        /// The domain.
        domain: String,
    },
    /// Certificates for exactly these identifiers.
    ExactSet {
        /// The identifiers.
        identifiers: IdentifierSet,
    },
    /// Certificates with this identifier.
    Identifier {
        /// The identifier.
        identifier: String,
    },
}

/// No Retry-After is believed for longer (the transport clamps it). A hold that has more before it was noted by a clock
/// that was ahead and has been set back since.
const LONGEST_HOLD: TimeDelta = TimeDelta::days(1);

impl Hold {
    /// Whether it is in force at `now`.
    pub(super) fn holds(&self, now: DateTime<Utc>) -> bool {
        now < self.until && self.until - now <= LONGEST_HOLD
    }

    /// The hold that a failure asks for, when it concerns more than the lineage that met it. Let's Encrypt names its
    /// limits in the sentence only (letsencrypt.org/docs/rate-limits, 2026-08): the words that tell them apart are those
    /// of Boulder's ratelimits package.
    pub(super) fn of(failure: &Failure, scope: &OrderScope, now: DateTime<Utc>) -> Option<Self> {
        let Retry::At(until) = failure.retry else { return None };
        if until <= now {
            return None;
        }
        let of = |held: HoldScope| Some(Self { scope: held, until, class: failure.class, since: now });
        match failure.class {
            FailureClass::ServerUnavailable => of(HoldScope::Authority),
            FailureClass::RateLimited => of(by_the_words(failure, scope)),
            _ => None,
        }
    }
}

fn by_the_words(failure: &Failure, scope: &OrderScope) -> HoldScope {
    let detail = failure.problem.as_ref().map_or(failure.detail.as_str(), |problem| &problem.detail).to_lowercase();
    if detail.contains("exact set of") {
        return HoldScope::ExactSet { identifiers: scope.identifiers.clone() };
    }
    if detail.contains("failed authorizations") {
        let named = scope.identifiers.iter().find(|identifier| detail.contains(&format!("\"{identifier}\"")));
        return match named.or_else(|| failure.per_identifier.first().map(|one| &one.identifier)) {
            Some(identifier) => HoldScope::Identifier { identifier: identifier.to_string() },
            None => HoldScope::ExactSet { identifiers: scope.identifiers.clone() },
        };
    }
    if detail.contains("already issued for") || detail.contains("certificates per registered domain") {
        let named = scope.registered_domains.iter().find(|domain| detail.contains(&format!("\"{domain}\"")));
        return match named.or_else(|| scope.registered_domains.first()) {
            Some(domain) => HoldScope::RegisteredDomain { domain: domain.clone() },
            None => HoldScope::ExactSet { identifiers: scope.identifiers.clone() },
        };
    }
    // Too many orders, too many pending ones, too many requests: it is the account's, and of a CA whose words are not
    // known as well.
    HoldScope::Account { account: scope.account.clone() }
}

impl HoldScope {
    /// Whether an order is concerned.
    pub fn concerns(&self, order: &OrderScope) -> bool {
        match self {
            Self::Authority => true,
            Self::Account { account } => *account == order.account,
            Self::RegisteredDomain { domain } => order.registered_domains.contains(domain),
            Self::ExactSet { identifiers } => identifiers.same_as(&order.identifiers),
            Self::Identifier { identifier } => order.identifiers.iter().any(|one| one.to_string() == *identifier),
        }
    }
}

impl std::fmt::Display for HoldScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authority => f.write_str("it has trouble itself"),
            Self::Account { .. } => f.write_str("for all orders of the account"),
            Self::RegisteredDomain { domain } => write!(f, "for all names of {}", crate::escape(domain)),
            Self::ExactSet { .. } => f.write_str("for this set of names"),
            Self::Identifier { identifier } => write!(f, "for {}", crate::escape(identifier)),
        }
    }
}
