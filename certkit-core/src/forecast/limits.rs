//! How near the renewals to come bring each limit of a CA to its end.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::decision::limits::{Limit, LimitKind, OrderKind};
use crate::state::{Ledger, OrderScope};
use crate::{AcmeUrl, LineageName};

/// A limit of a CA at the instant at which least is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForecastLimit {
    /// The CA's directory.
    pub directory: AcmeUrl,
    /// The limit.
    pub limit: Limit,
    /// For what: an account, a registered domain, a certificate.
    pub subject: String,
    /// How much is left at that instant.
    pub left: u32,
    /// When (UTC).
    pub at: DateTime<Utc>,
}

/// The least of each limit so far.
#[derive(Default)]
pub(super) struct Busiest {
    by_limit: BTreeMap<(AcmeUrl, LimitKind), ForecastLimit>,
}

impl Busiest {
    /// What an order leaves of the limits that count it.
    pub(super) fn look(
        &mut self,
        ledger: &Ledger,
        scope: &OrderScope,
        kind: OrderKind,
        name: &LineageName,
        at: DateTime<Utc>,
    ) {
        for (limit, subject, left) in ledger.headroom(scope, at) {
            if !limit.counts(kind) || limit.kind == LimitKind::FailedAuthorizationsPerIdentifier {
                continue;
            }
            let key = (scope.directory.clone(), limit.kind);
            if self.by_limit.get(&key).is_some_and(|known| known.left <= left) {
                continue;
            }
            // "This account" and "these names" say nothing about many certificates.
            let subject = match limit.kind {
                LimitKind::NewOrdersPerAccount if !scope.account.is_empty() => format!("account {}", scope.account),
                LimitKind::CertificatesPerExactSet => name.to_string(),
                _ => subject,
            };
            let directory = scope.directory.clone();
            self.by_limit.insert(key, ForecastLimit { directory, limit, subject, left, at });
        }
    }

    /// The scarcest first.
    pub(super) fn limits(self) -> Vec<ForecastLimit> {
        let mut all: Vec<ForecastLimit> = self.by_limit.into_values().collect();
        all.sort_by_key(|one| u64::from(one.left) * 1000 / u64::from(one.limit.count.max(1)));
        all
    }
}
