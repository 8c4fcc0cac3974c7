//! When whoever runs all the time looks again for the sake of what is to be told.

use chrono::{DateTime, TimeDelta, Utc};

use super::{NoticeFacts, NoticeMemory, due_notices};
use crate::state::DeliveryMemory;

/// The shortest pause between reminders is two hours: within half of it each comes when it should.
const STEP: TimeDelta = TimeDelta::hours(1);
/// So many steps are looked ahead: whoever runs all the time looks at everything at least as often.
const STEPS: i32 = 6;

/// When there will be something to say, if everything stays as it is: a reminder is due, or a certificate comes nearer to its
/// end; in an hour when something waits to be delivered. To the hour, and none when it is silent for the next six.
pub fn next_look(facts: &NoticeFacts<'_>, memory: &NoticeMemory, deliveries: &DeliveryMemory) -> Option<DateTime<Utc>> {
    let at = |step: i32| facts.now.checked_add_signed(STEP * step);
    if deliveries.pending() > 0 {
        return at(1);
    }
    let speaks = |now: &DateTime<Utc>| !due_notices(&NoticeFacts { now: *now, ..*facts }, memory).is_empty();
    (1..=STEPS).filter_map(at).find(speaks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Notice, NoticeLevel, Outlook, Summary, Validity};

    /// Of 160 hours, and nothing can renew it; looked at after so many. What is due then has been told at `told`.
    fn next(hours: i64, told: Option<i64>, deliveries: &DeliveryMemory) -> Option<i64> {
        let begin = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |hours| begin + TimeDelta::hours(hours);
        let validity = Validity { not_before: begin, not_after: at(160) };
        let summaries = [Summary::of_broken("a", "x", false, Some(validity), begin)];
        let outlook = Outlook::default();
        let mut memory = NoticeMemory::default();
        for notice in told.into_iter().flat_map(|told| {
            due_notices(&NoticeFacts::new(&summaries, &[], &outlook, at(told)), &NoticeMemory::default())
        }) {
            memory.told(&notice, notice.at);
        }
        let facts = NoticeFacts::new(&summaries, &[], &outlook, at(hours));
        next_look(&facts, &memory, deliveries).map(|look| (look - begin).num_hours())
    }

    #[test]
    fn it_is_time_when_a_reminder_is_due_or_it_gets_worse() {
        let none = DeliveryMemory::default();
        assert_eq!(next(100, Some(100), &none), None, "told, and calm");
        assert_eq!(next(136, Some(136), &none), Some(140), "the last eighth begins");
        assert_eq!(next(153, Some(153), &none), Some(155), "two hours in the last twentieth");
        assert_eq!(next(100, None, &none), Some(101), "what was not told");
    }

    #[test]
    fn what_waits_to_be_delivered_is_tried_every_hour() {
        let mut waiting = DeliveryMemory::default();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        waiting.channel("mail").take_in(&[Notice::test(now)], NoticeLevel::Info, now);
        assert_eq!(waiting.pending(), 1);
        assert_eq!(next(100, Some(100), &waiting), Some(101));
    }
}
