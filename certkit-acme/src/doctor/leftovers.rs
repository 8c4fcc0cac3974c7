//! What runs have left behind, and who is at work.

use std::path::{Path, PathBuf};

use certkit_core::{Finding, FindingCode, Severity, escape};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Check, Examined};

/// A lock that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownLock {
    /// The lock file.
    pub path: PathBuf,
    /// The process, for people and escaped; empty where nobody can tell.
    pub holder: String,
    /// Since when, by the file's time (UTC).
    pub since: Option<DateTime<Utc>>,
}

impl KnownLock {
    /// A lock that this process holds.
    pub fn new(path: impl Into<PathBuf>, holder: impl Into<String>, since: Option<DateTime<Utc>>) -> Self {
        Self { path: path.into(), holder: holder.into(), since }
    }
}

/// Hooks have an hour, orders wait for minutes: who is at work for longer than this hangs.
const LONG_RUN: TimeDelta = TimeDelta::hours(6);
/// Orders at Let's Encrypt, and at most CAs, live for seven days (letsencrypt.org/docs/profiles, 2026-07).
const ORDER_LIFE: TimeDelta = TimeDelta::days(7);

/// Whether somebody works on the store, and for how long.
pub fn check_lock(config_dir: &Path, lock: Option<&KnownLock>, now: DateTime<Utc>) -> Examined {
    let findings = lock.map(|lock| {
        let path = lock.path.to_string_lossy();
        let holder = if lock.holder.is_empty() { "somebody" } else { lock.holder.trim_start() };
        let since = lock.since.map_or(String::new(), |since| format!(", since {}", since.format("%F %T UTC")));
        let finding = Finding::new(FindingCode::LockHeld, &path, format!("{} holds it{since}", escape(holder)));
        match lock.since {
            Some(since) if now - since > LONG_RUN => finding.with_severity(Severity::Warning).with_cure(
                "look what it waits for, and end it if it hangs (kill with its number); an order under way is resumed",
            ),
            _ => finding,
        }
    });
    Examined::found(Check::Lock, config_dir.to_string_lossy(), findings.into_iter().collect())
}

/// An order under way, and whether it was placed so long ago that the CA has forgotten it.
pub fn check_order(name: &str, placed: DateTime<Utc>, now: DateTime<Utc>) -> Examined {
    let since = placed.format("%F %T UTC");
    let finding = if now - placed > ORDER_LIFE {
        let evidence = format!("placed {since}, {} days ago", (now - placed).num_days());
        Finding::new(FindingCode::OrderStale, name, evidence)
    } else {
        Finding::new(FindingCode::OrderPending, name, format!("placed {since}"))
    };
    Examined::found(Check::Orders, name, vec![finding])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_the_ca_has_forgotten_is_told_from_one_that_is_resumed() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let told = |age: TimeDelta| check_order("a.example", now - age, now).findings().to_vec();
        let findings = told(TimeDelta::days(7));
        assert_eq!((findings[0].code, findings[0].severity), (FindingCode::OrderPending, Severity::Notice));
        let findings = told(TimeDelta::days(8));
        assert_eq!((findings[0].code, findings[0].severity), (FindingCode::OrderStale, Severity::Warning));
        assert!(findings[0].evidence.ends_with("8 days ago"), "{:?}", findings[0]);
    }
}
