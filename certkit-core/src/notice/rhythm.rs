//! How long to be silent about what was told: shorter towards the end.
//!
//! A quarter of what is left, between two hours and a week, a day once it is critical and half a day once it is an
//! emergency. A certificate of 90 days whose renewal fails is spoken of with 29, 22, 17 and 12 days left, daily in the last
//! eighth, and up to twelve times a day at the end; one of 160 hours with 64, 48, 36, 27, 20, 15, 11, 8, 6, 4 and 2 hours
//! left. Past the end haste helps nobody any more: the pauses grow again.

use chrono::{DateTime, TimeDelta, Utc};

use super::NoticeLevel;
use crate::Validity;

const PART_OF_WHAT_IS_LEFT: i32 = 4;
/// Shorter than that nobody reads it before the next one comes.
const SHORTEST: TimeDelta = TimeDelta::hours(2);
const SHORTEST_PAST_THE_END: TimeDelta = TimeDelta::hours(6);
const SHORTEST_WITHOUT_AN_END: TimeDelta = TimeDelta::days(1);
const LONGEST: TimeDelta = TimeDelta::days(7);
const LONGEST_WHEN_CRITICAL: TimeDelta = TimeDelta::days(1);
const LONGEST_IN_AN_EMERGENCY: TimeDelta = TimeDelta::hours(12);
/// Runs do not come to the second: what would be due just after this one is told now.
const TOLERANCE_FRACTION: i32 = 8;

/// Whether what was told first at `since` and last at `at` is to be told again at `now`; `ends` is the lifetime at whose
/// end it becomes worse.
pub(super) fn is_time_again(
    level: NoticeLevel,
    ends: Option<Validity>,
    (since, at): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> bool {
    let pause = pause(level, ends.map(|validity| validity.remaining(now)), at - since);
    now - at >= pause - pause / TOLERANCE_FRACTION
}

/// `left` is negative past the end; `age` is for how long it was told, which counts where nothing ends.
pub(super) fn pause(level: NoticeLevel, left: Option<TimeDelta>, age: TimeDelta) -> TimeDelta {
    let longest = match level {
        NoticeLevel::Info | NoticeLevel::Warning => LONGEST,
        NoticeLevel::Critical => LONGEST_WHEN_CRITICAL,
        NoticeLevel::Emergency => LONGEST_IN_AN_EMERGENCY,
    };
    match left {
        Some(left) if left >= TimeDelta::zero() => (left / PART_OF_WHAT_IS_LEFT).clamp(SHORTEST, longest),
        Some(past) => past.abs().clamp(SHORTEST_PAST_THE_END, LONGEST),
        None => age.clamp(SHORTEST_WITHOUT_AN_END, longest.max(SHORTEST_WITHOUT_AN_END)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEVELS: [NoticeLevel; 3] = [NoticeLevel::Warning, NoticeLevel::Critical, NoticeLevel::Emergency];

    fn hours(number: i64) -> TimeDelta {
        TimeDelta::hours(number)
    }

    #[test]
    fn a_week_then_a_day_then_hours() {
        let pause = |level, left: i64| pause(level, Some(hours(left)), hours(0));
        assert_eq!(pause(NoticeLevel::Warning, 60 * 24), hours(7 * 24));
        assert_eq!(pause(NoticeLevel::Warning, 12 * 24), hours(3 * 24));
        assert_eq!(pause(NoticeLevel::Critical, 11 * 24), hours(24));
        assert_eq!(pause(NoticeLevel::Critical, 20), hours(5));
        assert_eq!(pause(NoticeLevel::Emergency, 4 * 24), hours(12));
        assert_eq!(pause(NoticeLevel::Emergency, 8), hours(2));
        assert_eq!(pause(NoticeLevel::Emergency, 1), hours(2));
    }

    #[test]
    fn past_the_end_the_pauses_grow_and_without_an_end_too() {
        let past = |ago: i64| pause(NoticeLevel::Emergency, Some(hours(-ago)), hours(0));
        assert_eq!([past(1), past(12), past(48), past(1000)], [hours(6), hours(12), hours(48), hours(7 * 24)]);
        let aged = |level, age: i64| pause(level, None, hours(age));
        assert_eq!(aged(NoticeLevel::Warning, 0), hours(24));
        assert_eq!(aged(NoticeLevel::Warning, 72), hours(72));
        assert_eq!(aged(NoticeLevel::Warning, 10_000), hours(7 * 24));
        assert_eq!(aged(NoticeLevel::Critical, 10_000), hours(24));
    }

    proptest! {
        #[test]
        fn reminders_come_faster_towards_the_end(later in 0_i64..400_000_000, earlier in 0_i64..400_000_000) {
            let (less, more) = (later.min(earlier), later.max(earlier));
            for (calm, worse) in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)] {
                let before = pause(LEVELS[calm], Some(TimeDelta::seconds(more)), hours(0));
                prop_assert!(pause(LEVELS[worse], Some(TimeDelta::seconds(less)), hours(0)) <= before);
            }
        }
    }
}
