//! How often certkit is run: what would come before the next run has to be done in this one.

use chrono::{DateTime, TimeDelta, Utc};

/// How often certkit is run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cadence {
    /// From this run to the next one, in general; 1 minute to 7 days.
    pub interval: TimeDelta,
    /// Whether a run is started at the very instant at which something becomes due (a daemon, or our own timer).
    pub exact: bool,
}

/// certbot's packages run it twice a day.
const USUAL_INTERVAL: TimeDelta = TimeDelta::hours(12);
/// cron knows nothing shorter.
const SHORTEST_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// Whoever runs it more rarely cannot keep short-lived certificates alive, whatever is planned.
const LONGEST_INTERVAL: TimeDelta = TimeDelta::days(7);
/// One longer gap is a machine that was off, two are how often it is run.
const LONGEST_SINGLE_GAP: TimeDelta = TimeDelta::days(1);
/// So many of the last gaps between runs are looked at.
const GAPS: usize = 10;
/// A few runs in less than this are somebody who tries it out.
const LONGEST_GAP_BY_HAND: TimeDelta = TimeDelta::hours(1);

impl Cadence {
    /// Runs that come every so often; what is out of range is brought into it.
    pub fn every(interval: TimeDelta) -> Self {
        Self { interval: interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL), exact: false }
    }

    /// Whoever runs it wakes at each instant that a plan names.
    pub fn exact() -> Self {
        Self { interval: SHORTEST_INTERVAL, exact: true }
    }

    /// What the instants of the last runs tell (oldest first, without this one): the longest of the last ten gaps, since
    /// runs by hand come in between. What is longer than a day counts when it happened twice: a machine that was off for a
    /// month is run daily all the same once it is on, and a certificate of six days that is planned as if the next run came
    /// in a week would be renewed at every run. Gaps of less than an hour are runs by hand, unless
    /// all of the last ten are.
    pub fn from_past_runs(runs: &[DateTime<Utc>]) -> Self {
        let gaps = runs.windows(2).rev().take(GAPS).map(|pair| match pair {
            [earlier, later] => *later - *earlier,
            _ => TimeDelta::zero(),
        });
        // A clock that was set back makes a negative gap, which tells nothing.
        let mut gaps: Vec<TimeDelta> = gaps.filter(|gap| *gap > TimeDelta::zero()).collect();
        gaps.sort_unstable_by(|one, other| other.cmp(one));
        // Sorted: the longest comes first.
        if gaps.len() < GAPS && gaps.first().is_some_and(|longest| *longest < LONGEST_GAP_BY_HAND) {
            gaps.clear();
        }
        Self::every(match gaps.as_slice() {
            [] => USUAL_INTERVAL,
            [only] => LONGEST_SINGLE_GAP.min(*only),
            [longest, second, ..] => LONGEST_SINGLE_GAP.max(*second).min(*longest),
        })
    }

    /// When the next run comes.
    pub(super) fn next_run(self, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.exact { now } else { now.checked_add_signed(self.interval).unwrap_or(now) }
    }
}

impl Default for Cadence {
    /// Twice a day.
    fn default() -> Self {
        Self::every(USUAL_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + minutes * 60, 0).unwrap()
    }

    #[test]
    fn runs_by_hand_in_between_do_not_shorten_the_interval() {
        let runs = [at(0), at(720), at(721), at(722), at(1440)];
        assert_eq!(Cadence::from_past_runs(&runs).interval, TimeDelta::minutes(720));
        // On the first day, when it is tried out.
        assert_eq!(Cadence::from_past_runs(&[at(0), at(1), at(2)]).interval, TimeDelta::hours(12));
        assert_eq!(Cadence::from_past_runs(&[at(0), at(1), at(121)]).interval, TimeDelta::hours(2));
        let frequent: Vec<_> = (0..11).map(|run| at(run * 10)).collect();
        assert_eq!(Cadence::from_past_runs(&frequent).interval, TimeDelta::minutes(10));
    }

    #[test]
    fn too_little_is_known_of_one_run_and_a_clock_that_jumped_back_tells_nothing() {
        assert_eq!(Cadence::from_past_runs(&[]).interval, TimeDelta::hours(12));
        assert_eq!(Cadence::from_past_runs(&[at(0)]).interval, TimeDelta::hours(12));
        assert_eq!(Cadence::from_past_runs(&[at(500), at(0)]).interval, TimeDelta::hours(12));
    }

    #[test]
    fn a_machine_that_is_run_weekly_is_planned_as_weekly_and_one_that_was_off_for_long_is_not() {
        let day = 1440;
        let weekly: Vec<_> = (0..4).map(|week| at(week * 7 * day)).collect();
        assert_eq!(Cadence::from_past_runs(&weekly).interval, TimeDelta::days(7));
        assert_eq!(Cadence::every(TimeDelta::days(7)).interval, TimeDelta::days(7));
        // Every second week is not kept apart from it.
        assert_eq!(Cadence::from_past_runs(&[at(0), at(14 * day), at(28 * day)]).interval, TimeDelta::days(7));
        assert_eq!(Cadence::every(TimeDelta::days(30)).interval, TimeDelta::days(7));
        // Daily but for the weekends.
        let workdays = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 14].map(|number| at(number * day));
        assert_eq!(Cadence::from_past_runs(&workdays).interval, TimeDelta::days(3));
        assert_eq!(Cadence::from_past_runs(&[at(0), at(90 * day)]).interval, TimeDelta::days(1));
        let off = [at(0), at(day / 2), at(90 * day), at(90 * day + day / 2)];
        assert_eq!(Cadence::from_past_runs(&off).interval, TimeDelta::days(1));
    }
}
