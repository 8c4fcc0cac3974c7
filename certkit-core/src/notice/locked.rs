//! Whether the lock of the store is held for so long that the owner has to know.

use chrono::{DateTime, TimeDelta, Utc};

use super::band::Band;
use crate::decision::Cadence;
use crate::{Outlook, Summary};

/// Two and a half times from one run to the next: the third run in a row that does not take place.
const PATIENCE: (i32, i32) = (5, 2);
/// The second one, where a certificate is in the last eighth of its lifetime or past its end.
const PATIENCE_NEAR_THE_END: (i32, i32) = (3, 2);
/// However often it is run: whoever answers challenges by hand, or waits for a CA, may take hours.
const SHORTEST_PATIENCE: TimeDelta = TimeDelta::days(1);

/// Whether a run that finds the lock held tells it. For a short time that is as it should be: whoever holds it is at work. It
/// is told when no run of everything has ended for two and a half times as long as usually lies between two, and for a day
/// at least; near the end of a certificate for one and a half times; at once when one ends before the next run. Where no
/// run was ever recorded it counts for how long the lock is held, `held_since`.
pub fn is_locked_too_long(
    summaries: &[Summary],
    outlook: &Outlook,
    held_since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    let ledger = &outlook.ledger;
    let last = ledger.last_run().map(|run| run.ended).or_else(|| ledger.runs().last().copied());
    let Some(since) = last.or(held_since) else { return false };
    // Whatever cadence this run was told: the one that counts is that of the runs that took place.
    let interval = Cadence::from_past_runs(ledger.runs()).interval;
    let validities = || summaries.iter().filter_map(|summary| summary.validity);
    let is_last_chance = |left: TimeDelta| left > TimeDelta::zero() && left <= interval;
    if validities().any(|validity| is_last_chance(validity.remaining(now))) {
        return true;
    }
    let is_near = |band: Band| matches!(band, Band::LastEighth | Band::LastTwentieth | Band::Over);
    let patience = match validities().any(|validity| is_near(Band::of(validity, now))) {
        true => interval * PATIENCE_NEAR_THE_END.0 / PATIENCE_NEAR_THE_END.1,
        false => (interval * PATIENCE.0 / PATIENCE.1).max(SHORTEST_PATIENCE),
    };
    now - since > patience
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Validity;
    use crate::state::{Ledger, RunMemory};

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hours * 3600, 0).unwrap()
    }

    /// Runs came every `interval` hours until hour 0; a certificate of 90 days ends after `left`.
    fn is_told(interval: i64, left: i64, now: i64) -> bool {
        let mut ledger = Ledger::default();
        for run in (0..=11).rev() {
            ledger.run_began(at(-run * interval));
        }
        ledger.run_ended(RunMemory::new(at(0), true));
        let validity = Validity { not_before: at(now + left - 90 * 24), not_after: at(now + left) };
        let summaries = [Summary::of_broken("a", "x", false, Some(validity), at(now))];
        is_locked_too_long(&summaries, &Outlook::new(ledger, Cadence::exact()), Some(at(now)), at(now))
    }

    #[test]
    fn a_short_hold_is_as_it_should_be_and_the_third_run_in_a_row_tells_it() {
        let calm = 60 * 24;
        assert_eq!([12, 24, 36].map(|now| is_told(12, calm, now)), [false, false, true]);
        assert_eq!([1, 6, 24, 25].map(|now| is_told(1, calm, now)), [false, false, false, true], "a day at least");
    }

    #[test]
    fn near_the_end_the_second_run_tells_it_and_the_last_one_before_the_end_at_once() {
        let eighth = 11 * 24;
        assert_eq!([12, 24].map(|now| is_told(12, eighth, now)), [false, true]);
        assert!(is_told(12, 10, 1));
        assert_eq!([12, 24].map(|now| is_told(12, -5, now)), [false, true], "it is over, and a renewal still helps");
        assert_eq!([12, 24].map(|now| is_told(12, -24 * 60, now)), [false, false], "nobody uses that any more");
    }

    #[test]
    fn where_no_run_was_recorded_the_lock_itself_counts() {
        let told = |held: Option<i64>| is_locked_too_long(&[], &Outlook::default(), held.map(at), at(100));
        assert_eq!([Some(99), Some(10), None].map(told), [false, true, false]);
    }
}
