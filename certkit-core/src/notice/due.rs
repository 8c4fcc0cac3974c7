//! Which notices are due.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::alarm::{Alarm, Verdict};
use super::compose::{compose, recovered};
use super::machine::{ends_by_itself, machine};
use super::renewing::renewing;
use super::serving::serving;
use super::{Notice, NoticeKind, NoticeLevel, NoticeMemory};
use crate::{Finding, Outlook, Summary};

/// What notices are made of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoticeFacts<'a> {
    /// Every lineage of the store: what was told of and is missing here is taken for deleted.
    pub summaries: &'a [Summary],
    /// What is wrong with settings and memory. What is not about the machine is told of no certificate.
    pub findings: &'a [Finding],
    /// What was asked of the CAs, and how often certkit is run.
    pub outlook: &'a Outlook,
    /// When it was looked (UTC).
    pub now: DateTime<Utc>,
}

impl<'a> NoticeFacts<'a> {
    /// What is known at `now`.
    pub fn new(summaries: &'a [Summary], findings: &'a [Finding], outlook: &'a Outlook, now: DateTime<Utc>) -> Self {
        Self { summaries, findings, outlook, now }
    }
}

/// The notices that are due, the most urgent first: what is news, what is to be said again, and what is over. The same facts
/// and the same memory give the same notices; what is told ([`NoticeMemory::told`]) is not due again before its time.
///
/// That a certificate is due is no reason to speak. Spoken is of a renewal that failed for what only the owner can cure, at
/// once; of what is overdue (by a tenth of the lifetime or a day); when an eighth of the lifetime is left or something else
/// is served (critical); when a twentieth is left (an emergency), and past the end.
pub fn due_notices(facts: &NoticeFacts<'_>, memory: &NoticeMemory) -> Vec<Notice> {
    let now = facts.now;
    let mut notices = Vec::new();
    let mut known = BTreeSet::new();
    for summary in facts.summaries {
        for (side, verdict) in sides(summary, facts.outlook, now) {
            let incident = format!("{side}/{}", summary.name);
            match verdict {
                Verdict::Alarm(alarm) => notices.extend(spoken(&incident, *alarm, Some(summary), memory, now)),
                Verdict::Smoulders => {}
                Verdict::Well => {
                    let open = memory.of(&incident).filter(|told| told.recovered.is_none());
                    notices.extend(open.map(|told| recovered(&incident, told, Some(summary), now)));
                }
            }
            known.insert(incident);
        }
    }
    for (incident, alarm) in machine(facts.summaries, facts.findings, facts.outlook, now) {
        notices.extend(spoken(&incident, alarm, None, memory, now));
        known.insert(incident);
    }
    let gone = memory.open().filter(|(incident, _)| !known.contains(*incident) && !ends_by_itself(incident));
    notices.extend(gone.map(|(incident, told)| recovered(incident, told, None, now)));
    notices.sort_by(|one, other| {
        let ends = |notice: &Notice| notice.not_after.unwrap_or(DateTime::<Utc>::MAX_UTC);
        (other.level, ends(one), &one.incident).cmp(&(one.level, ends(other), &other.incident))
    });
    notices
}

/// How a certificate stands by the rules of the notices, whatever was told: the worst that there is to say, or nothing. All
/// that there is to say, with words and cures, is what [`due_notices`] gives for an empty memory.
pub fn level_of(summary: &Summary, outlook: &Outlook, now: DateTime<Utc>) -> Option<(NoticeLevel, NoticeKind)> {
    let alarms = sides(summary, outlook, now).into_iter().filter_map(|(_, verdict)| match verdict {
        Verdict::Alarm(alarm) => Some((alarm.level, alarm.kind)),
        Verdict::Smoulders | Verdict::Well => None,
    });
    // Of two that are as bad the first: what is not renewed is worse than what is not served yet.
    alarms.rev().max_by_key(|(level, _)| *level)
}

fn sides(summary: &Summary, outlook: &Outlook, now: DateTime<Utc>) -> [(&'static str, Verdict); 2] {
    [("renewal", renewing(summary, outlook, now)), ("serving", serving(summary, outlook, now))]
}

fn spoken(
    incident: &str,
    alarm: Alarm,
    summary: Option<&Summary>,
    memory: &NoticeMemory,
    now: DateTime<Utc>,
) -> Option<Notice> {
    let not_after = summary.and_then(|summary| summary.validity).map(|validity| validity.not_after);
    let reminder = memory.word(incident, not_after, &alarm, now)?;
    Some(compose(incident, alarm, summary, reminder, now))
}

#[cfg(test)]
mod tests;
