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
    Examined::found(Check::Limits, name, scarce_first(findings.collect()))
}

fn scarce_first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
