//! How much is left of the CA's limits.

use certkit_core::decision::limits::OrderKind;
use certkit_core::state::{Ledger, OrderScope};
use certkit_core::{Finding, FindingCode, Severity};
use chrono::{DateTime, Utc};

use super::{Check, Examined};

/// Whether a CA's limits leave room for the next order of a lineage, as far as its own orders of the past tell. `kind` is
/// how the limits see the order.
pub fn check_limits(name: &str, scope: &OrderScope, kind: OrderKind, ledger: &Ledger, now: DateTime<Utc>) -> Examined {
    let scarce = ledger.headroom(scope, now).into_iter().filter(|(limit, _, left)| {
        // With one left a single mistake uses it up; of a large bucket a twentieth.
        limit.counts(kind) && *left <= (limit.count / 20).max(1) && *left < limit.count
    });
    let findings = scarce.map(|(limit, subject, left)| {
        let hours = limit.window_seconds / 3600;
        let window = if hours % 24 == 0 { format!("{} days", hours / 24) } else { format!("{hours} hours") };
        let evidence = format!("{left} of {} {} in {window}: {subject}", limit.count, limit.kind.words());
        let severity = if left == 0 { Severity::Warning } else { Severity::Notice };
        Finding::new(FindingCode::LimitNearlyUsed, name, evidence).with_severity(severity)
    });
    Examined::found(Check::Limits, name, findings.collect())
}

#[cfg(test)]
mod tests {
    use certkit_core::{AcmeUrl, IdentifierSet};
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_is_nearly_used_up_is_told_for_orders_that_count() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let directory = AcmeUrl::parse("https://acme-v02.api.letsencrypt.org/directory").unwrap();
        let names: IdentifierSet = ["a.example".parse().unwrap()].into_iter().collect();
        let scope = OrderScope::new(directory, "id".to_owned(), names, vec!["a.example".to_owned()]);
        let mut ledger = Ledger::default();
        let said = |ledger: &Ledger, kind| {
            let examined = check_limits("a.example", &scope, kind, ledger, now);
            examined.findings().iter().map(|one| (one.severity, one.evidence.clone())).collect::<Vec<_>>()
        };
        for _ in 0..3 {
            ledger.issued(&scope, OrderKind::SameIdentifiers, TimeDelta::days(90), now);
        }
        assert!(said(&ledger, OrderKind::SameIdentifiers).is_empty());
        ledger.issued(&scope, OrderKind::SameIdentifiers, TimeDelta::days(90), now);
        let one_left = "1 of 5 certificates for the same names in 7 days: these names".to_owned();
        assert_eq!(said(&ledger, OrderKind::SameIdentifiers), [(Severity::Notice, one_left)]);
        ledger.issued(&scope, OrderKind::SameIdentifiers, TimeDelta::days(90), now);
        assert_eq!(said(&ledger, OrderKind::SameIdentifiers)[0].0, Severity::Warning);
        // A renewal in the CA's window does not count.
        assert!(said(&ledger, OrderKind::WithinWindow).is_empty());
    }
}
