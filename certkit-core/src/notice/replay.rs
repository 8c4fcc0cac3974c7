//! What was told, where nothing can be written that would remember it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{NoticeFacts, NoticeMemory, due_notices};

/// Runs that come more often are taken for runs that come every hour: no reminder comes more often than every two.
const SHORTEST_INTERVAL: TimeDelta = TimeDelta::hours(1);
/// So many runs are gone through at most; of more, every second, fourth … one.
const MOST_RUNS: i64 = 2000;

/// What was told until now, if each run since the last one that could be recorded, at `last`, told what was due then and was
/// not recorded: `memory` is as it was at `last`, and runs come every `interval`. So the rhythm of notices is kept without
/// anything being written. As runs do not come to the second, and by hand in between, a notice may come twice; none is left
/// out: a run that comes within one and a half intervals after `last` is the first one. Where no run was ever recorded it is
/// `memory` itself, and each run tells everything.
pub fn replayed(
    facts: &NoticeFacts<'_>,
    memory: &NoticeMemory,
    last: Option<DateTime<Utc>>,
    interval: TimeDelta,
) -> NoticeMemory {
    let mut memory = memory.clone();
    // What was told after the last run was told by one that could be remembered somewhere.
    let last = last.map(|last| memory.last_word().map_or(last, |word| word.max(last)));
    let Some(last) = last.filter(|last| *last <= facts.now) else { return memory };
    let mut interval = interval.max(SHORTEST_INTERVAL);
    let since = |interval: TimeDelta| facts.now - last - interval / 2;
    let runs = |interval: TimeDelta| since(interval).num_seconds() / interval.num_seconds().max(1);
    while runs(interval) > MOST_RUNS {
        interval = interval * 2;
    }
    for run in (1..=runs(interval)).rev() {
        let Ok(times) = i32::try_from(run) else { continue };
        let now = facts.now - interval * times;
        for notice in due_notices(&NoticeFacts { now, ..*facts }, &memory) {
            memory.told(&notice, now);
        }
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finding, FindingCode, Outlook};

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minutes * 60, 0).unwrap()
    }

    /// The runs that tell of a disk that is full since the last run that was recorded, at 0.
    fn telling(runs: &[i64], interval: i64) -> Vec<i64> {
        let full = [Finding::new(FindingCode::StoreFull, "/etc/letsencrypt", "no space left")];
        let outlook = Outlook::default();
        let tells = |run: &i64| {
            let facts = NoticeFacts::new(&[], &full, &outlook, at(*run));
            let memory = replayed(&facts, &NoticeMemory::default(), Some(at(0)), TimeDelta::minutes(interval));
            !due_notices(&facts, &memory).is_empty()
        };
        runs.iter().copied().filter(tells).collect()
    }

    #[test]
    fn the_first_run_tells_and_then_one_a_day() {
        let hour = 60;
        let runs: Vec<i64> = (1..=10).map(|run| run * 12 * hour).collect();
        assert_eq!(telling(&runs, 12 * hour), [12, 36, 60, 84, 108].map(|hours| hours * hour));
        // With a random delay in each.
        let runs: Vec<i64> = (1..=10).map(|run| run * 12 * hour + (run * 37) % 61 - 30).collect();
        assert_eq!(telling(&runs, 12 * hour).len(), 5, "{runs:?}");
    }

    #[test]
    fn runs_that_come_often_tell_for_an_hour_or_two_and_then_are_silent_for_a_day() {
        let runs: Vec<i64> = (1..=24 * 6).map(|run| run * 10).collect();
        let telling = telling(&runs, 10);
        assert!(telling.first() == Some(&10) && telling.iter().all(|run| *run <= 120 || *run > 21 * 60), "{telling:?}");
    }

    #[test]
    fn what_lasts_for_a_year_is_still_told() {
        let year = 365 * 24 * 60;
        let runs: Vec<i64> = (0..48).map(|run| year + run * 60).collect();
        assert!(!telling(&runs, 60).is_empty());
    }

    #[test]
    fn without_a_recorded_run_everything_is_told() {
        let full = [Finding::new(FindingCode::StoreFull, "/etc/letsencrypt", "no space left")];
        let outlook = Outlook::default();
        let facts = NoticeFacts::new(&[], &full, &outlook, at(0));
        let memory = NoticeMemory::default();
        for last in [None, Some(at(1))] {
            assert_eq!(replayed(&facts, &memory, last, TimeDelta::hours(12)), memory);
        }
    }
}
