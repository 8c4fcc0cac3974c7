//! How long to wait after failures.

use chrono::{DateTime, TimeDelta, Utc};

use crate::Validity;

/// Near the end of the lifetime no pause is longer than this, nor than a third of that time.
const PAUSE_NEAR_THE_END: TimeDelta = TimeDelta::hours(1);
/// What failed on this machine (a full disk, a wrong clock, a taken port) may be well again soon, and trying burdens nobody
/// else; but a program that runs all the time has to sleep in between.
pub(super) const PAUSE_AFTER_LOCAL_TROUBLE: TimeDelta = TimeDelta::minutes(10);

/// The pause after this many failures in a row: 1 minute, 10 minutes, 100 minutes, then a day (Let's Encrypt's
/// integration guide, 2025-06-23). Zero failures need no pause. It never shrinks with more failures.
pub fn backoff(consecutive_failures: u32) -> TimeDelta {
    match consecutive_failures {
        0 => TimeDelta::zero(),
        1 => TimeDelta::minutes(1),
        2 => TimeDelta::minutes(10),
        3 => TimeDelta::minutes(100),
        _ => TimeDelta::days(1),
    }
}

/// When a certificate whose renewal failed at `failed_at` is tried again: after [`backoff`], but hourly in the last eighth
/// of its lifetime, where a day may be all that is left, and three times in an eighth of less than three hours. Once it has
/// expired, haste helps nobody any more: daily again. (Let's Encrypt pauses names that fail 1,152 times in a row; ten
/// failures a day get there in four months.)
pub fn next_attempt(failed_at: DateTime<Utc>, consecutive_failures: u32, validity: Option<Validity>) -> DateTime<Utc> {
    let plus = |pause: TimeDelta| failed_at.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let usual = plus(backoff(consecutive_failures));
    let Some(validity) = validity else { return usual };
    let eighth = validity.lifetime() / 8;
    let Some(last_eighth) = validity.not_after.checked_sub_signed(eighth) else { return usual };
    let pause = PAUSE_NEAR_THE_END.min((eighth / 3).max(TimeDelta::minutes(1)));
    let hurried = plus(pause.min(backoff(consecutive_failures))).max(last_eighth);
    if hurried < validity.not_after { usual.min(hurried) } else { usual }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    const DAY: i64 = 86_400;

    #[test]
    fn never_shrinks_and_never_overflows() {
        // mod_md CVE-2025-55753: a back-off that overflowed after a month of failures retried without a pause.
        let mut last = TimeDelta::zero();
        for failures in (0..1000).chain([u32::MAX]) {
            let pause = backoff(failures);
            assert!(pause >= last);
            last = pause;
        }
        assert_eq!(last, TimeDelta::days(1));
    }

    #[test]
    fn hourly_in_the_last_eighth_and_daily_before_and_after() {
        let validity = Some(Validity { not_before: at(0), not_after: at(80 * DAY) });
        assert_eq!(next_attempt(at(60 * DAY), 9, validity), at(61 * DAY));
        assert_eq!(
            next_attempt(at(69 * DAY + DAY / 2), 9, validity),
            at(70 * DAY),
            "the last eighth begins before a day is over"
        );
        assert_eq!(next_attempt(at(75 * DAY), 9, validity), at(75 * DAY + 3600));
        assert_eq!(next_attempt(at(75 * DAY), 1, validity), at(75 * DAY + 60), "shorter pauses stay");
        assert_eq!(next_attempt(at(80 * DAY - 60), 9, validity), at(81 * DAY - 60));
        assert_eq!(next_attempt(at(90 * DAY), 9, validity), at(91 * DAY));
        assert_eq!(next_attempt(at(75 * DAY), 9, None), at(76 * DAY));
    }

    #[test]
    fn three_times_in_a_last_eighth_of_minutes() {
        let validity = Some(Validity { not_before: at(0), not_after: at(4 * 3600) });
        assert_eq!(next_attempt(at(3 * 3600 + 1700), 9, validity), at(3 * 3600 + 2300));
        assert_eq!(next_attempt(at(3 * 3600 + 2300), 9, validity), at(3 * 3600 + 2900));
    }

    proptest! {
        #[test]
        fn it_is_later_than_the_failure_and_never_beyond_the_backoff(
            lifetime in 3600_i64..10 * 365 * DAY,
            failed in 0_i64..11 * 365 * DAY,
            failures in 1_u32..1000,
        ) {
            let validity = Some(Validity { not_before: at(0), not_after: at(lifetime) });
            let next = next_attempt(at(failed), failures, validity);
            prop_assert!(next > at(failed));
            prop_assert!(next <= at(failed) + backoff(failures));
            prop_assert!(next_attempt(at(failed), failures + 1, validity) >= next);
            // Whatever failed while there was time is tried again while there is time.
            if failed < lifetime - lifetime / 8 {
                prop_assert!(next < at(lifetime));
            }
        }
    }
}
