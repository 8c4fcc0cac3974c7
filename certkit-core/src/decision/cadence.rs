//! How often certkit is run: what would come before the next run has to be done in this one.

use chrono::{DateTime, TimeDelta, Utc};

/// How often certkit is run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cadence {
    /// From this run to the next one, in general; 1 minute to 1 day.
    pub interval: TimeDelta,
    /// Whether a run is started at the very instant at which something becomes due (a daemon, or our own timer).
    pub exact: bool,
}

/// certbot's packages run it twice a day.
const USUAL_INTERVAL: TimeDelta = TimeDelta::hours(12);
/// cron knows nothing shorter.
const SHORTEST_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// A machine that was off for a month is run daily all the same once it is on.
const LONGEST_INTERVAL: TimeDelta = TimeDelta::days(1);
/// So many of the last gaps between runs are looked at.
const GAPS: usize = 10;

impl Cadence {
    /// Runs that come every so often.
    pub fn every(interval: TimeDelta) -> Self {
        Self { interval: interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL), exact: false }
    }

    /// Whoever runs it wakes at each instant that a plan names.
    pub fn exact() -> Self {
        Self { interval: SHORTEST_INTERVAL, exact: true }
    }

    /// What the instants of the last runs tell (oldest first, without this one): the longest of the last ten gaps, since
    /// runs by hand come in between. Without two of them twice a day is assumed.
    pub fn from_past_runs(runs: &[DateTime<Utc>]) -> Self {
        let gaps = runs.windows(2).rev().take(GAPS).map(|pair| match pair {
            [earlier, later] => *later - *earlier,
            _ => TimeDelta::zero(),
        });
        // A clock that was set back makes a negative gap, which tells nothing.
        let longest = gaps.filter(|gap| *gap > TimeDelta::zero()).max();
        Self::every(longest.unwrap_or(USUAL_INTERVAL))
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
        assert_eq!(Cadence::from_past_runs(&[at(0), at(1), at(2)]).interval, TimeDelta::minutes(1));
    }

    #[test]
    fn too_little_is_known_of_one_run_and_a_clock_that_jumped_back_tells_nothing() {
        assert_eq!(Cadence::from_past_runs(&[]).interval, TimeDelta::hours(12));
        assert_eq!(Cadence::from_past_runs(&[at(0)]).interval, TimeDelta::hours(12));
        assert_eq!(Cadence::from_past_runs(&[at(500), at(0)]).interval, TimeDelta::hours(12));
        assert_eq!(Cadence::from_past_runs(&[at(0), at(90 * 1440)]).interval, TimeDelta::days(1));
    }
}
