//! How near the end is, as a part of the lifetime: the same rules for 160 hours and for 199 days.

use chrono::{DateTime, TimeDelta, Utc};

use super::NoticeLevel;
use crate::Validity;
use crate::decision::{Cadence, usual};

/// Overdue is what is due for a tenth of the lifetime, or a day.
const GRACE_FRACTION: i32 = 10;
const LONGEST_GRACE: TimeDelta = TimeDelta::hours(24);
/// However rarely it is run: so much of what was left when it became due is not waited for without a word.
const GRACE_OF_WHAT_IS_LEFT: i32 = 4;

const CRITICAL_FRACTION: i32 = 8;
/// certmagic's emergency band as well (certificates.go, 2026-05-12).
const EMERGENCY_FRACTION: i32 = 20;

/// What is over for so long is used by nobody who would notice.
const LONG_OVER: TimeDelta = TimeDelta::days(30);

/// Where an instant lies in a lifetime, the calmest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Band {
    /// More than an eighth is left.
    Calm,
    /// An eighth is left, or less.
    LastEighth,
    /// A twentieth is left, or less.
    LastTwentieth,
    /// It is over.
    Over,
    /// It has been over for a month.
    LongOver,
}

impl Band {
    pub(super) fn of(validity: Validity, now: DateTime<Utc>) -> Self {
        let (lifetime, left) = (validity.lifetime(), validity.remaining(now));
        if left < -LONG_OVER {
            Self::LongOver
        } else if left < TimeDelta::zero() {
            Self::Over
        } else if left <= lifetime / EMERGENCY_FRACTION {
            Self::LastTwentieth
        } else if left <= lifetime / CRITICAL_FRACTION {
            Self::LastEighth
        } else {
            Self::Calm
        }
    }

    /// How urgent a trouble is that lasts until then.
    pub(super) fn level(self) -> NoticeLevel {
        match self {
            Self::Calm => NoticeLevel::Warning,
            Self::LastEighth | Self::LongOver => NoticeLevel::Critical,
            Self::LastTwentieth | Self::Over => NoticeLevel::Emergency,
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over | Self::LongOver)
    }
}

/// How long a certificate that became due at `due` may stay so without a word: a tenth of the lifetime or a day, whichever
/// is shorter, but until the next run at least, and no longer than a quarter of what was left.
pub(crate) fn grace(validity: Validity, due: DateTime<Utc>, cadence: Cadence) -> TimeDelta {
    let usual = (validity.lifetime() / GRACE_FRACTION).min(LONGEST_GRACE);
    let left = validity.remaining(due).max(TimeDelta::zero());
    usual.max(cadence.interval).min(left / GRACE_OF_WHAT_IS_LEFT)
}

/// When a certificate that nothing renews by itself would have become due.
pub(super) fn usually_due(validity: Validity) -> DateTime<Utc> {
    usual(validity).0
}

/// The certificate that one replaced which went live at `committed`: it is not remembered, but it was due then, so it ends
/// when what is usually left has passed.
pub(super) fn predecessor(of: Validity, committed: DateTime<Utc>) -> Validity {
    let left = of.remaining(usually_due(of));
    let not_after = later(committed, left);
    Validity { not_before: earlier(not_after, of.lifetime()), not_after }
}

/// Within the range of dates.
pub(super) fn later(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn earlier(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(by).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hours * 3600, 0).unwrap()
    }

    fn life(hours: i64) -> Validity {
        Validity { not_before: at(0), not_after: at(hours) }
    }

    #[test]
    fn an_eighth_and_a_twentieth_are_of_the_lifetime() {
        for (hours, eighth, twentieth) in [(160, 20, 8), (90 * 24, 270, 108), (199 * 24, 597, 238)] {
            let band = |left: i64| Band::of(life(hours), at(hours - left));
            assert_eq!(band(eighth + 1), Band::Calm);
            assert_eq!(band(eighth), Band::LastEighth);
            assert_eq!(band(twentieth + 1), Band::LastEighth);
            assert_eq!(band(twentieth), Band::LastTwentieth);
            assert_eq!(band(0), Band::LastTwentieth, "the last second is still valid");
            assert_eq!(band(-1), Band::Over);
            assert_eq!(band(-24 * 31), Band::LongOver);
        }
    }

    #[test]
    fn grace_is_a_day_or_a_tenth_and_fits_into_what_is_left() {
        let grace = |hours: i64, left: i64, every: i64| {
            grace(life(hours), at(hours - left), Cadence::every(TimeDelta::hours(every))).num_hours()
        };
        assert_eq!(grace(90 * 24, 30 * 24, 12), 24);
        assert_eq!(grace(45 * 24, 15 * 24, 12), 24);
        assert_eq!(grace(160, 80, 12), 16);
        assert_eq!(grace(90 * 24, 30 * 24, 7 * 24), 7 * 24, "the next run comes in a week");
        assert_eq!(grace(160, 80, 7 * 24), 20, "that would be too late for it");
        assert_eq!(grace(90 * 24, 48, 12), 12, "its owner leaves two days");
        assert_eq!(grace(90 * 24, -48, 12), 0);
    }

    #[test]
    fn a_predecessor_ends_when_what_is_usually_left_has_passed() {
        let before = predecessor(life(90 * 24), at(10));
        assert_eq!(before.not_after, at(10 + 30 * 24));
        assert_eq!(before.lifetime(), life(90 * 24).lifetime());
        assert_eq!(predecessor(life(160), at(0)).not_after, at(80));
    }
}
