//! When a certificate is due, without the CA's advice: certbot's rule and the owner's exceptions to it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::parse_interval;
use crate::{Finding, FindingCode, Validity};

/// Below this lifetime half of it must be left, otherwise a third (Let's Encrypt's integration guide, 2025-06-23;
/// certbot 4.0). In days.
const SHORT_LIFETIME_DAYS: i64 = 10;

/// What the owner wants of a lineage's renewal, as the conf and the command line say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalWish {
    /// certbot's `renew_before_expiry`, as written.
    pub renew_before_expiry: Option<String>,
    /// certbot's `autorenew = False`.
    pub never: bool,
    /// `--force-renewal` or `--dry-run`.
    pub now: Option<DueReason>,
}

impl RenewalWish {
    /// The wish of a conf with these two values.
    pub fn new(renew_before_expiry: Option<String>, autorenew: bool) -> Self {
        Self { renew_before_expiry, never: !autorenew, now: None }
    }

    /// The same, due now for `reason`.
    #[must_use]
    pub fn due_now(mut self, reason: DueReason) -> Self {
        self.now = Some(reason);
        self
    }
}

/// Whether a lineage is due, since or from when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueDecision {
    /// The instant from which it is due (UTC); none for never.
    pub at: Option<DateTime<Utc>>,
    /// Which rule says so.
    pub reason: DueReason,
    /// What the owner should know about the settings that led here.
    pub findings: Vec<Finding>,
}

/// The rules that make a lineage due.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DueReason {
    /// `autorenew = False`: never due by itself.
    AutorenewOff,
    /// A dry run tries every lineage.
    DryRun,
    /// `--force-renewal`.
    Forced,
    /// Half of the lifetime is left (lifetimes below ten days).
    HalfOfLifetime,
    /// There is no usable certificate yet.
    NoCertificate,
    /// The requested names, key or CA differ from the certificate's.
    Changed,
    /// An order of an earlier run waits to be finished.
    OrderUnderWay,
    /// `renew_before_expiry` of the conf.
    RenewBeforeExpiry,
    /// A third of the lifetime is left.
    ThirdOfLifetime,
}

/// When a certificate with this validity is due.
pub fn due(subject: &str, validity: Validity, wish: &RenewalWish, now: DateTime<Utc>) -> DueDecision {
    if let Some(reason) = &wish.now {
        return DueDecision { at: Some(now), reason: reason.clone(), findings: Vec::new() };
    }
    if wish.never {
        return DueDecision { at: None, reason: DueReason::AutorenewOff, findings: Vec::new() };
    }
    let lifetime = validity.lifetime();
    let mut findings = Vec::new();
    if let Some(text) = &wish.renew_before_expiry {
        match parse_interval(text) {
            // Due at the very end is due too late, whatever was meant.
            Ok(interval) if interval <= TimeDelta::zero() => {
                findings.push(Finding::new(FindingCode::RenewBeforeExpiryUnreadable, subject, text));
            }
            Ok(interval) if interval >= lifetime => {
                findings.push(Finding::new(
                    FindingCode::RenewBeforeExpiryTooLong,
                    subject,
                    format!("{text} of {}", in_words(lifetime)),
                ));
            }
            Ok(interval) => {
                return DueDecision {
                    at: validity.not_after.checked_sub_signed(interval),
                    reason: DueReason::RenewBeforeExpiry,
                    findings,
                };
            }
            Err(_) => findings.push(Finding::new(FindingCode::RenewBeforeExpiryUnreadable, subject, text)),
        }
    }
    let (left, reason) = if lifetime < TimeDelta::days(SHORT_LIFETIME_DAYS) {
        (lifetime / 2, DueReason::HalfOfLifetime)
    } else {
        (lifetime / 3, DueReason::ThirdOfLifetime)
    };
    // Within the lifetime by construction, so the subtraction cannot leave the range of dates.
    let at = validity.not_after.checked_sub_signed(left).unwrap_or(validity.not_before);
    DueDecision { at: Some(at), reason, findings }
}

impl DueDecision {
    /// Whether it is due at `now`.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.at.is_some_and(|at| now >= at)
    }
}

impl DueReason {
    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AutorenewOff => "autorenew-off",
            Self::Changed => "changed",
            Self::DryRun => "dry-run",
            Self::Forced => "forced",
            Self::HalfOfLifetime => "half-of-lifetime",
            Self::NoCertificate => "no-certificate",
            Self::OrderUnderWay => "order-under-way",
            Self::RenewBeforeExpiry => "renew-before-expiry",
            Self::ThirdOfLifetime => "third-of-lifetime",
        }
    }

    /// The rule in words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::AutorenewOff => "the conf says autorenew = False",
            Self::Changed => "what is asked for differs from the certificate",
            Self::DryRun => "a dry run tries every certificate",
            Self::Forced => "--force-renewal",
            Self::HalfOfLifetime => "half of the lifetime is left",
            Self::NoCertificate => "there is no certificate yet",
            Self::OrderUnderWay => "an order of an earlier run waits to be finished",
            Self::RenewBeforeExpiry => "renew_before_expiry of the conf",
            Self::ThirdOfLifetime => "a third of the lifetime is left",
        }
    }
}

/// A length of time for people: whole days, or hours below two days.
fn in_words(length: TimeDelta) -> String {
    if length < TimeDelta::days(2) {
        format!("{} hours", length.num_hours())
    } else {
        format!("{} days", length.num_days())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn lasting(seconds: i64) -> Validity {
        Validity { not_before: at(1_000_000), not_after: at(1_000_000 + seconds) }
    }

    const DAY: i64 = 86_400;

    #[test]
    fn a_third_is_left_to_the_second() {
        let decision = due("a", lasting(90 * DAY), &RenewalWish::default(), at(0));
        assert_eq!(decision.at, Some(at(1_000_000 + 60 * DAY)));
        assert!(!decision.is_due(at(1_000_000 + 60 * DAY - 1)));
        assert!(decision.is_due(at(1_000_000 + 60 * DAY)));
        assert_eq!(decision.reason, DueReason::ThirdOfLifetime);
    }

    #[test]
    fn half_is_left_below_ten_days() {
        let short = due("a", lasting(10 * DAY - 2), &RenewalWish::default(), at(0));
        assert_eq!((short.at, short.reason), (Some(at(1_000_000 + 5 * DAY - 1)), DueReason::HalfOfLifetime));
        assert_eq!(due("a", lasting(10 * DAY), &RenewalWish::default(), at(0)).reason, DueReason::ThirdOfLifetime);
    }

    #[test]
    fn renew_before_expiry_overrides_unless_it_covers_the_whole_life() {
        let wish = |text: &str| RenewalWish::new(Some(text.into()), true);
        let decision = due("a", lasting(90 * DAY), &wish("10 days"), at(0));
        assert_eq!((decision.at, decision.reason), (Some(at(1_000_000 + 80 * DAY)), DueReason::RenewBeforeExpiry));
        // NPM#5483: a fixed "30 days before" on a six-day certificate renewed at every run and burned the limit.
        let decision = due("a", lasting(6 * DAY), &wish("30 days"), at(0));
        assert_eq!(decision.reason, DueReason::HalfOfLifetime);
        assert_eq!(decision.findings[0].code, FindingCode::RenewBeforeExpiryTooLong);
        for text in ["whenever", "0", "0 days", "1 day -24 hours"] {
            let decision = due("a", lasting(90 * DAY), &wish(text), at(0));
            assert_eq!(decision.findings[0].code, FindingCode::RenewBeforeExpiryUnreadable, "{text}");
            assert_eq!(decision.reason, DueReason::ThirdOfLifetime, "{text}");
        }
    }

    #[test]
    fn autorenew_off_is_never_due_but_force_is() {
        let wish = RenewalWish::new(None, false);
        assert_eq!(due("a", lasting(DAY), &wish, at(i64::from(u32::MAX))).at, None);
        assert!(due("a", lasting(DAY), &wish.due_now(DueReason::Forced), at(0)).is_due(at(0)));
    }

    proptest! {
        #[test]
        fn the_instant_lies_within_the_life(seconds in 3600_i64..10 * 365 * DAY) {
            let validity = lasting(seconds);
            let decision = due("a", validity, &RenewalWish::default(), at(0));
            let instant = decision.at.unwrap();
            prop_assert!(instant > validity.not_before && instant < validity.not_after);
        }

        #[test]
        fn odd_periods_do_not_panic(start in -60_000_000_000_i64..250_000_000_000, end in -60_000_000_000_i64..250_000_000_000, text in ".{0,20}") {
            let validity = Validity { not_before: at(start), not_after: at(end) };
            let _ = due("a", validity, &RenewalWish::new(Some(text), true), at(start));
            let _ = due("a", validity, &RenewalWish::default(), at(end));
        }
    }
}
